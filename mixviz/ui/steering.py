"""Buttons and sliders that steer a run, through the store, wherever it trains."""

import time
from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo

from mixviz.errors import MixvizError
from mixviz.models import model_class
from mixviz.runs import Event, Run, Status
from mixviz.ui import keys
from mixviz.ui.config_form import (
    as_number,
    bounds,
    help_text,
    is_logarithmic,
    logarithmic_steps,
)
from mixviz.ui.runs import literal
from mixviz.ui.services import jobs, store

_SETTLED = 3.0  # seconds after which a value that the trainer took is among the run's events


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
        if run.status in (Status.RUNNING, Status.PAUSED):
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


def sliders(run: Run, events: list[Event]) -> None:
    """One slider for each live setting; moving it changes the run from its next steps on."""
    config = model_class(run.model).Config
    fields = config.live_fields()
    if not fields:
        return
    for column, name in zip(st.columns(max(2, len(fields))), fields, strict=False):
        with column:
            _slider(
                run,
                name,
                config.model_fields[name],
                _current(run, name, events),
                help_text(config, name),
            )


def _current(run: Run, name: str, events: list[Event]) -> float:
    changed = [event.value for event in events if event.field == name]
    return float(changed[-1] if changed else run.config["settings"][name])


def outdated(run: Run, events: list[Event]) -> bool:
    """Whether a slider differs from the run, which was steered from another tab or a terminal."""
    return any(
        st.session_state.get(key, current) != current and _settled(run, name, key)
        for name in model_class(run.model).Config.live_fields()
        for key, current in [(f"{keys.LIVE}{run.id}.{name}", _current(run, name, events))]
    )


def _settled(run: Run, name: str, key: str) -> bool:
    """Whether the trainer has had the time to take what this tab sent."""
    return time.monotonic() - st.session_state.get(f"{key}.sent", 0.0) > _SETTLED and name not in {
        command.field for command in store().open_commands(run.id)
    }


def _slider(run: Run, name: str, field: FieldInfo, current: float, help: str) -> None:
    key = f"{keys.LIVE}{run.id}.{name}"
    title = field.title or name
    if key not in st.session_state or _settled(run, name, key):
        # First shown, or changed from another tab or a terminal.
        st.session_state[key] = current
    common: dict[str, Any] = {
        "key": key,
        "help": help,
        "on_change": _send,
        "args": (run.id, name, key),
        "disabled": not run.status.live,
    }
    if is_logarithmic(field):
        options = logarithmic_steps(field, current)
        st.select_slider(title, options, format_func=as_number, **common)
    else:
        low, high = bounds(field)
        st.slider(title, float(low or 0), float(high or 1), step=0.05, **common)


def _send(run: str, name: str, key: str) -> None:
    st.session_state[f"{key}.sent"] = time.monotonic()
    store().send(run, "set", name, float(st.session_state[key]))
