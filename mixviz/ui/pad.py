"""The pad: drag a point over the latent plane and see at once what the model decodes there."""

import base64
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from mixviz.analysis.encoded import Encoding
from mixviz.analysis.generation import decode_points
from mixviz.analysis.maps import principal_plane
from mixviz.analysis.members import mixture_of
from mixviz.embedding import Plane
from mixviz.figures.contours import Extent
from mixviz.figures.grids import as_pixels
from mixviz.figures.pad import (
    pad_backdrop,
    plane_snapshot,
    point_picture,
    square_extent,
    vector_picture,
)
from mixviz.figures.palette import colour
from mixviz.runs import Run, Snapshot
from mixviz.runs.names import component_names
from mixviz.training.observe import usage_of
from mixviz.training.saved import Saved
from mixviz.ui import keys
from mixviz.ui.clusters_encoding import encoding_of
from mixviz.ui.runs import show_in_link
from mixviz.ui.services import store

_HERE = Path(__file__).parent
_POINTS = 2_000
_SHOWN = 0.005  # probability from which a component has its part of the bar
_CSS = """
.pad { display: flex; flex-wrap: wrap; gap: 1rem; font-family: var(--st-font);
  color: var(--st-text-color); }
.pad-plane { position: relative; width: min(100%, 440px); aspect-ratio: 1; cursor: crosshair;
  touch-action: none; border: 1px solid var(--st-border-color); border-radius: 4px;
  overflow: hidden; user-select: none; }
.pad-plane:focus-visible { outline: 2px solid var(--st-primary-color); }
.pad-backdrop { width: 100%; height: 100%; display: block; pointer-events: none; }
.pad-handle { position: absolute; width: 22px; height: 22px; margin: -11px 0 0 -11px;
  border-radius: 50%; border: 3px solid var(--st-primary-color); background: rgba(255,255,255,0.55);
  box-shadow: 0 0 4px rgba(0,0,0,0.5); pointer-events: none; }
.pad-answer { margin: 0; width: 280px; max-width: 100%; }
.pad-picture { width: 100%; image-rendering: pixelated; border-radius: 4px; display: block; }
.pad-bar { display: flex; height: 14px; margin: 0.5rem 0; border-radius: 3px; overflow: hidden; }
.pad-bar > div { flex-basis: 0; }
.pad-text { font-size: 0.875rem; min-height: 2.6em; }
"""

_component = st.components.v2.component("mixviz_pad", css=_CSS, js=(_HERE / "pad.js").read_text())


@dataclass(frozen=True, eq=False)
class PadView:
    """The latent plane through one observation, and how it is drawn.

    Attributes
    ----------
    anchor : (D,)
        Latent that the plane goes through.
    start : (2,)
        Where that is in the plane.
    backdrop
        Address of a PNG that holds the picture of the plane.
    drawing
        What tells that picture from others.
    """

    plane: Plane
    anchor: np.ndarray
    start: np.ndarray
    extent: Extent
    backdrop: str
    drawing: str

    def latent(self, place: np.ndarray) -> np.ndarray:
        """Latent (D,) of a place (2,) of the plane."""
        moved: np.ndarray = self.anchor + self.plane.axes @ (place - self.start)
        return moved


def pad_section(run: Run, saved: Saved) -> None:
    """Choose the observation that the plane goes through, then the pad itself."""
    encoding = encoding_of(run)
    if encoding is None:
        return
    planar = encoding.latents.shape[1] <= 2
    anchor = 0 if planar else _choose_anchor(encoding)
    if not planar:
        st.caption(
            f"The plane of the first two principal axes, through the latent of observation {anchor}; "
            f"the other {encoding.latents.shape[1] - 2} coordinates stay as they are there."
        )
    dark = st.context.theme.type == "dark"
    snapshot, plane = _drawn(encoding.key, run.id, encoding, saved)
    extent = square_extent(snapshot)
    view = PadView(
        plane,
        encoding.latents[anchor].astype(np.float64),
        plane.project(encoding.latents[anchor]),
        extent,
        _backdrop(encoding.key, dark, extent, snapshot),
        f"{encoding.key}.{dark}",
    )
    st.fragment(_pad)(run, saved, view, encoding, anchor)


def _choose_anchor(encoding: Encoding) -> int:
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    if not 0 <= int(st.session_state.get(keys.ANCHOR, 0)) < len(encoding.data):
        st.session_state[keys.ANCHOR] = 0
    value = left.number_input(
        "Plane through observation",
        0,
        len(encoding.data) - 1,
        0,
        key=keys.ANCHOR,
        bind="query-params",
    )
    right.button(
        "Random", icon=":material/shuffle:", on_click=_draw_anchor, args=(len(encoding.data),)
    )
    return int(value)


def _draw_anchor(count: int) -> None:
    st.session_state[keys.ANCHOR] = int(np.random.default_rng().integers(count))
    st.query_params.pop(keys.PLACE, None)


@st.cache_resource(max_entries=4, show_spinner=False)
def _drawn(key: str, run: str, _encoding: Encoding, _saved: Saved) -> tuple[Snapshot, Plane]:
    """Points and components in the plane of an encoding."""
    latents = _encoding.latents
    plane = principal_plane(store(), run, latents)
    means, covariances = mixture_of(_saved)
    usage = usage_of(_encoding.assignments, len(means))
    stride = -(-len(latents) // _POINTS)
    snapshot = plane_snapshot(
        plane.name,
        plane.project(latents[::stride]),
        _encoding.assignments[::stride],
        plane.project(means),
        plane.project_covariances(covariances),
        usage,
    )
    return snapshot, plane


@st.cache_data(max_entries=8, show_spinner=False)
def _backdrop(key: str, dark: bool, extent: Extent, _snapshot: Snapshot) -> str:
    return _url(pad_backdrop(_snapshot, extent, dark))


def _pad(run: Run, saved: Saved, view: PadView, encoding: Encoding, anchor: int) -> None:
    """Answer one position of the handle."""
    key = f"{keys.PAD}{run.id}.{anchor}"
    asked = st.session_state.get(key, {}).get("at")
    place, reply, settled, known = _place(asked, view)
    if settled:
        show_in_link(keys.PLACE, f"{place[0]:.6g},{place[1]:.6g}")
    decoded, probabilities = decode_points(saved, view.latent(place)[None])
    best = int(probabilities[0].argmax())
    names = component_names(store(), run.id, probabilities.shape[1])
    text = (
        f"component {names[best]}, probability {probabilities[0, best]:.2f}, at {_written(place)}"
    )
    if decoded[0].size <= 3:
        text += f"; x = {_written(decoded[0].reshape(-1))}"
    _component(
        data={
            "drawing": view.drawing,
            "backdrop": None if known == view.drawing else view.backdrop,
            "extent": [float(edge) for edge in view.extent],
            "at": place.tolist(),
            "picture": _picture(decoded[0], encoding, best),
            "probabilities": [
                [round(float(share), 4), colour(k)]
                for k, share in enumerate(probabilities[0])
                if share > _SHOWN
            ],
            "text": text,
            "reply": reply,
            "label": "Latent plane. Drag, or use the arrow keys; with Shift they go further.",
        },
        key=key,
        on_at_change=lambda: None,
    )


def _place(asked: Any, view: PadView) -> tuple[np.ndarray, int, bool, str]:
    """Where the handle is, the question's number, whether it rests, the backdrop that is known."""
    with suppress(TypeError, ValueError):
        x, y, reply, settled, known = asked
        if np.isfinite([float(x), float(y)]).all():
            return np.array([x, y], float), int(reply), bool(settled), str(known)
    left, right, bottom, top = view.extent
    with suppress(ValueError):
        x, y = (float(part) for part in st.query_params.get(keys.PLACE, "").split(","))
        if left <= x <= right and bottom <= y <= top:
            return np.array([x, y]), 0, False, ""
    inside = np.clip(view.start, [left, bottom], [right, top])
    return inside.astype(np.float64), 0, False, ""


def _written(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in values) + ")"


def _picture(decoded: np.ndarray, encoding: Encoding, component: int) -> str:
    """What was decoded, as the address of a PNG that holds it."""
    if decoded.ndim == 3:
        pixels = np.moveaxis(as_pixels(decoded), 0, -1)
        content = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, "PNG")
        return _url(content.getvalue())
    x = encoding.data.x
    if decoded.size == 2:
        return _url(point_picture(x, decoded, component))
    low, high = data_range(encoding.key, encoding)
    return _url(vector_picture(decoded, low, high, component))


@st.cache_data(max_entries=8, show_spinner=False)
def data_range(key: str, _encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """Range of all but the outermost hundredth of each feature, low and high (D,)."""
    low, high = np.quantile(_encoding.data.x, (0.01, 0.99), axis=0)
    return low, high


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
