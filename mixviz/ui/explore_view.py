"""The map of Explore and what is selected on it: one fragment, so that a lasso redraws no more than that."""

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from mixviz.analysis.encoded import Encoding
from mixviz.analysis.maps import Map, Mixture
from mixviz.figures.contours import Extent
from mixviz.figures.embedding import (
    Outlines,
    density_outlines,
    embedding_figure,
    gaussian_outlines,
    map_extent,
)
from mixviz.figures.embedding_colours import Colouring
from mixviz.figures.embedding_raster import raster, raster_figure
from mixviz.runs.names import component_names
from mixviz.training.observe import usage_of
from mixviz.ui import keys
from mixviz.ui.explore_colours import called, colouring_of, colourings, describe
from mixviz.ui.explore_controls import choice, choices
from mixviz.ui.explore_hover import hover
from mixviz.ui.explore_selection import POINT, Selection, conditions, panel
from mixviz.ui.live_plot import pickable_plot
from mixviz.ui.services import store

MOST_POINTS = 100_000  # that a browser draws; more become a picture
_HEIGHT = 640
_PLOT = "explore.plot"
_SHOWN = {"contours": "Contours", "prior": "Prior samples"}


@dataclass(frozen=True, eq=False)
class Shown:
    """What is on the map.

    Attributes
    ----------
    others : (L, d), points of another data set, optional
    """

    encoding: Encoding
    mixture: Mixture
    map: Map
    others: np.ndarray | None = None

    @property
    def flat(self) -> bool:
        """Whether the map is in two dimensions."""
        return self.map.points.shape[1] == 2

    @property
    def piled(self) -> bool:
        """Whether there are too many points to send them to the browser."""
        return len(self.map.points) > MOST_POINTS


@st.fragment
def view(run: str, shown: Shown) -> None:
    """Draw the map, and beside it what is selected."""
    encoding = shown.encoding
    names = component_names(store(), run, len(shown.mixture.means))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        colour_column, shown_column = st.columns(2, vertical_alignment="bottom")
        with colour_column:
            by = choice("Colour by", colourings(encoding), keys.EXPLORE_COLOUR, called)
        with shown_column:
            overlays = choices(
                "Show",
                list(_SHOWN),
                keys.EXPLORE_SHOWN,
                _SHOWN.__getitem__,
                default=["contours"],
                placeholder="points alone",
            )
        plot = st.container()
    with right:
        selection = conditions(encoding, shown.map, names)
    with plot:
        _plot(run, shown, by, overlays, names, selection)
    with right:
        panel(run, encoding, shown.map, names, selection)
    if not shown.piled:
        key = hashlib.sha256(repr((encoding.key, names)).encode()).hexdigest()
        hover(key, encoding.data, partial(describe, encoding, names))


@st.cache_resource(max_entries=8, show_spinner=False)
def _outlines(key: str, _map: Map, _mixture: Mixture) -> Outlines:
    """Contours of the components: exact on a linear map, else of the density of prior samples."""
    if _map.plane is not None:
        covariances = _map.plane.project_covariances(_mixture.covariances)
        return gaussian_outlines(_map.plane.project(_mixture.means), covariances)
    if _map.points.shape[1] == 3:
        return {}
    return density_outlines(_map.prior, _map.prior_components, len(_mixture.means))


def _plot(
    run: str,
    shown: Shown,
    by: str,
    overlays: list[str],
    names: list[str],
    selection: Selection,
) -> None:
    found, encoding = shown.map, shown.encoding
    colouring = colouring_of(encoding, by, names)
    outlines = _outlines(found.key, found, shown.mixture) if "contours" in overlays else {}
    usage = usage_of(encoding.assignments, len(names))
    beside: dict[str, Any] = {"outlines": outlines, "names": names, "usage": usage}
    if "prior" in overlays:
        beside |= {"prior": found.prior, "prior_components": found.prior_components}
    mask = selection.mask if selection.given else None
    # What was drawn on the plot alone is greyed there already, and need not be drawn again.
    by_hand = selection.only_outline and shown.flat
    revision = _hash(
        found.key,
        by,
        names,
        None if by_hand else mask,
        st.session_state.get(keys.EXPLORE_DRAWN, 0),
    )
    beside |= {"uirevision": found.key, "drawn": selection.outline if shown.flat else None}
    beside |= {"others": shown.others}
    if shown.piled and shown.flat:
        figure, revision = _picture(shown, colouring, mask, beside, revision)
    elif shown.piled:
        kept = np.sort(np.random.default_rng(0).permutation(len(found.points))[:MOST_POINTS])
        thin = Colouring(**vars(colouring) | {"groups": colouring.groups[kept]})
        chosen = None if mask is None else mask[kept]
        figure = embedding_figure(
            found.method, found.points[kept], thin, rows=kept, selected=chosen, **beside
        )
        st.caption(f"A random {MOST_POINTS:,} of {len(found.points):,} points.")
    else:
        figure = embedding_figure(found.method, found.points, colouring, selected=mask, **beside)
    # What changes the figure, without the outline that the plot has drawn already.
    version = _hash(revision, overlays, shown.others)
    figure["layout"]["editrevision"] = version
    count = f"{len(found.points):,} points"
    pickable_plot(
        figure,
        key=_PLOT,
        height=_HEIGHT,
        label=f"Map by {_METHODS[found.method]}: {count} coloured by {called(by).lower()}. "
        "The table below the selection holds the numbers.",
        version=version,
        points=not (shown.piled and shown.flat),
        greys=not shown.piled and (by_hand or not selection.given),
        on_pick=partial(_pick, found),
    )
    st.caption(_legend(shown, overlays, outlines))


_METHODS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP", "latent": "axes of the latent space"}


def _picture(
    shown: Shown,
    colouring: Colouring,
    mask: np.ndarray | None,
    beside: dict[str, Any],
    revision: str,
) -> tuple[dict[str, Any], str]:
    """Draw all points as a picture of what is looked at."""
    points = shown.map.points
    extent = map_extent(points, beside["outlines"])
    asked = st.session_state.get(keys.EXPLORE_VIEW)
    seen, size = extent, (900, _HEIGHT)
    if asked is not None and asked[0] == shown.map.key:
        numbers = asked[1]
        seen = tuple(numbers[:4])
        size = (min(int(numbers[4]), 2000), min(int(numbers[5]), 2000))
    key = _hash(revision, seen, size, mask)
    picture = _raster(key, points, colouring, seen, size, mask)
    figure = raster_figure(shown.map.method, picture, seen, colouring, extent=extent, **beside)
    return figure, key


@st.cache_data(max_entries=30, show_spinner=False)
def _raster(
    key: str,
    _points: np.ndarray,
    _colouring: Colouring,
    _view: Extent,
    _size: tuple[int, int],
    _mask: np.ndarray | None,
) -> bytes:
    return raster(_points, _colouring, _view, _size, _mask)


def _pick(found: Map, name: str, value: Any) -> None:
    """Take in what was done on the plot; values come from a browser and are checked."""
    if name == "outline":
        drawn = (found.key, value) if _is_outline(value) else None
        st.session_state[keys.EXPLORE_OUTLINE] = drawn
        st.session_state[keys.EXPLORE_PAGE] = 1
        if st.session_state.get(keys.EXPLORE_TAB) == POINT:
            st.session_state[keys.EXPLORE_TAB] = None  # the selection is what was asked for
    elif name == "row" and isinstance(value, int) and 0 <= value < len(found.points):
        _show_point(value)
    elif name == "place" and _are_numbers(value, 2):
        distances = ((found.points - np.asarray(value, np.float32)) ** 2).sum(1)
        _show_point(int(distances.argmin()))
    elif name == "view" and _is_view(value):
        st.session_state[keys.EXPLORE_VIEW] = (found.key, value)


def _show_point(row: int) -> None:
    st.session_state[keys.EXPLORE_ROW] = row
    st.session_state[keys.EXPLORE_TAB] = POINT


def _are_numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(each, (int, float)) and np.isfinite(each) for each in value)
    )


def _is_view(value: Any) -> bool:
    if not _are_numbers(value, 6):
        return False
    left, right, bottom, top, width, height = value
    return right > left and top > bottom and min(width, height) >= 1


def _is_outline(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 3 <= len(value) <= 500
        and all(_are_numbers(corner, 2) for corner in value)
    )


def _hash(*parts: Any) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        digest.update(b"|")
    return digest.hexdigest()


def _legend(shown: Shown, overlays: list[str], outlines: Outlines) -> str:
    """Say what the contours are and how to use the plot."""
    said = []
    if "contours" in overlays:
        if shown.map.plane is not None:
            said.append("Contours: two standard deviations of each component, exact on this map.")
        elif not shown.flat:
            said.append("In three dimensions this map has no contours.")
        elif len(shown.map.prior):
            said.append(
                "Contours: density of prior samples placed in this map; each holds 86 % of its "
                "component's, as two standard deviations do."
            )
            if few := len(shown.mixture.means) - len(outlines):
                said.append(
                    f"{few} component{'s' * (few != 1)} with too few of these samples "
                    f"{'has' if few == 1 else 'have'} none; fit more, in the map's settings."
                )
        else:
            said.append("No prior samples are placed in this map, so there are no contours.")
    if "prior" in overlays and not len(shown.map.prior):
        said.append("This map cannot place prior samples; fit them too, in its settings.")
    said.append(
        "Draw around points to select them, click a point for its neighbours, turn the wheel to zoom."
        if shown.flat
        else "Drag to turn, click a point for its neighbours."
    )
    return " ".join(said)
