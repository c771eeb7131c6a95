"""Widgets for a configuration, generated from its pydantic models."""

import math
import types
import typing
from collections.abc import Sequence
from typing import Any

import streamlit as st
from annotated_types import Gt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mixviz.analysis.suggest import stored_suggestion
from mixviz.data import SOURCES
from mixviz.errors import MixvizError
from mixviz.models import MODELS, extra
from mixviz.models.config import bounds
from mixviz.models.start_config import TeacherConfig
from mixviz.training.config import Plan, RunConfig, plan
from mixviz.training.estimate import seconds_per_epoch
from mixviz.training.sensible import settings_for
from mixviz.ui import keys
from mixviz.ui.services import store

_FIRST = ("components", "epochs", "batch_size", "seed")
NO_PRESET = "defaults"


def is_logarithmic(field: FieldInfo) -> bool:
    """Whether a setting spans orders of magnitude: positive, and a share or almost without end."""
    high = bounds(field)[1] or 1
    positive = any(isinstance(m, Gt) and m.gt == 0 for m in field.metadata)
    return positive and (high <= 1 or high >= 1000)


def help_text(config: type[BaseModel], name: str) -> str:
    """Help of a setting, with the paper's value where it gives one and its name in commands."""
    paper = extra(config, name).get("paper")
    text = config.model_fields[name].description or ""
    said = f"{text} Paper: {paper}." if paper else text
    return f"{said} In commands and messages: `{name}`."


def widget(config: type[BaseModel], name: str, value: Any, key: str) -> Any:
    """Draw the widget that fits a setting's type and bounds, and return its value."""
    field = config.model_fields[name]
    label = field.title or name
    common: dict[str, Any] = {
        "key": key,
        "help": help_text(config, name),
        "persist_state": "session",
    }
    annotation = field.annotation
    if typing.get_origin(annotation) is typing.Literal:
        options = list(typing.get_args(annotation))
        return st.selectbox(label, options, options.index(value), **common)
    if annotation is bool:
        return st.checkbox(label, value, **common)
    inner: Any = annotation
    if typing.get_origin(annotation) is types.UnionType:
        inner = next(a for a in typing.get_args(annotation) if a is not type(None))
    low, high = bounds(field)
    if inner is int:
        return st.number_input(
            label, _whole(low), _whole(high), value, 1, placeholder="automatic", **common
        )
    if is_logarithmic(field):
        options = logarithmic_steps(field, float(value))
        return st.select_slider(label, options, float(value), as_number, **common)
    return st.number_input(
        label,
        _float(low),
        _float(high),
        float(value),
        number_step(float(value)),
        format="%.6g",
        **common,
    )


def number_step(value: float) -> float:
    """By how much a number is stepped: a small one by its own size."""
    return 0.1 if value == 0 or abs(value) >= 0.01 else abs(value)


def logarithmic_steps(field: FieldInfo, current: float) -> list[float]:
    """1, 2 and 5 times the powers of ten below a setting's upper bound, and its current value."""
    high = bounds(field)[1] or 1.0
    top = math.ceil(math.log10(high))
    values = {float(f"{digit}e{power}") for power in range(top - 5, top + 1) for digit in (1, 2, 5)}
    return sorted({value for value in values if value <= high} | {current})


def as_number(value: float) -> str:
    """Return a number as it is usually written: 0.001, 5e-06, 300."""
    return f"{value:.6g}"


def _float(bound: float | None) -> float | None:
    return None if bound is None else float(bound)


def _whole(bound: float | None) -> int | None:
    return None if bound is None else math.ceil(bound)


def new_run_form() -> Plan | None:
    """Draw data set, model, preset and every setting; return the plan, or None if it is not valid."""
    left, middle, right = st.columns(3)
    with left:
        model = st.selectbox(
            "Model",
            list(MODELS),
            key=keys.MODEL,
            format_func=lambda name: MODELS[name].title,
            persist_state="session",
        )
    cls = MODELS[model]
    with middle:
        preset = st.selectbox(
            "Preset",
            [NO_PRESET, *cls.presets],
            key=f"{keys.PRESET}.{model}",
            format_func=lambda name: cls.presets[name].title if name in cls.presets else "Defaults",
            help="Settings of the papers' figures, and some that are known to work.",
            persist_state="session",
        )
    chosen = cls.presets.get(preset)
    with right:
        names = list(SOURCES)
        dataset = st.selectbox(
            "Data set",
            names,
            names.index(chosen.dataset) if chosen else 0,
            key=f"{keys.DATASET}.{model}.{preset}",
            format_func=lambda name: (
                SOURCES[name].title + (" (not here)" if SOURCES[name].missing else "")
            ),
            persist_state="session",
        )
    if chosen and chosen.reason:
        st.caption(chosen.reason)
    if missing := SOURCES[dataset].missing:
        st.warning(missing, icon=":material/cloud_off:")
        _offer_download(dataset)
        return None
    try:
        default, prefix = _default(dataset, model, preset if chosen else None)
        values = _settings(default, prefix)
        return plan(dataset=dataset, model=model, values=values)
    except MixvizError as error:
        st.error(str(error))
        return None


def _default(dataset: str, model: str, preset: str | None) -> tuple[Plan, str]:
    """Return the plan that the form begins with, and the prefix of its widgets' keys.

    On the user's own data no preset has been tried: without one, the settings suit their size.
    """
    prefix = f"{keys.SETTING}{model}.{preset or NO_PRESET}."
    if preset or not SOURCES[dataset].version:
        return plan(dataset=dataset, model=model, preset_name=preset), prefix
    suggestion = stored_suggestion(store(), dataset)
    components = suggestion.components if suggestion else SOURCES[dataset].classes or 10
    values = settings_for(SOURCES[dataset], model, components)
    return plan(dataset=dataset, model=model, values=values), f"{prefix}{dataset}.{components}."


def _settings(default: Plan, prefix: str) -> dict[str, Any]:
    """Draw the settings that matter most in a row, and all others folded away."""
    fields = [
        (config, name, getattr(holder, name))
        for config, holder in ((type(default.settings), default.settings), (RunConfig, default.run))
        for name in config.model_fields
    ]
    first = [f for f in fields if f[1] in _FIRST or extra(f[0], f[1]).get("live")]
    first.sort(key=lambda f: f[1] in _FIRST[1:])
    rest = [f for f in fields if f not in first]
    values = _grid(first, prefix, 4)
    with st.expander("More settings"):
        values |= _grid(rest, prefix, 3)
    return values


def _grid(
    fields: Sequence[tuple[type[BaseModel], str, Any]], prefix: str, width: int
) -> dict[str, Any]:
    values = {}
    for start in range(0, len(fields), width):
        for column, (config, name, value) in zip(
            st.columns(width), fields[start : start + width], strict=False
        ):
            with column:
                values[name] = widget(config, name, value, prefix + name)
    return values


def _offer_download(dataset: str) -> None:
    if not st.button("Download now", icon=":material/download:"):
        return
    source = SOURCES[dataset]
    bar = st.progress(0.0, f"Getting {source.title} …")

    def show(share: float) -> None:
        bar.progress(share, f"Getting {source.title} …")

    try:
        source.download(show)
    except MixvizError as error:
        bar.empty()
        st.error(str(error))
        return
    st.rerun()


@st.cache_data(show_spinner="Timing a few steps …", max_entries=50)
def _timed(described: dict[str, Any]) -> float:
    return seconds_per_epoch(Plan.from_json(described))


def estimate_text(chosen: Plan) -> str:
    """Say how long the plan takes, from a few timed steps."""
    described = chosen.as_json()
    run = {
        name: described["run"][name] for name in ("batch_size", "precision", "device", "threads")
    }
    try:
        epoch = _timed({**described, "run": run})
    except Exception as error:  # libraries raise many kinds; training will say the same
        reason = str(error).partition("\n")[0]
        return reason if isinstance(error, MixvizError) else f"No estimate: {reason}"
    total = epoch * chosen.run.epochs + chosen.run.slow_start
    before = ", after clusters have been looked for" if _starts_from_clusters(chosen) else ""
    return f"About {duration(epoch)} an epoch, {duration(total)} in all{before}."


def _starts_from_clusters(chosen: Plan) -> bool:
    return isinstance(chosen.settings, TeacherConfig) and chosen.settings.teaches


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
