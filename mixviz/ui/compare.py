"""Compare: the table of all runs, filtered, and what is done to those that are chosen."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from mixviz.errors import MixvizError
from mixviz.runs import Run
from mixviz.runs.catalogue import SHELVES, Shelf
from mixviz.ui import keys
from mixviz.ui.runs import (
    find,
    label_of_page,
    linked,
    literal,
    moment,
    open_run,
    show_in_link,
    shown_on,
    told_apart,
)
from mixviz.ui.services import store

MOST = 100  # runs that are chosen at once
_OFFERED = 300  # runs that the list of chosen ones offers; the table offers all
_COLUMNS = {
    "name": "Run",
    "status": "Status",
    "model": "Model",
    "dataset": "Data set",
    "components": "K",
    "samples": "S",
    "seed": "Seed",
    "hungarian": "One-to-one",
    "majority": "Majority",
    "most_confident": "Most confident",
    "nmi": "NMI",
    "ari": "ARI",
    "silhouette": "Silhouette",
    "effective_components": "Effective K",
    "split": "Scored on",
    "epoch": "Epochs",
    "seconds": "Time",
    "tags": "Tags",
    "note": "Note",
    "verdict": "Verdict",
    "created": "Begun",
    "id": "Id",
}
SHARES = ("hungarian", "majority", "most_confident", "nmi", "ari", "silhouette")


def filtered() -> pd.DataFrame:
    """Draw the filters, which are part of the link, and return the runs that pass them."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Find",
            key=keys.COMPARE_TEXT,
            bind="query-params",
            placeholder="in names, notes, tags, verdicts",
            width=260,
        )
        shelf: Shelf = st.segmented_control(
            "Show",
            SHELVES,
            default=SHELVES[0],
            required=True,
            format_func=str.capitalize,
            key=keys.COMPARE_SHELF,
            bind="query-params",
        )
    table = store().table(shelf)
    first, second, third, fourth = st.columns(4)
    with first:
        models = _choices("Model", keys.COMPARE_MODEL, table["model"])
    with second:
        datasets = _choices("Data set", keys.COMPARE_DATASET, table["dataset"])
    with third:
        statuses = _choices("Status", keys.COMPARE_STATUS, table["status"])
    with fourth:
        tags = _choices("Tag", keys.COMPARE_TAG, pd.Series(store().tags()))
    return narrowed(table, text, models, datasets, statuses, tags)


def narrowed(
    table: pd.DataFrame,
    text: str = "",
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    statuses: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the runs that have all the words, one of the choices in each filter, and all tags."""
    kept = pd.Series(True, table.index)
    for column, chosen in (("model", models), ("dataset", datasets), ("status", statuses)):
        if chosen:
            kept &= table[column].isin(list(chosen))
    if tags:
        kept &= table["tags"].map(lambda own: set(tags) <= set(own)).astype(bool)
    if len(table) and (words := text.lower().split()):  # of none the columns are numbers
        everything = (
            table["name"] + " " + table["note"] + " " + table["verdict"] + " " + table["id"]
            + " " + table["tags"].map(" ".join)
        ).str.lower()  # fmt: skip
        for word in words:
            kept &= everything.str.contains(word, regex=False)
    return table[kept]


def _choices(label: str, key: str, values: pd.Series) -> list[str]:
    linked(key, st.query_params.get_all(key))
    asked = st.session_state.get(key, [])
    # Where nothing of what is asked for is there it stays: it gives no runs, not all.
    there = set(values)
    st.session_state[key] = [v for v in asked if v in there] or asked
    options = sorted({*there, *st.session_state[key]})
    chosen = st.multiselect(label, options, key=key, placeholder="all", persist_state="session")
    show_in_link(key, chosen)
    return chosen


def choose(table: pd.DataFrame) -> list[str]:
    """Draw the list of chosen runs, which is part of the link; returns their ids."""
    linked(keys.COMPARE_RUNS, st.query_params.get_all(keys.COMPARE_RUNS))
    names = dict(zip(table["id"], table["name"], strict=True))
    asked = st.session_state.get(keys.COMPARE_RUNS, [])
    for run in asked:
        if run not in names and (hidden := _name(run)):
            names[run] = hidden
    kept = [run for run in asked if run in names][:MOST]
    st.session_state[keys.COMPARE_RUNS] = kept
    options = list(dict.fromkeys([*kept, *list(names)[:_OFFERED]]))
    named = told_apart({run: f"{names[run]} · {moment(run)}" for run in options})
    chosen = st.multiselect(
        "Chosen runs",
        options,
        key=keys.COMPARE_RUNS,
        max_selections=MOST,
        format_func=lambda run: named.get(run, run),
        placeholder="choose here, or tick rows of the table",
        persist_state="session",
    )
    show_in_link(keys.COMPARE_RUNS, chosen)
    return chosen


def _name(run: str) -> str | None:
    try:
        return store().get(run, deleted=True).name
    except MixvizError:
        return None


def runs_table(table: pd.DataFrame, chosen: Sequence[str]) -> None:
    """Draw the table; ticked rows are chosen, and a click on a heading sorts."""
    ids = table["id"].tolist()
    st.session_state[keys.COMPARE_SHOWN] = ids
    places = {run: place for place, run in enumerate(ids)}
    rows = [places[run] for run in chosen if run in places]
    st.session_state[keys.COMPARE_TABLE] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    st.dataframe(
        shown(table),
        key=keys.COMPARE_TABLE,
        hide_index=True,
        height=420,
        on_select=_tick,
        selection_mode="multi-row",
        column_config=formats(),
        placeholder="–",
        alt="All runs, one in each row",
    )
    one = "run" if len(ids) == 1 else "runs"
    st.caption(
        f"{len(ids):,} {one}. Accuracies are on the split in the column *Scored on*, each under its "
        "own mapping of components to labels."
    )


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the table that are shown, by their titles."""
    found = table[list(_COLUMNS)].rename(columns=_COLUMNS)
    begun = [datetime.fromtimestamp(seconds) for seconds in found["Begun"]]  # local, as ids have it
    found["Begun"] = pd.Series(begun, index=found.index, dtype="datetime64[s]")
    return found


def formats() -> dict[str, Any]:
    """How the columns of the table are shown, by their titles."""
    number, column = st.column_config.NumberColumn, st.column_config
    formats: dict[str, Any] = {_COLUMNS[name]: number(format="%.3f") for name in SHARES}
    formats |= {_COLUMNS[name]: number(format="%d") for name in ("components", "samples", "seed")}
    formats |= {
        "Run": column.TextColumn(pinned=True, width="medium"),
        "Effective K": number(format="%.2f"),
        "Epochs": number(format="%.1f"),
        "Time": number(format="duration"),
        "Tags": column.ListColumn(),
        "Verdict": column.TextColumn(width="large"),
        "Begun": column.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
    }
    return formats


def _tick() -> None:
    """Choose the runs whose rows are ticked; those that the filters hide stay chosen."""
    ids = st.session_state[keys.COMPARE_SHOWN]
    rows = st.session_state[keys.COMPARE_TABLE]["selection"]["rows"]
    hidden = [run for run in st.session_state.get(keys.COMPARE_RUNS, []) if run not in set(ids)]
    chosen = [*hidden, *(ids[row] for row in rows if row < len(ids))]
    if len(chosen) > MOST:
        st.toast(f"At most {MOST} runs are chosen at once; these are the first.")
    st.session_state[keys.COMPARE_RUNS] = chosen[:MOST]


# ---- what is done to runs --------------------------------------------------------------------


def undo_bar() -> None:
    """Say what was deleted last, with a button to bring it back; or what could not be done."""
    if error := st.session_state.pop(keys.COMPARE_ERROR, None):
        st.error(literal(error), icon=":material/error:")
    runs: list[str] = st.session_state.get(keys.COMPARE_UNDO, [])
    if runs:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"Deleted **{len(runs)} run{'s' * (len(runs) != 1)}**; they can be brought back for a week."
            )
            st.button("Undo", icon=":material/undo:", on_click=_restore, args=(runs,))


def actions(table: pd.DataFrame, chosen: list[str]) -> None:
    """Buttons for the chosen runs, and the export of the table."""
    shelf = st.session_state[keys.COMPARE_SHELF]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if chosen:
            if len(chosen) == 1 and (run := find(chosen[0])):
                page = shown_on(run)
                _button(label_of_page(page), "arrow_forward", open_run, run.id, page)
            _annotating(chosen)
            if shelf == "deleted":
                _button("Bring back", "undo", _restore, chosen)
            else:
                back = shelf == "archived"
                _button(
                    "Out of the archive" if back else "Archive",
                    "unarchive" if back else "archive",
                    _archive,
                    chosen,
                    not back,
                )
                _button("Delete", "delete", _delete, chosen)
        st.download_button(
            "Table as CSV",
            lambda: table_csv(table),
            "runs.csv",
            "text/csv",
            icon=":material/table:",
            on_click="ignore",
        )


def table_csv(table: pd.DataFrame) -> bytes:
    """Return the whole table as CSV: times in UTC, tags joined by semicolons."""
    found = table.assign(
        tags=table["tags"].map("; ".join),
        created=[
            datetime.fromtimestamp(t, UTC).isoformat(timespec="seconds") for t in table["created"]
        ],
    )
    return found.to_csv(index=False).encode()


def _annotating(chosen: list[str]) -> None:
    with st.popover("Name, tag, note", icon=":material/edit:"):
        run = store().get(chosen[0], deleted=True)
        if len(chosen) == 1:
            st.text_input("Name", run.name, key=_field(run, "name"), max_chars=200)
            st.text_area("Note", run.note, key=_field(run, "note"), max_chars=5000)
            st.button("Keep", type="primary", on_click=_annotate, args=(run,))
        st.text_input("Tag", key="compare.tag", max_chars=40)
        with st.container(horizontal=True):
            st.button("Add tag", on_click=_add_tag, args=(chosen,))
            for own in run.tags:
                st.button(
                    f"Remove {literal(own)}",
                    key=f"compare.untag.{own}",
                    icon=":material/close:",
                    on_click=_tag,
                    args=(chosen, own, True),
                )


def _button(label: str, icon: str, action: Callable[..., None], *arguments: Any) -> None:
    st.button(label, icon=f":material/{icon}:", on_click=action, args=arguments)


def _do(action: Callable[..., None], *arguments: Any, **named: Any) -> bool:
    try:
        action(*arguments, **named)
    except MixvizError as error:
        st.session_state[keys.COMPARE_ERROR] = str(error)
        return False
    return True


def _field(run: Run, name: str) -> str:
    """Key of a field; another one where its text was changed since, in another tab too."""
    return f"compare.{name}.{run.id}.{getattr(run, name)}"


def _annotate(run: Run) -> None:
    """Keep what was changed; the rest may have been changed in another tab since it was drawn."""
    written = {name: st.session_state[_field(run, name)] for name in ("name", "note")}
    changed = {name: text for name, text in written.items() if text != getattr(run, name)}
    _do(store().annotate, [run.id], **changed)


def _add_tag(runs: list[str]) -> None:
    _tag(runs, st.session_state["compare.tag"])


def _tag(runs: list[str], tag: str, remove: bool = False) -> None:
    _do(store().tag, runs, tag, remove=remove)


def _archive(runs: list[str], archived: bool) -> None:
    _do(store().archive, runs, archived)
    st.session_state[keys.COMPARE_RUNS] = []


def _delete(runs: list[str]) -> None:
    if _do(store().delete, runs):
        st.session_state[keys.COMPARE_UNDO] = runs
        st.session_state[keys.COMPARE_RUNS] = []


def _restore(runs: list[str]) -> None:
    _do(store().restore, runs)
    st.session_state[keys.COMPARE_UNDO] = []
    st.session_state[keys.COMPARE_RUNS] = runs
