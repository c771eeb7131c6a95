"""Long work that a page waits for: a progress bar, a cancel button, an error that stays."""

from typing import Any

import streamlit as st

from mixviz.analysis.background import Task, Tasks, TaskState
from mixviz.ui.runs import literal
from mixviz.ui.services import store

_TICK = 0.5  # seconds between looks at a running task


@st.cache_resource(show_spinner=False)
def tasks() -> Tasks:
    """Return the tasks of this server."""
    return Tasks(store().home)


def artifact_or_task(kind: str, key: str, function: str, label: str, **parameters: Any) -> bool:
    """Whether an artifact is there; if not, offer to compute it, or show how far that is.

    Parameters
    ----------
    function
        `package.module:name` of a task that writes the artifact `kind`, `key`.
    label
        What the button says; nothing is computed until it is pressed.
    """
    if store().artifacts.has(kind, key):
        return True
    task = tasks().get(f"{kind}.{key}")
    if task is not None and task.state is TaskState.RUNNING:
        st.fragment(_watch, run_every=_TICK)(f"{kind}.{key}")
        return False
    if task is not None and task.state is TaskState.FAILED:
        st.error(literal(task.error), icon=":material/error:")
    if task is not None and task.state is TaskState.CANCELLED:
        st.info("Cancelled.", icon=":material/cancel:")
    if st.button(label, type="primary", icon=":material/play_arrow:", key=f"start.{kind}.{key}"):
        tasks().start(f"{kind}.{key}", function, **parameters)
        st.rerun()
    return False


def _watch(name: str) -> None:
    task: Task | None = tasks().get(name)
    if task is None or task.state is not TaskState.RUNNING:
        st.rerun()
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.progress(min(max(task.share, 0.0), 1.0), literal(task.text))
    if right.button("Cancel", icon=":material/cancel:", key=f"cancel.{name}"):
        task.cancel()
        st.rerun()
