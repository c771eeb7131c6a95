"""The panels of a run at one step, the same on Train and on Replay."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import streamlit as st

from mixviz.data import part
from mixviz.evaluation import dead_components, distinct_components
from mixviz.evaluation.degeneracy import SAME_PLACE
from mixviz.figures.curves import metrics_figure, terms_figure, z_prior_figure
from mixviz.figures.grids import reconstruction_grid, sample_strip
from mixviz.figures.latent import COLOURINGS, extent_of, latent_figure
from mixviz.figures.mixture import density_figure, overlap_figure, usage_figure
from mixviz.runs import Event, Run, Snapshot, Subsample
from mixviz.runs.names import component_names
from mixviz.ui import keys
from mixviz.ui.live_plot import live_plot
from mixviz.ui.runs import literal
from mixviz.ui.services import store

Rows = list[tuple[int, float, dict[str, float]]]
Extent = tuple[float, float, float, float]

_SHORT = 270
_TALL = 2 * _SHORT + 100  # as high as two short ones with their titles, beside which it stands
SQUARE = 540


@dataclass
class History:
    """What a session has read of a run so far; each look adds what is new."""

    run: str
    terms: Rows
    metrics: Rows

    @classmethod
    def of(cls, run: Run) -> "History":
        """Return the session's history of a run, brought up to date."""
        histories: dict[str, History] = st.session_state.setdefault(keys.HISTORY, {})
        history = histories.get(run.id)
        if history is None or (history.terms and history.terms[-1][0] > run.step):
            history = histories[run.id] = cls(run.id, [], [])
        history.terms += store().terms(run.id, history.terms[-1][0] if history.terms else -1)
        history.metrics += store().snapshot_metrics(
            run.id, history.metrics[-1][0] if history.metrics else -1
        )
        return history

    def until(self, step: int) -> "History":
        """Return the history as it was at a step."""
        return History(
            self.run,
            [row for row in self.terms if row[0] <= step],
            [row for row in self.metrics if row[0] <= step],
        )


@st.cache_data(max_entries=20, show_spinner=False)
def subsample_of(run: str, created: float) -> Subsample:
    """Return what all snapshots of a run share."""
    return store().subsample(run)


@st.cache_data(max_entries=400, show_spinner=False)
def stored_snapshot(run: str, step: int) -> Snapshot:
    """Return a snapshot of a run that does not change any more."""
    return store().snapshot(run, step)


def draw_again(error: FileNotFoundError) -> NoReturn:
    """Draw the page anew: a snapshot was removed after the catalogue had named it.

    What is still missing then is said; it would be for ever.
    """
    if st.session_state.get(keys.GONE) != error.filename:
        st.session_state[keys.GONE] = error.filename
        st.rerun()
    name = literal(Path(error.filename).name)
    st.error(f"{name} is missing from the run's folder.", icon=":material/error:")
    st.stop()


def colouring(labelled: bool) -> str:
    """Draw the choice of colours, which is part of the link; returns the one to use."""
    chosen = st.segmented_control(
        "Colour points by",
        [name.capitalize() for name in COLOURINGS],
        default=COLOURINGS[0].capitalize(),
        required=True,
        key=keys.COLOUR,
        bind="query-params",
    ).lower()
    return chosen if labelled or chosen != "label" else COLOURINGS[0]


@st.cache_resource(show_spinner=False)
def _running_extents() -> dict[str, Extent]:
    """Axis ranges in which runs that train are shown, by run, to pages and to plots that follow."""
    return {}


def running_extent(run: str, snapshot: Snapshot) -> Extent:
    """Return axis ranges that follow the points without jumping at every snapshot."""
    extents, now = _running_extents(), extent_of([snapshot])
    last = extents.get(run)
    if last is None or not _fits(now, last):
        extents[run] = last = _padded(now)
    return last


def _fits(inner: Extent, outer: Extent) -> bool:
    inside = (
        inner[0] >= outer[0]
        and inner[1] <= outer[1]
        and inner[2] >= outer[2]
        and inner[3] <= outer[3]
    )
    width = max(
        (inner[1] - inner[0]) / (outer[1] - outer[0]), (inner[3] - inner[2]) / (outer[3] - outer[2])
    )
    return inside and width > 0.5


def _padded(extent: Extent, margin: float = 0.12) -> Extent:
    left, right, bottom, top = extent
    x, y = margin * (right - left), margin * (top - bottom)
    return left - x, right + x, bottom - y, top + y


def latent_plot(
    run: Run, snapshot: Snapshot, subsample: Subsample, colour_by: str, extent: Extent
) -> dict[str, Any]:
    """Return figure and label of the latent scatter with the mixture's two-sigma contours."""
    figure = latent_figure(
        snapshot,
        subsample,
        colour_by=colour_by,
        uirevision=f"{run.id}.{colour_by}",
        extent=extent,
        names=_names(run, snapshot),
    )
    figure["layout"]["meta"] = {"step": snapshot.step}
    return {"figure": figure, "label": f"Latent space: {snapshot.verdict}"}


def latent(
    run: Run,
    snapshot: Snapshot,
    subsample: Subsample,
    colour_by: str,
    extent: Extent,
    key: str,
    height: int = _TALL,
    follow: str | None = None,
) -> None:
    """Draw the latent scatter; `follow` is where it gets what comes next."""
    drawn = latent_plot(run, snapshot, subsample, colour_by, extent)
    live_plot(**drawn, key=f"{key}.latent", height=height, follow=follow)


def _names(run: Run, snapshot: Snapshot) -> list[str]:
    return component_names(store(), run.id, len(snapshot.usage))


def z_prior(run: Run, snapshot: Snapshot, rows: Rows, events: Sequence[Event], key: str) -> None:
    """Curve of the z-prior, where the model has one."""
    if "z_prior" not in snapshot.terms:
        return
    floors = floor_history(run, events)
    st.markdown(
        f"**z-prior** against {'λ and ' if floors else ''}log K",
        help=(
            "Mean divergence of the component probabilities from uniform. Near 0 nats every component "
            "overlaps; near log K each point belongs to one."
        ),
    )
    figure = z_prior_figure(
        rows,
        components=len(snapshot.usage),
        floor_history=floors,
        events=events,
        uirevision=run.id,
    )
    live_plot(figure, key=f"{key}.z_prior", height=_SHORT, label="z-prior over steps")


def floor_history(run: Run, events: Sequence[Event]) -> list[tuple[int, float]]:
    """Steps from which a value of λ held."""
    settings = run.config["settings"]
    if "z_prior_floor" not in settings:
        return []
    changes = [event for event in events if event.field == "z_prior_floor"]
    first = changes[0].previous if changes else settings["z_prior_floor"]
    return [(0, first), *((event.step, event.value) for event in changes)]


def terms(run: Run, rows: Rows, events: Sequence[Event], key: str) -> None:
    """Curves of all other terms."""
    if not rows:
        return
    units = units_of(run)
    st.markdown("**Terms of the objective**", help=f"Training terms ({units}), means over batches.")
    figure = terms_figure(rows, events=events, uirevision=run.id, units=units)
    live_plot(figure, key=f"{key}.terms", height=_SHORT, label="Terms of the objective over steps")


def units_of(run: Run) -> str:
    """Units of a run's terms; nats for a model that this version does not know."""
    from mixviz.models import MODELS  # imports PyTorch

    return MODELS[run.model].units if run.model in MODELS else "nats"


def accuracy(run: Run, rows: Rows, subsample: Subsample, key: str) -> None:
    """Accuracy under the three mappings, where there are labels."""
    if not len(subsample.labels) or not rows:
        return
    st.markdown(
        f"**Accuracy** · {literal(part(subsample.split))}, {len(subsample.labels):,} points",
        help="Labels score the clusters; no model sees them, but `samm` some. Each curve maps "
        "components to labels in its own way.",
    )
    live_plot(
        metrics_figure(rows, run.id),
        key=f"{key}.accuracy",
        height=_SHORT,
        label="Accuracy over steps",
    )


def usage(run: Run, snapshot: Snapshot, key: str) -> None:
    """Share of the points in each component."""
    distinct = distinct_components(snapshot.usage, snapshot.overlap)
    idle = dead_components(snapshot.usage)
    counted = [f"{distinct} in use"]
    if alike := len(snapshot.usage) - idle - distinct:
        counted.append(f"{alike} in the same place as another")
    if idle:
        counted.append(f"{idle} idle")
    st.markdown(
        f"**Usage** · {', '.join(counted)}",
        help="Share of the points that each component takes. One with less than a tenth of an even "
        "share is idle, and drawn faint. Components that overlap by more than "
        f"{SAME_PLACE:g} are in the same place, and count as one in use.",
    )
    live_plot(
        usage_figure(snapshot, run.id, _names(run, snapshot)),
        key=f"{key}.usage",
        height=_SHORT,
        label="Usage of components",
    )


def overlap(run: Run, snapshot: Snapshot, key: str) -> None:
    """Overlap of each pair of components."""
    st.markdown(
        "**Overlap**",
        help="Bhattacharyya coefficient of each pair: 1 where two components coincide.",
    )
    live_plot(
        overlap_figure(snapshot, run.id, _names(run, snapshot)),
        key=f"{key}.overlap",
        height=_SHORT,
        label="Overlap of components",
    )


def data_space(run: Run, snapshot: Snapshot, subsample: Subsample, key: str) -> None:
    """What the model makes of the data: density for points, samples for images."""
    if len(snapshot.density):
        st.markdown(
            "**Density in data space**", help="p(x) that the model has learned, over the data."
        )
        live_plot(
            density_figure(snapshot, subsample, run.id),
            key=f"{key}.density",
            height=_SHORT + 60,
            label="Learned density over the data",
        )
    elif snapshot.samples.ndim > 3:
        st.markdown(
            "**Samples of each component**",
            help="Numbers are components; pale ones are idle. GMVAE draws at w = 0.",
        )
        _picture(sample_strip(snapshot), f"Samples of each component at step {snapshot.step:,}")
        st.markdown("**Reconstructions**", help="Inputs above, what the model makes of them below.")
        grid = reconstruction_grid(snapshot, subsample, columns=12)
        _picture(grid, f"Observations and their reconstructions at step {snapshot.step:,}")
        if said := exact(run.model):
            st.caption(said)


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
