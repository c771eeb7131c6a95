"""The panels of a run at one step, the same on Train and on Replay."""

import base64

import streamlit as st

from mixviz.data import part
from mixviz.evaluation.degeneracy import SAME_PLACE
from mixviz.figures.grids import reconstruction_grid, sample_strip
from mixviz.figures.latent import COLOURINGS
from mixviz.runs import Run, Snapshot
from mixviz.ui import keys
from mixviz.ui.feed import plot_url
from mixviz.ui.live_plot import live_plot
from mixviz.ui.moments import Moment, draw_again, subsample_of
from mixviz.ui.plots import drawn, units_of
from mixviz.ui.runs import literal

_SHORT = 270
TITLE = 50
_TALL = 2 * (_SHORT + TITLE)  # as high as two short ones with their titles, beside which it stands
SQUARE = 540
LOW = 270


def colouring(*runs: Run) -> str:
    """Draw the choice of colours, which is part of the link; labels are offered where a run has any."""
    try:
        labelled = any(len(subsample_of(run.id, run.created).labels) for run in runs)
    except FileNotFoundError as error:
        draw_again(error)
    offered = [name.capitalize() for name in COLOURINGS if labelled or name != "label"]
    if st.session_state.get(keys.COLOUR) not in offered:  # chosen for a run with labels
        st.session_state.pop(keys.COLOUR, None)
    chosen: str = st.segmented_control(
        "Colour points by",
        offered,
        default=offered[0],
        required=True,
        key=keys.COLOUR,
        bind="query-params",
    )
    return chosen.lower()


_EVERY = {"latent": 0.2, "z_prior": 1.5, "usage": 1.5}  # seconds between two pictures at the least
_EVERY_OTHER = 4.0


def _plot(moment: Moment, name: str, key: str, height: int = _SHORT) -> None:
    follow = plot_url(moment.run.id, name, moment.colour_by) if moment.live else None
    live_plot(
        **drawn(moment, name),
        key=f"{key}.{name}",
        height=height,
        follow=follow,
        every=_EVERY.get(name, _EVERY_OTHER),
    )


def latent(moment: Moment, key: str, height: int = _TALL) -> None:
    """Latent scatter with the mixture's two-sigma contours."""
    _plot(moment, "latent", key, height)


def z_prior(moment: Moment, key: str, height: int = _SHORT) -> None:
    """Curve of the z-prior, where the model has one."""
    if "z_prior" not in moment.snapshot.terms:
        return
    st.markdown(
        f"**z-prior** against {'λ and ' if 'z_prior_floor' in moment.run.config['settings'] else ''}log K",
        help=(
            "Mean divergence of the component probabilities from uniform. Near 0 nats every component "
            "overlaps; near log K each point belongs to one."
        ),
    )
    _plot(moment, "z_prior", key, height)


def terms(moment: Moment, key: str) -> None:
    """Curves of all other terms."""
    if not moment.live and not moment.history.terms:
        return
    st.markdown(
        "**Terms of the objective**",
        help=f"Training terms ({units_of(moment.run)}), means over batches.",
    )
    _plot(moment, "terms", key)


def accuracy(moment: Moment, key: str) -> None:
    """Accuracy under the three mappings, where there are labels."""
    subsample = moment.subsample
    if not len(subsample.labels) or not (moment.live or moment.history.metrics):
        return
    st.markdown(
        f"**Accuracy** · {literal(part(subsample.split))}, {len(subsample.labels):,} points",
        help="Labels score the clusters; no model sees them, except SAMM, which sees some. Each curve maps "
        "components to labels in its own way.",
    )
    _plot(moment, "accuracy", key)


def usage(moment: Moment, key: str) -> None:
    """Share of the points in each component."""
    st.markdown(
        "**Usage**",
        help="Share of the points that each component takes. One with less than a tenth of an even "
        "share is idle, and drawn faint. Components that overlap by more than "
        f"{SAME_PLACE:g} are in the same place, and count as one in use.",
    )
    _plot(moment, "usage", key)


def overlap(moment: Moment, key: str) -> None:
    """Overlap of each pair of components."""
    st.markdown(
        "**Overlap**",
        help="Bhattacharyya coefficient of each pair: 1 where two components coincide.",
    )
    _plot(moment, "overlap", key)


def density(moment: Moment, key: str) -> None:
    """Density that the model has learned, for points in two dimensions."""
    if not len(moment.snapshot.density):
        return
    st.markdown("**Density in data space**", help="p(x) that the model has learned, over the data.")
    _plot(moment, "density", key, _SHORT + 60)


def pictures(moment: Moment) -> None:
    """Samples of each component and reconstructions, for images."""
    snapshot = moment.snapshot
    if not has_pictures(snapshot):
        return
    st.markdown(
        "**Samples of each component**",
        help="Numbers are components; pale ones are idle. GMVAE draws at w = 0.",
    )
    _picture(sample_strip(snapshot), f"Samples of each component at step {snapshot.step:,}")
    st.markdown("**Reconstructions**", help="Inputs above, what the model makes of them below.")
    grid = reconstruction_grid(snapshot, moment.subsample, columns=12)
    _picture(grid, f"Observations and their reconstructions at step {snapshot.step:,}")
    if said := exact(moment.run.model):
        st.caption(said)


def has_pictures(snapshot: Snapshot) -> bool:
    """Whether a snapshot holds images that the model has made."""
    return snapshot.samples.ndim > 3


def exact(model: str) -> str:
    """Say why a model reconstructs without any error, if it does."""
    from mixviz.models import MODELS  # imports PyTorch
    from mixviz.models.classical import ClassicalModel

    if model not in MODELS or not issubclass(MODELS[model], ClassicalModel):
        return ""
    return (
        f"The latents of {MODELS[model].title} are the data themselves: it has no encoder and no "
        "decoder, and every reconstruction is exact."
    )


def _picture(png: bytes, label: str) -> None:
    """Draw a picture that the page itself carries.

    While a run is live, a file on the server is removed before a slow browser has asked for it.
    """
    content = base64.b64encode(png).decode()
    st.html(f'<img src="data:image/png;base64,{content}" alt="{label}" style="max-width: 100%">')
