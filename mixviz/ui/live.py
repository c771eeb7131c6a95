"""A run watched while it trains: fast panels follow every snapshot, slow ones once a second."""

import streamlit as st

from mixviz.runs import Run
from mixviz.ui import keys, panels, steering
from mixviz.ui.config_form import duration
from mixviz.ui.panels import History
from mixviz.ui.runs import badge, title
from mixviz.ui.services import store

TICK = 0.25  # seconds between looks at the store
SLOW_TICK = 1.0


def watch(run: Run) -> None:
    """Draw a run: header, controls and panels, which move while the run is live."""
    live = run.status.live
    st.subheader(title(run), anchor=False)
    if live or run.status.resumable:
        steering.buttons(run)
    if live:
        steering.sliders(run, store().events(run.id))
    if run.message:
        st.error(run.message, icon=":material/error:")
    if not store().snapshot_steps(run.id):
        st.fragment(_wait_for_first, run_every=TICK if live else None)(run.id, live)
        return
    labelled = bool(len(panels.subsample_of(run.id, run.created).labels))
    colour_by = panels.colouring(labelled)
    st.fragment(_fast, run_every=TICK if live else None)(run.id, colour_by, live)
    st.fragment(_slow, run_every=SLOW_TICK if live else None)(run.id)


def _wait_for_first(run: str, live: bool) -> None:
    """Wait for the first snapshot."""
    if store().snapshot_steps(run) or store().get(run).status.live != live:
        st.rerun()
    if live:
        st.info("Preparing the data and the model …", icon=":material/hourglass_top:")


def _fast(run_id: str, colour_by: str, live: bool) -> None:
    """Status, latent space and z-prior."""
    run = store().get(run_id)
    status_key = f"{keys.HISTORY}.{run_id}.status"
    if st.session_state.setdefault(status_key, run.status) != run.status or run.status.live != live:
        # Buttons and timers belong to the page: draw it all once more.
        st.session_state[status_key] = run.status
        st.rerun()
    if live:
        store().watch(run_id)
    progress(run)
    history = History.of(run)
    events = store().events(run_id)
    snapshot = store().snapshot(run_id, history.metrics[-1][0])
    subsample = panels.subsample_of(run_id, run.created)
    left, right = st.columns([3, 2])
    with left:
        extent = panels.running_extent(run_id, snapshot)
        panels.latent(run, snapshot, subsample, colour_by, extent, "train")
    with right:
        panels.z_prior(run, history.terms, events, "train")
        panels.usage(run, snapshot, "train")


def progress(run: Run) -> None:
    """Status, verdict, speed and remaining time."""
    if run.total_steps:
        left = run.total_steps - run.step
        speed = run.samples_per_second
        text = f"{badge(run)} epoch {run.epoch:.1f} of {run.total_steps // run.steps_per_epoch}"
        text += f" · step {run.step:,} · {duration(run.seconds)}"
        if run.status.live and speed and run.seconds:
            text += f" · {speed:,.0f} samples/s · {duration(left * run.seconds / max(run.step, 1))} left"
        st.progress(min(1.0, run.step / run.total_steps), text)
    if run.verdict:
        st.markdown(f"**{run.verdict}**")


def _slow(run_id: str) -> None:
    """Everything that may lag by a second."""
    run = store().get(run_id)
    history = History.of(run)
    events = store().events(run_id)
    snapshot = store().snapshot(run_id, history.metrics[-1][0])
    subsample = panels.subsample_of(run_id, run.created)
    left, right = st.columns(2)
    with left:
        panels.terms(run, history.terms, events, "train")
        panels.overlap(run, snapshot, "train")
    with right:
        panels.accuracy(run, history.metrics, subsample, "train")
        panels.data_space(run, snapshot, subsample, "train")
