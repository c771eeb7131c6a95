"""The density that a model learned of two-dimensional data, next to a Gaussian mixture's."""

import streamlit as st

from mixviz.analysis.encoded import checkpoint_hash, saved_model
from mixviz.analysis.generation import Densities, densities
from mixviz.figures.density_pair import common_height, density_over_points
from mixviz.runs import Run
from mixviz.training.saved import Saved
from mixviz.ui.generate_samples import offer
from mixviz.ui.live_plot import live_plot
from mixviz.ui.services import store

_HEIGHT = 460


def density_section(run: Run, saved: Saved) -> None:
    """Two densities over the training data (GMVAE, figure 2b and c)."""
    found = _densities(checkpoint_hash(store(), run.id), run.id)
    points = saved.plan.load("train").x
    highest = common_height(found.learned, found.mixture)
    left, right = st.columns(2)
    with left:
        st.markdown(f"**{saved.model.title}**")
        if found.learned is None:
            st.info("This model defines no density of the data.", icon=":material/info:")
        else:
            figure = density_over_points(
                found.learned, found.extent, points, highest, f"{run.id}.learned"
            )
            live_plot(
                figure,
                key="generate.learned",
                height=_HEIGHT,
                label="Learned density over the data",
            )
            if found.learned_score is not None:
                estimated = "" if saved.model.exact_density else ", estimated"
                st.caption(f"Mean log p(x): {found.learned_score:.3f} nats{estimated}")
    with right:
        components = saved.model.config.components
        st.markdown(f"**Gaussian mixture with {components} components, fitted to the same data**")
        figure = density_over_points(
            found.mixture, found.extent, points, highest, f"{run.id}.mixture"
        )
        live_plot(
            figure, key="generate.mixture", height=_HEIGHT, label="Density of a Gaussian mixture"
        )
        st.caption(f"Mean log p(x): {found.mixture_score:.3f} nats")
    arrays = {"mixture": found.mixture, "extent": found.extent}
    if found.learned is not None:
        arrays["learned"] = found.learned
    offer(run, "density", None, **arrays)


@st.cache_data(max_entries=8, show_spinner="Evaluating the density …")
def _densities(checkpoint: str, run: str) -> Densities:
    saved = saved_model(store(), run)
    return densities(saved, saved.plan.load("train").x)
