"""A run at one of its snapshots: what pages and plots read of it, each thing once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import NoReturn

import streamlit as st

from mixviz.figures.contours import Extent
from mixviz.figures.latent import COLOURINGS, extent_of
from mixviz.runs import Event, Run, Snapshot, Subsample
from mixviz.runs.names import component_names
from mixviz.ui import keys
from mixviz.ui.runs import literal
from mixviz.ui.services import store

Rows = list[tuple[int, float, dict[str, float]]]


@dataclass(frozen=True)
class History:
    """Curves of a run so far."""

    terms: Rows
    metrics: Rows

    @classmethod
    def of(cls, run: Run) -> "History":
        """Return the curves of a run; what was read once is kept, and what is new is added."""
        reader = _reader(run.id, run.created)
        with reader.lock:
            known = reader.history
            last = known.terms[-1][0] if known.terms else 0
            terms = store().terms(run.id, last - 1)
            if known.terms and terms[:1] != known.terms[-1:]:  # taken back by a resume
                known = cls([], [])
                terms = store().terms(run.id)
            metrics = store().snapshot_metrics(
                run.id, known.metrics[-1][0] if known.metrics else -1
            )
            reader.history = cls(known.terms[:-1] + terms, known.metrics + metrics)
            return reader.history

    def until(self, step: int) -> "History":
        """Return the history as it was at a step."""
        return History(
            [row for row in self.terms if row[0] <= step],
            [row for row in self.metrics if row[0] <= step],
        )


@dataclass
class _Reader:
    history: History
    lock: Lock


@st.cache_resource(max_entries=50, ttl="1h", show_spinner=False)
def _reader(run: str, created: float) -> _Reader:
    """Return what pages and plots have read of a run's curves so far."""
    return _Reader(History([], []), Lock())


@st.cache_data(max_entries=20, show_spinner=False)
def subsample_of(run: str, created: float) -> Subsample:
    """Return what all snapshots of a run share."""
    return store().subsample(run)


def stored_snapshot(run: str, step: int) -> Snapshot:
    """Return a snapshot of a run, which is read once until it is written anew."""
    return _stored_snapshot(run, step, written(run, step))


@st.cache_data(max_entries=400, show_spinner=False)
def _stored_snapshot(run: str, step: int, written_at: int) -> Snapshot:
    return store().snapshot(run, step)


def written(run: str, step: int) -> int:
    """Nanoseconds at which a snapshot was written: again, where the run was taken back before it."""
    return store().snapshot_path(run, step).stat().st_mtime_ns


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


@dataclass(frozen=True)
class Moment:
    """A run at one of its snapshots: what its panels show.

    Parameters
    ----------
    step
        Curves and marks reach to this one; None shows all there are.
    colour_by
        One of `COLOURINGS`.
    extent
        Axis ranges of the latent space; None for those that follow a run.
    live
        Whether the plots are to follow the run.
    """

    run: Run
    snapshot: Snapshot
    step: int | None = None
    colour_by: str = COLOURINGS[0]
    extent: Extent | None = None
    live: bool = False

    @cached_property
    def subsample(self) -> Subsample:
        """What all snapshots of the run share."""
        return subsample_of(self.run.id, self.run.created)

    @cached_property
    def history(self) -> History:
        """Curves up to the step."""
        history = History.of(self.run)
        return history if self.step is None else history.until(self.step)

    @cached_property
    def events(self) -> Sequence[Event]:
        """Changes of live fields up to the step."""
        return store().events(self.run.id, self.run.step if self.step is None else self.step)

    @cached_property
    def names(self) -> list[str]:
        """Names of the components (K,)."""
        return component_names(store(), self.run.id, len(self.snapshot.usage))
