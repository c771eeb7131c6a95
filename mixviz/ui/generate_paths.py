"""Ways through latent space: between two observations, and along a style."""

import html

import numpy as np
import pandas as pd
import streamlit as st

from mixviz.analysis.generation import (
    interpolation,
    style_directions,
    style_traversal,
)
from mixviz.data import Dataset, part
from mixviz.figures.grids import as_pixels
from mixviz.figures.palette import colour
from mixviz.figures.planar import Layer
from mixviz.figures.traversal import interpolation_strip, traversal_grid
from mixviz.runs import Run
from mixviz.runs.names import component_names
from mixviz.training.saved import Saved
from mixviz.ui import keys
from mixviz.ui.clusters_gallery import gallery, picture, plane
from mixviz.ui.generate_samples import offer, scored_data
from mixviz.ui.runs import literal
from mixviz.ui.services import store

_SHOWN = 0.02  # probability from which a component is named


def interpolation_section(run: Run, saved: Saved) -> None:
    """Decoded line between two observations over the component probabilities (AMM, figure 2d)."""
    data = scored_data(saved)
    left, middle, right, far = st.columns([2, 2, 2, 1], vertical_alignment="bottom")
    first = _observation(left, "From observation", keys.FIRST, data, 0)
    last = _observation(middle, "To observation", keys.LAST, data, min(1, len(data) - 1))
    steps = right.slider("Steps", 3, 24, 12, key=keys.STEPS, bind="query-params")
    far.button("Random", icon=":material/shuffle:", on_click=_draw_ends, args=(len(data),))
    ends = data.x[[first, last]]
    path = interpolation(saved, ends, int(steps))
    content = None
    if data.kind == "image":
        content = interpolation_strip(
            as_pixels(path.observations), path.probabilities, as_pixels(ends)
        )
        picture(content, f"From observation {first} to {last} in {steps} steps")
        st.caption(
            "Outermost: the observations themselves. Below: probability of each component on the way."
        )
    elif data.shape == (2,):
        best = path.probabilities.argmax(1)
        layers = [
            Layer("", path.observations, best, size=9, lines="way"),
            Layer("the two observations", ends, np.full(2, -1), "diamond", 12),
        ]
        plane(data.x, layers, key="generate.way", label=f"From observation {first} to {last}")
    else:
        gallery(
            path.observations,
            f"From observation {first} to {last}",
            facts={"most probable": _likely(run, path.probabilities)},
        )
    _legend(run, path.probabilities)
    offer(
        run,
        f"interpolation-{first}-{last}",
        content,
        latents=path.latents,
        observations=path.observations,
        probabilities=path.probabilities,
    )


def _observation(
    column: st.delta_generator.DeltaGenerator, label: str, key: str, data: Dataset, default: int
) -> int:
    if not 0 <= int(st.session_state.get(key, 0)) < len(data):  # another run's data
        st.session_state[key] = default
    value = column.number_input(
        label,
        0,
        len(data) - 1,
        default,
        key=key,
        bind="query-params",
        help=f"Index in the {literal(part(data.split))} of {literal(data.name)}.",
    )
    return int(value)


def _draw_ends(count: int) -> None:
    drawn = np.random.default_rng().choice(count, 2, replace=count < 2)
    st.session_state[keys.FIRST], st.session_state[keys.LAST] = map(int, drawn)


def _likely(run: Run, probabilities: np.ndarray) -> list[str]:
    names = component_names(store(), run.id, probabilities.shape[1])
    return [f"{names[k]} ({row[k]:.2f})" for row in probabilities for k in [int(row.argmax())]]


def _legend(run: Run, probabilities: np.ndarray) -> None:
    """Name the components that occur, in their colours, and give the numbers."""
    names = component_names(store(), run.id, probabilities.shape[1])
    present = np.flatnonzero(probabilities.max(0) > _SHOWN).tolist()
    swatches = "".join(
        f'<span style="white-space:nowrap;margin-right:1rem"><span style="display:inline-block;'
        f'width:.8rem;height:.8rem;border-radius:2px;background:{colour(k)};margin-right:.35rem">'
        f"</span>{_escaped(names[k])}</span>"
        for k in present
    )
    st.html(f'<div style="font-size:.875rem">{swatches}</div>')
    with st.expander("Probabilities as numbers", icon=":material/table:"):
        table = pd.DataFrame(
            probabilities[:, present].round(4), columns=[names[k] for k in present]
        )
        table.index.name = "step"
        st.dataframe(table)


def _escaped(text: str) -> str:
    return html.escape(text)


def style_section(run: Run, saved: Saved) -> None:
    """Samples along w with the component fixed (GMVAE, figure 5b)."""
    components = saved.model.config.components
    names = component_names(store(), run.id, components)
    left, middle, right = st.columns(3)
    if not 0 <= int(st.session_state.get(keys.COMPONENT, 0)) < components:
        st.session_state[keys.COMPONENT] = 0
    component = left.number_input(
        "Component", 0, components - 1, 0, key=keys.COMPONENT, bind="query-params"
    )
    reach = middle.slider(
        "Reach",
        0.5,
        6.0,
        3.0,
        0.5,
        key=keys.REACH,
        bind="query-params",
        help="How far w goes to either side, in standard deviations of its prior.",
    )
    steps = right.slider("Steps", 3, 24, 12, key=keys.STEPS, bind="query-params")
    directions = style_directions(saved, int(component), 8)
    places = np.linspace(-reach, reach, int(steps))
    drawn = style_traversal(saved, int(component), directions, places)
    st.caption(
        f"Component {literal(names[int(component)])}, fixed; each row moves w along one direction, "
        "those that move the component's mean most first."
    )
    content = None
    if drawn.ndim == 5:
        content = traversal_grid(as_pixels(drawn))
        picture(content, f"Styles of component {component}: {len(drawn)} directions of w")
    elif drawn.shape[2:] == (2,):
        layers = [
            Layer("", way, np.full(len(way), int(component)), size=8, lines="way") for way in drawn
        ]
        label = f"Styles of component {component} in the plane"
        plane(scored_data(saved).x, layers, key="generate.style", label=label)
    else:
        gallery(
            drawn.reshape(-1, *drawn.shape[2:]),
            "Styles of the component",
            facts={
                "direction": np.repeat(np.arange(len(drawn)), len(places)).tolist(),
                "w": np.tile(places.round(2), len(drawn)).tolist(),
            },
        )
    offer(run, f"style-{component}", content, samples=drawn, directions=directions, places=places)
