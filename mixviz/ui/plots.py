"""The plots of a run at one moment, for pages, and for plots that ask the server for what comes next."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

from mixviz.evaluation import dead_components, distinct_components
from mixviz.figures.curves import metrics_figure, terms_figure, z_prior_figure
from mixviz.figures.latent import latent_figure
from mixviz.figures.mixture import density_figure, overlap_figure, usage_figure
from mixviz.figures.specs import Spec
from mixviz.runs import Event, Run, Snapshot
from mixviz.ui.moments import Moment, running_extent


def _latent_figure(moment: Moment) -> tuple[Spec, str]:
    snapshot = moment.snapshot
    figure = latent_figure(
        snapshot,
        moment.subsample,
        colour_by=moment.colour_by,
        uirevision=moment.run.id,
        extent=moment.extent or running_extent(moment.run.id, snapshot),
        names=moment.names,
    )
    return figure, f"Latent space: {snapshot.verdict}"


def _z_prior_figure(moment: Moment) -> tuple[Spec, str]:
    events = moment.events
    figure = z_prior_figure(
        moment.history.terms,
        components=len(moment.snapshot.usage),
        floor_history=floor_history(moment.run, events),
        events=events,
        uirevision=moment.run.id,
    )
    return figure, "z-prior over steps"


def _usage_figure(moment: Moment) -> tuple[Spec, str]:
    snapshot = moment.snapshot
    counts = usage_counts(snapshot)
    figure = usage_figure(snapshot, moment.run.id, moment.names, note=counts)
    return figure, f"Usage of components: {counts}"


def _terms_figure(moment: Moment) -> tuple[Spec, str]:
    run = moment.run
    figure = terms_figure(
        moment.history.terms, events=moment.events, uirevision=run.id, units=units_of(run)
    )
    return figure, "Terms of the objective over steps"


def _accuracy_figure(moment: Moment) -> tuple[Spec, str]:
    figure = metrics_figure(moment.history.metrics, moment.run.id, moment.events)
    return figure, "Accuracy over steps"


def _overlap_figure(moment: Moment) -> tuple[Spec, str]:
    return overlap_figure(moment.snapshot, moment.run.id, moment.names), "Overlap of components"


def _density_figure(moment: Moment) -> tuple[Spec, str]:
    figure = density_figure(moment.snapshot, moment.subsample, moment.run.id)
    return figure, "Learned density over the data"


PLOTS: dict[str, Callable[[Moment], tuple[Spec, str]]] = {
    "latent": _latent_figure,
    "z_prior": _z_prior_figure,
    "usage": _usage_figure,
    "terms": _terms_figure,
    "accuracy": _accuracy_figure,
    "overlap": _overlap_figure,
    "density": _density_figure,
}


CURVES = ("z_prior", "terms")  # have rows and marks between two snapshots


def version(snapshot: int, step: int | None = None, events: Sequence[Event] = ()) -> str:
    """Return what tells a picture from the next: its snapshot's step, for curves also what came since.

    That is the step to which the run's rows reach, and the changes of live settings until then: while
    a run is paused one may replace another.
    """
    if step is None:
        return str(snapshot)
    return f"{snapshot}.{step}.{zlib.crc32(repr(list(events)).encode())}"


def drawn(moment: Moment, name: str) -> dict[str, Any]:
    """Return figure and label, for screen readers, of one of `PLOTS`."""
    figure, label = PLOTS[name](moment)
    step = moment.snapshot.step
    between = (moment.run.step, moment.events) if name in CURVES else ()
    figure["layout"]["meta"] = {"step": step, "version": version(step, *between)}
    return {"figure": figure, "label": label}


def floor_history(run: Run, events: Sequence[Event]) -> list[tuple[int, float]]:
    """Steps from which a value of λ held."""
    settings = run.config["settings"]
    if "z_prior_floor" not in settings:
        return []
    changes = [event for event in events if event.field == "z_prior_floor"]
    first = changes[0].previous if changes else settings["z_prior_floor"]
    return [(0, first), *((event.step, event.value) for event in changes)]


def units_of(run: Run) -> str:
    """Units of a run's terms; nats for a model that this version does not know."""
    from mixviz.models import MODELS  # imports PyTorch

    return MODELS[run.model].units if run.model in MODELS else "nats"


def usage_counts(snapshot: Snapshot) -> str:
    """Say how many components are in use, in the same place as another, and idle."""
    distinct = distinct_components(snapshot.usage, snapshot.overlap)
    idle = dead_components(snapshot.usage)
    counted = [f"{distinct} in use"]
    if alike := len(snapshot.usage) - idle - distinct:
        counted.append(f"{alike} in the same place as another")
    if idle:
        counted.append(f"{idle} idle")
    return ", ".join(counted)
