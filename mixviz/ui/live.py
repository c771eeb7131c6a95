"""A run watched while it trains: plots follow it by themselves, the rest is drawn again and again."""

import streamlit as st

from mixviz.runs import Run, Snapshot, Status
from mixviz.ui import panels, steering
from mixviz.ui.config_form import duration
from mixviz.ui.moments import Moment, draw_again
from mixviz.ui.runs import badge, find, literal, title
from mixviz.ui.services import store

TICK = 0.3  # seconds between looks for the first snapshot
PROGRESS_TICK = 1.0
PICTURES_TICK = 4.0
OTHERS_TICK = 2.5

_VERDICTS = """\
*In use* are components with a tenth of an even share of the points or more, those in one place counting
once; the others are *idle*.

* *everything in one cluster*: one component has the points
* *merged, no clusters*: at most one is in use, or points tell next to nothing about their component
* *overlapping*: fewer than half of the points have a component with a probability above 0.9, and points
  tell less than half of log K about it
* *spread*: none of these
* *a single Gaussian*: K is 1
"""
_ASKED = {"stop": "stops", "pause": "pauses", "checkpoint": "writes a checkpoint"}

# The fades and spinners with which Streamlit accompanies every rerun cost, without a graphics card, a
# quarter of the training speed on two processors.
_STILL = """<style>
.stApp * { transition: none !important; animation: none !important; }
.stApp [data-stale="true"] { opacity: 1 !important; }
</style>"""


def watch(run: Run) -> None:
    """Draw a run: header, controls and panels, which move while the run is live."""
    live = run.status.live
    st.subheader(literal(title(run)), anchor=False)
    if live or run.status.resumable:
        steering.buttons(run)
    if live:
        st.html(_STILL)
        steering.controls(run)
    elif run.status.resumable:
        st.fragment(_wait_for_others, run_every=OTHERS_TICK)(run.id, run.status)
    # A trainer that was killed leaves what it was doing, and itself as the owner.
    if run.message and not live and not (run.status is Status.INTERRUPTED and run.owner):
        st.error(literal(run.message), icon=":material/error:")
    if not store().snapshot_steps(run.id):
        st.fragment(_wait_for_first, run_every=TICK if live else None)(run.id, run.status)
        return
    colour_by = panels.colouring(run)
    st.fragment(_progress, run_every=PROGRESS_TICK if live else None)(run.id, run.status)
    moment = Moment(run, _latest(run.id), colour_by=colour_by, live=live)
    has_z_prior = "z_prior" in moment.snapshot.terms
    left, right = st.columns([3, 2])
    with left:
        panels.latent(moment, "train")
    with right:
        if has_z_prior:
            panels.z_prior(moment, "train")
        panels.usage(moment, "train")
        if not has_z_prior:
            panels.accuracy(moment, "train")
    left, right = st.columns(2)
    with left:
        panels.terms(moment, "train")
        panels.overlap(moment, "train")
    with right:
        if has_z_prior:
            panels.accuracy(moment, "train")
        panels.density(moment, "train")
        if panels.has_pictures(moment.snapshot):
            st.fragment(_pictures, run_every=PICTURES_TICK if live else None)(run)


def _wait_for_others(run: str, drawn: Status) -> None:
    """Wait until another tab or a terminal resumes the run."""
    found = find(run)
    if found is None or found.status is not drawn:  # deleted in another tab, or changed
        st.rerun()


def _wait_for_first(run: str, drawn: Status) -> None:
    """Wait for the first snapshot, or for a status other than that the page was drawn with."""
    now = find(run)
    if now is None or store().snapshot_steps(run) or now.status is not drawn:
        st.rerun()
    if drawn.live:
        _doing(now)
    elif not now.message:
        st.markdown(f"{badge(now)} before its first step; *Resume* begins it again.")


def _progress(run_id: str, drawn: Status) -> None:
    """Status, verdict, speed and remaining time; it also notices when the page is out of date."""
    run = find(run_id)
    if run is None or run.status is not drawn or (drawn.live and steering.outdated(run)):
        st.rerun()  # buttons, sliders and timers belong to the page
    if run.total_steps:
        ended = run.status is Status.FINISHED
        most = "at most " if ended and run.step < run.total_steps else ""
        epochs = run.total_steps // run.steps_per_epoch
        text = f"{badge(run)} epoch {run.epoch:.1f} of {most}{epochs}"
        text += f" · step {run.step:,} · {duration(run.seconds)}"
        slow = run.config["run"].get("slow_start", 0.0)
        if run.status.live and run.seconds > slow + 1:
            pace = (run.seconds - slow) / max(run.step, 1)
            text += f" · {run.samples_per_second:,.0f} samples/s"
            text += f" · {duration(pace * (run.total_steps - run.step))} left"
        st.progress(1.0 if ended else min(1.0, run.step / run.total_steps), text)
    if run.message and run.status.live:
        _doing(run)
    if run.verdict:
        st.markdown(f"**{literal(run.verdict)}**", help=_VERDICTS)


def _doing(run: Run) -> None:
    """Say what takes long before the first step or between steps, and what it was asked to do then."""
    text = literal(run.message) or "Preparing the data and the model …"
    asked = {command.name for command in store().open_commands(run.id)}
    follows = next((words for name, words in _ASKED.items() if name in asked), None)
    if follows:
        text += f"  \nThe run {follows} as soon as this can be left."
    st.info(text, icon=":material/hourglass_top:")


def _pictures(run: Run) -> None:
    panels.pictures(Moment(run, _latest(run.id)))


def _latest(run_id: str) -> Snapshot:
    """Return the last snapshot of a run, which may go back to an earlier one when it is resumed."""
    steps = store().snapshot_steps(run_id)
    if not steps:
        st.rerun()  # the page waits for the first
    try:
        return store().snapshot(run_id, steps[-1])
    except FileNotFoundError as error:
        draw_again(error)
