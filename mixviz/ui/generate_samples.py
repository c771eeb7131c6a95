"""Samples of each component, and reconstructions beside what they were made from."""

import io

import numpy as np
import streamlit as st

from mixviz.analysis.encoded import checkpoint_hash, saved_model
from mixviz.analysis.generation import assignments, component_samples, reconstructions
from mixviz.data import Dataset
from mixviz.figures.grids import as_pixels, image_grid
from mixviz.figures.members import component_rows
from mixviz.figures.planar import Layer
from mixviz.runs import Run
from mixviz.runs.names import component_names
from mixviz.training.saved import Saved
from mixviz.ui import keys
from mixviz.ui.clusters_gallery import gallery, picture, plane
from mixviz.ui.panels import exact
from mixviz.ui.runs import literal
from mixviz.ui.services import store


def scored_data(saved: Saved) -> Dataset:
    """Return the part of a run's data on which it is scored."""
    return saved.plan.load(saved.plan.run.scored_split)


def seed_choice(column: st.delta_generator.DeltaGenerator) -> int:
    """Draw the choice of a seed, which is part of the link."""
    value = column.number_input(
        "Seed", 0, 2**31 - 1, 0, key=keys.SEED, bind="query-params", help="Other draws."
    )
    return int(value)


def samples_section(run: Run, saved: Saved) -> None:
    """Rows of draws, one for each component (GMVAE, figures 5a and 6; MPCC, figure 2)."""
    left, middle, right = st.columns(3)
    temperature = left.slider(
        "Temperature",
        0.0,
        2.0,
        1.0,
        0.05,
        key=keys.TEMPERATURE,
        bind="query-params",
        help="Factor of each component's standard deviation in latent space; at 0 only its mean.",
    )
    each = middle.slider("Samples of each", 1, 24, 10, key=keys.EACH, bind="query-params")
    seed = seed_choice(right)
    drawn = sampled(checkpoint_hash(store(), run.id), run.id, int(each), float(temperature), seed)
    names = component_names(store(), run.id, len(drawn))
    _grid(run, saved, drawn, names, f"samples-t{temperature:g}-seed{seed}")


def _grid(run: Run, saved: Saved, drawn: np.ndarray, names: list[str], stem: str) -> None:
    """Draw samples (K, n, *shape) and offer them as PNG and NPZ."""
    content = None
    if drawn.ndim == 5:
        numbers = range(len(drawn))
        blocks = [[as_pixels(images) for images in drawn]]
        content = component_rows(blocks, numbers, [str(k) for k in numbers])
        picture(content, f"Samples of {len(drawn)} components, a row each")
        named = [name for name in names if not name.isdecimal()]
        if named:
            st.caption(literal(" | ".join(named)))
    elif drawn.shape[2:] == (2,):
        owners = np.repeat(np.arange(len(drawn)), drawn.shape[1])
        label = f"Samples of {len(drawn)} components in the plane"
        layer = Layer("", drawn.reshape(-1, 2), owners)
        plane(scored_data(saved).x, [layer], key="generate.samples", label=label)
    else:
        flat = drawn.reshape(-1, *drawn.shape[2:])
        gallery(
            flat,
            f"Samples of {len(drawn)} components",
            facts={"component": np.repeat(names, drawn.shape[1]).tolist()},
        )
    offer(run, stem, content, samples=drawn)


def reconstruction_section(run: Run, saved: Saved) -> None:
    """Observations and what the model makes of them, side by side (AMM, figure 2c; MPCC, 3)."""
    left, right = st.columns(2)
    count = left.slider("Pairs", 4, 96, 40, 4, key=keys.PAIRS, bind="query-params")
    seed = seed_choice(right)
    data = scored_data(saved)
    order = np.random.default_rng(seed).permutation(len(data))[: int(count)]
    inputs = data.x[order]
    outputs = reconstructions(saved, inputs)
    st.caption(f"Each pair: the observation, then its reconstruction. {exact(run.model)}")
    content = None
    if data.kind == "image":
        pairs = np.stack([as_pixels(inputs), as_pixels(outputs)], 1)  # (n, 2, C, H, W)
        content = pair_grid(pairs)
        picture(content, f"{len(order)} observations and their reconstructions")
    elif data.shape == (2,):
        both = np.stack([inputs, outputs], 1).reshape(-1, 2)
        nobody = np.full(len(inputs), -1)
        layers = [
            Layer("", both, nobody, symbol="", lines="pairs"),
            Layer("observations", inputs, nobody, size=5),
            Layer("reconstructions", outputs, assignments(saved, inputs), "x", 8),
        ]
        label = (
            "Observations, grey, joined to their reconstructions, crosses in the colours of the "
            "observations' components"
        )
        plane(data.x, layers, key="generate.reconstructions", label=label)
    else:
        both = np.stack([inputs, outputs], 1).reshape(-1, *inputs.shape[1:])
        gallery(
            both,
            "Observations and reconstructions",
            facts={
                "index": np.repeat(order, 2).tolist(),
                "what": ["observation", "reconstruction"] * len(order),
            },
        )
    error = float(np.square(inputs - outputs).mean())
    st.caption(f"Mean squared error of these: {error:.4g}")
    offer(
        run, f"reconstructions-seed{seed}", content, indices=order, inputs=inputs, outputs=outputs
    )


def pair_grid(pairs: np.ndarray, across: int = 8) -> bytes:
    """PNG of pairs (n, 2, C, H, W) uint8, `across` of them in a row."""
    rows = -(-len(pairs) // across)
    missing = rows * across - len(pairs)
    if missing:
        pairs = np.concatenate([pairs, np.zeros_like(pairs[:1]).repeat(missing, 0)])
    return image_grid(pairs.reshape(rows, 2 * across, *pairs.shape[2:]))


def offer(run: Run, stem: str, png: bytes | None, **arrays: np.ndarray) -> None:
    """Draw the buttons that export what is shown: PNG for images, NPZ for everything."""
    with st.container(horizontal=True):
        if png is not None:
            st.download_button(
                "PNG",
                png,
                f"{run.id}-{stem}.png",
                "image/png",
                icon=":material/image:",
                on_click="ignore",
            )
        st.download_button(
            "NPZ",
            lambda: npz(**arrays),
            f"{run.id}-{stem}.npz",
            "application/octet-stream",
            icon=":material/data_array:",
            on_click="ignore",
            help="The numbers themselves: " + ", ".join(arrays) + ".",
        )


def npz(**arrays: np.ndarray) -> bytes:
    """Arrays as one NumPy archive."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


@st.cache_data(max_entries=16, show_spinner=False)
def sampled(checkpoint: str, run: str, each: int, temperature: float, seed: int) -> np.ndarray:
    """Draws of every component (K, each, *shape); `checkpoint` tells states of a run apart."""
    saved = saved_model(store(), run)
    return component_samples(saved, each, temperature=temperature, seed=seed)
