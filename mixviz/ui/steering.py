"""Buttons and controls that steer a run, through the store, wherever it trains."""

import math
from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo

from mixviz.errors import MixvizError
from mixviz.models import model_class
from mixviz.runs import Run, Status
from mixviz.ui import keys
from mixviz.ui.config_form import (
    as_number,
    bounds,
    help_text,
    is_logarithmic,
    logarithmic_steps,
    number_step,
)
from mixviz.ui.runs import literal
from mixviz.ui.services import jobs, store

_STEP = 0.05  # of a slider
_STEPS = 200  # of a slider, at most; beyond, a pixel is more than a step


def buttons(run: Run) -> None:
    """Pause, resume, stop and checkpoint, as far as they make sense now."""
    with st.container(horizontal=True):
        if run.status is Status.RUNNING:
            _button("Pause", "pause", store().send, run.id, "pause", shortcut="P")
        if run.status is Status.PAUSED:
            _button(
                "Resume", "play_arrow", store().send, run.id, "resume", shortcut="P", type="primary"
            )
        elif run.status.resumable and run.status is not Status.FINISHED:
            _button("Resume", "play_arrow", resume, run.id, shortcut="P", type="primary")
        if run.status.live:
            _button("Stop", "stop", store().send, run.id, "stop")
        if run.status is Status.RUNNING:
            _button("Checkpoint", "save", store().send, run.id, "checkpoint")


def _button(label: str, icon: str, callback: Any, *arguments: str, **settings: Any) -> None:
    st.button(
        label,
        key=f"{label}.{arguments[0]}",
        icon=f":material/{icon}:",
        on_click=callback,
        args=arguments,
        **settings,
    )


def resume(run: str) -> None:
    """Carry a run on in this server, or say why not."""
    try:
        jobs().resume(run)
    except MixvizError as error:
        st.toast(literal(str(error)), icon=":material/error:")


def controls(run: Run) -> None:
    """One slider, or box for a number, for each live setting; it changes the run's next steps."""
    config = model_class(run.model).Config
    fields = config.live_fields()
    if not fields:
        return
    values, on_their_way = _standing(run.id)
    for column, name in zip(st.columns(max(2, len(fields))), fields, strict=False):
        key = _key(run, name)
        if key not in st.session_state or name not in on_their_way:
            # First shown, or perhaps changed from another tab or a terminal.
            st.session_state[key] = values[name]
        with column:
            _control(run, name, config.model_fields[name], help_text(config, name))


def outdated(run: Run) -> bool:
    """Whether a slider differs from the run, which was steered from another tab or a terminal."""
    values, on_their_way = _standing(run.id)
    return any(
        st.session_state.get(_key(run, name), values[name]) != values[name]
        for name in values.keys() - on_their_way
    )


def _standing(run_id: str) -> tuple[dict[str, float], set[str]]:
    """Return the live settings that are in force, and the names of those being changed."""
    # Commands are read first: one that ends meanwhile is among the events.
    on_their_way = {command.field for command in store().open_commands(run_id) if command.field}
    run = store().get(run_id)
    live = model_class(run.model).Config.live_fields()
    values = {name: run.config["settings"][name] for name in live}
    values |= {event.field: event.value for event in store().events(run_id, run.step)}
    return {name: float(value) for name, value in values.items()}, on_their_way


def _key(run: Run, name: str) -> str:
    return f"{keys.LIVE}{run.id}.{name}"


def _control(run: Run, name: str, field: FieldInfo, help: str) -> None:
    key = _key(run, name)
    title = field.title or name
    common: dict[str, Any] = {
        "key": key,
        "help": help,
        "on_change": _send,
        "args": (run.id, name, key),
        "disabled": not run.status.live,
    }
    if is_logarithmic(field):
        options = logarithmic_steps(field, st.session_state[key])
        st.select_slider(title, options, format_func=as_number, **common)
        return
    low, high = bounds(field)
    low, high = float(low or 0), float(high or 1)
    own = float(run.config["settings"][name])
    if high - low <= _STEPS * _STEP and _on_step(field.default - low) and _on_step(own - low):
        st.slider(title, low, high, step=_STEP, format="%.6g", **common)
    else:
        st.number_input(title, low, high, step=number_step(own), format="%.6g", **common)


def _on_step(distance: float) -> bool:
    """Whether a slider that begins so far below a value can come back to it."""
    return math.isclose(distance, _STEP * round(distance / _STEP), abs_tol=1e-9)


def _send(run: str, name: str, key: str) -> None:
    store().send(run, "set", name, float(st.session_state[key]))
