"""Setting up a new run and starting it."""

import time

import streamlit as st

from mixviz.training.config import Plan, plan
from mixviz.ui import keys
from mixviz.ui.config_form import estimate_text, new_run_form
from mixviz.ui.services import jobs

_DOUBLE = 1.5  # seconds between two presses that are one


def new_run(expanded: bool) -> None:
    """Draw the form for a new run, folded away while a run is watched."""
    form = st.expander("New run", expanded=expanded, icon=":material/add:", on_change="rerun")
    if not form.open:
        return  # while a run is watched, a browser has all its widgets to go through at each frame
    with form:
        chosen = new_run_form()
        left, right = st.columns([1, 3], vertical_alignment="center")
        with left:
            # No callback: its arguments would be of before the field that was typed in last.
            pressed = st.button(
                "Start training",
                type="primary",
                icon=":material/play_arrow:",
                disabled=chosen is None,
                width="stretch",
            )
        if pressed and chosen is not None and not _pressed_twice(chosen):
            st.session_state[keys.STARTED] = jobs().start(chosen)
            st.rerun()
        if chosen is not None:
            with right:
                st.caption(estimate_text(chosen))


def _pressed_twice(chosen: Plan) -> bool:
    """Whether the same run was started here a moment ago, as by a double click."""
    before, at = st.session_state.get(keys.LAST_START, (None, 0.0))
    now = time.monotonic()
    st.session_state[keys.LAST_START] = (chosen.as_json(), now)
    return before == chosen.as_json() and now - at < _DOUBLE


def start_demo() -> None:
    """Start the run in which the components collapse, slowly enough to be watched."""
    demo = plan(preset_name="v2-degeneracy")
    st.session_state[keys.RUN] = jobs().start(demo, "Degeneracy, live")
