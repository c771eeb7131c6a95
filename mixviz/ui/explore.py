"""Explore: which observations are shown, and on which map."""

import numpy as np
import streamlit as st
from pydantic import ValidationError

from mixviz.analysis.encoded import Encoding
from mixviz.analysis.maps import (
    KIND,
    PLACED,
    Map,
    MapChoice,
    Mixture,
    linear_map,
    mixture_key,
    mixture_of,
    placed_key,
    principal_plane,
    read_map,
)
from mixviz.data import SOURCES, source
from mixviz.embedding import FLAT, SETTINGS, Plane, TSNESettings, UMAPSettings
from mixviz.errors import MixvizError
from mixviz.runs import Run
from mixviz.training.config import Plan
from mixviz.ui import keys
from mixviz.ui.clusters_encoding import encoding_of
from mixviz.ui.config_form import widget
from mixviz.ui.explore_controls import choice, choices
from mixviz.ui.explore_view import Shown, view
from mixviz.ui.runs import badge, forget_other_run, literal, show_in_link
from mixviz.ui.services import store
from mixviz.ui.tasks import artifact_or_task

METHODS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP", "latent": "Latent axes"}
_PARTS = {"test": "Test part", "train": "Training part", "all": "All"}
_LINEAR_PRIOR = 2000  # samples shown where placing them costs nothing
_NO_OTHER = "none"


def explore(run: Run) -> None:
    """Draw the page for a run."""
    forget_other_run("explore", run, keys.EXPLORE_DATASET, keys.EXPLORE_PART, keys.EXPLORE_OTHER)
    st.subheader(f"{literal(run.name)} {'' if run.shipped else badge(run)}", anchor=False)
    try:
        method, dimensions, dataset, part = _controls(run)
        encoding = encoding_of(run, dataset, part)
        if encoding is None:
            return
        mixture = mixture_of(store(), run.id)
        fitted = None
        if method in SETTINGS:
            fitted = _settings(run, dataset, part, method, dimensions)
            found = _fitted(fitted, encoding)
        else:
            show_in_link(keys.EXPLORE_SETTINGS, None)
            found = _linear(run.id, method, dimensions, encoding, mixture)
        if found is None:
            return
        others = _others(run, dataset, part, fitted, encoding, found)
    except MixvizError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    view(run.id, Shown(encoding, mixture, found, others))


def _controls(run: Run) -> tuple[str, int, str, str]:
    left, middle, right, last = st.columns([5, 2, 3, 3], vertical_alignment="bottom")
    with left:
        method = choice("Map", list(METHODS), keys.EXPLORE_METHOD, METHODS.__getitem__, pills=True)
    with middle:
        shape = choice("Dimensions", ["2", "3"], keys.EXPLORE_DIMENSIONS, str, pills=True)
    with right:
        dataset = choice(
            "Data set", _same_shape(run), keys.EXPLORE_DATASET, lambda name: SOURCES[name].title
        )
    parts = _parts(dataset, Plan.from_json(run.config).run.scored_split)
    with last:
        part = choice("Observations", parts, keys.EXPLORE_PART, _PARTS.__getitem__)
    return method, int(shape), dataset, part


def _parts(dataset: str, scored: str) -> list[str]:
    """Parts of a data set; the one on which the run is scored comes first."""
    if len(source(dataset).splits) < 2:
        return ["all"]
    return sorted(("test", "train", "all"), key=lambda part: part != scored)


def _linear(run: str, method: str, dimensions: int, encoding: Encoding, mixture: Mixture) -> Map:
    size = encoding.latents.shape[1]
    chosen: tuple[int, ...] | None = None
    if method == "latent":
        chosen = tuple(range(min(dimensions, size)))
        if size > dimensions:
            chosen = _axes(size, dimensions)
    return _projected(encoding.key, run, dimensions, chosen, encoding, mixture)


def _axes(size: int, dimensions: int) -> tuple[int, ...]:
    """Choose axes of the latent space; those that are not chosen fill up in their order."""
    first = [str(i) for i in range(dimensions)]
    options = [str(i) for i in range(size)]
    asked = choices(
        "Axes of the latent space",
        options,
        keys.EXPLORE_AXES,
        lambda i: f"z{int(i) + 1}",
        default=first,
    )
    return tuple(int(i) for i in dict.fromkeys([*asked, *first, *options]))[:dimensions]


@st.cache_resource(max_entries=6, show_spinner=False)
def _projected(
    key: str,
    run: str,
    dimensions: int,
    axes: tuple[int, ...] | None,
    _encoding: Encoding,
    _mixture: Mixture,
) -> Map:
    latents = _encoding.latents
    if axes is None or latents.shape[1] <= dimensions:
        plane = principal_plane(store(), run, latents, dimensions)
    else:
        plane = Plane.along(latents.shape[1], axes)
    return linear_map(_encoding, _mixture, plane, _LINEAR_PRIOR)


def _settings(run: Run, dataset: str, part: str, method: str, dimensions: int) -> MapChoice:
    """Draw the settings of t-SNE or UMAP."""
    config = SETTINGS[method]
    initial = st.session_state.setdefault(f"{keys.EXPLORE_SETTING}{method}", _from_link(method))
    with st.expander(f"Settings of {METHODS[method]}", icon=":material/tune:"):
        values = {}
        offered = [name for name in config.model_fields if dimensions == 2 or name not in FLAT]
        for start in range(0, len(offered), 4):
            names = offered[start : start + 4]
            for column, name in zip(st.columns(4), names, strict=False):
                key = f"{keys.EXPLORE_SETTING}{method}.{name}"
                with column:
                    values[name] = widget(config, name, getattr(initial, name), key)
    settings = {
        name: value for name, value in values.items() if value != config.model_fields[name].default
    }
    changed = ",".join(f"{name}:{value}" for name, value in settings.items())
    show_in_link(keys.EXPLORE_SETTINGS, changed)
    return MapChoice(run.id, dataset, part, method, dimensions, settings)


def _from_link(method: str) -> TSNESettings | UMAPSettings:
    """Settings of a method as the link has them; the defaults where it has none, or bad ones."""
    pairs = st.query_params.get(keys.EXPLORE_SETTINGS, "").split(",")
    asked = dict(pair.split(":", 1) for pair in pairs if ":" in pair)
    try:
        return SETTINGS[method].model_validate(asked)
    except ValidationError:
        return SETTINGS[method]()


def _fitted(chosen: MapChoice, encoding: Encoding) -> Map | None:
    """Return a map by t-SNE or UMAP, or offer to compute it."""
    key = chosen.key(encoding.key)
    ready = artifact_or_task(
        KIND,
        key,
        "mixviz.analysis.maps:make_map",
        f"Compute {METHODS[chosen.method]} of {len(encoding.latents):,} points",
        kept=(encoding.key, mixture_key(store(), chosen.run)),
        **chosen.parameters(),
    )
    return _read(key, chosen, encoding) if ready else None


@st.cache_resource(max_entries=6, show_spinner=False)
def _read(key: str, _chosen: MapChoice, _encoding: Encoding) -> Map:
    found = read_map(store(), _chosen, _encoding)
    if found is None:
        raise MixvizError("This map could not be read and was removed; compute it again.")
    return found


def _others(
    run: Run, dataset: str, part: str, choice_made: MapChoice | None, encoding: Encoding, found: Map
) -> np.ndarray | None:
    """Place another set of the same shape in the map, where one is chosen."""
    options = [_NO_OTHER]
    for name in _same_shape(run):
        for other_part in _parts(name, "test"):
            if (name, other_part) != (dataset, part):
                options.append(f"{name} {other_part}")
    with st.expander("Place another set in this map", icon=":material/add_location:"):
        chosen = choice(
            "Set",
            options,
            keys.EXPLORE_OTHER,
            lambda option: " · ".join(_called(option)),
            help="Other observations of the same shape, as this run's model sees them.",
        )
        if chosen == _NO_OTHER:
            return None
        name, _, other_part = chosen.rpartition(" ")
        other = encoding_of(run, name, other_part)
        if other is None:
            return None
        if found.plane is not None:
            return found.plane.project(other.latents).astype(np.float32)
        assert choice_made is not None
        key = placed_key(found.key, other.key)
        ready = artifact_or_task(
            PLACED,
            key,
            "mixviz.analysis.maps:place_points",
            f"Place {len(other.latents):,} points",
            other_dataset=name,
            other_part=other_part,
            **choice_made.parameters(),
        )
        kept = store().artifacts.read(PLACED, key) if ready else None
        if kept is not None and not len(kept["points"]):
            st.info("t-SNE in three dimensions cannot place new points.", icon=":material/info:")
        return kept["points"] if kept is not None and len(kept["points"]) else None


def _called(option: str) -> list[str]:
    if option == _NO_OTHER:
        return ["None"]
    name, _, part = option.rpartition(" ")
    return [SOURCES[name].title, _PARTS[part]]


def _same_shape(run: Run) -> list[str]:
    """Data sets at hand that have the shape of a run's own, which comes first."""
    own = Plan.from_json(run.config).dataset
    shape = source(own).shape
    others = [name for name, each in SOURCES.items() if each.shape == shape and not each.missing]
    return [own, *(name for name in others if name != own)]
