"""Choosing runs, and saying in what state they are."""

import re
from collections import Counter
from collections.abc import Mapping

import streamlit as st

from mixviz.errors import MixvizError
from mixviz.runs import Run, Status
from mixviz.ui import keys
from mixviz.ui.services import store

SHOWN = 200

_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")  # of ASCII: what a backslash escapes

_BADGES = {
    Status.QUEUED: ("gray", "hourglass_empty"),
    Status.RUNNING: ("green", "play_arrow"),
    Status.PAUSED: ("orange", "pause"),
    Status.INTERRUPTED: ("orange", "power_off"),
    Status.STOPPED: ("gray", "stop"),
    Status.FINISHED: ("blue", "check"),
    Status.DIVERGED: ("red", "trending_up"),
    Status.FAILED: ("red", "error"),
}


def title(run: Run) -> str:
    """Name of a run, told from others of the same name by its time."""
    return f"{run.name} · {'shipped' if run.shipped else moment(run.id)}"


def titles(runs: Mapping[str, Run]) -> dict[str, str]:
    """Titles of runs by id for a list, no two the same.

    The time comes first: a list cuts off the end of a long name, and names begin alike.
    """
    return told_apart(
        {
            run: title(found) if found.shipped else f"{moment(found.id)} · {found.name}"
            for run, found in runs.items()
        }
    )


def told_apart(named: Mapping[str, str]) -> dict[str, str]:
    """Add the end of the id to names that several runs have.

    Runs of a sweep may begin in the same second, and Streamlit tells the options of a list apart by
    their text alone.
    """
    count = Counter(named.values())
    return {run: f"{name} · {run[-6:]}" if count[name] > 1 else name for run, name in named.items()}


def moment(run: str) -> str:
    """Month, day and time in a run's id."""
    day, time = run[4:8], run[9:15]
    return f"{day[:2]}-{day[2:]} {time[:2]}:{time[2:4]}:{time[4:]}"


def literal(text: str) -> str:
    """Escape text from outside, which Streamlit would otherwise read as Markdown.

    A run may come from a file that anyone made; as Markdown, its name could have every viewer's
    browser fetch a picture.
    """
    return _PUNCTUATION.sub(r"\\\g<0>", " ".join(text.split()))


def badge(run: Run) -> str:
    """Status of a run as a Markdown badge."""
    colour, icon = _BADGES[run.status]
    return f":{colour}-badge[:material/{icon}: {run.status}]"


def find(run: str | None) -> Run | None:
    """Return a run by id, or None if there is none of that id."""
    if not run:
        return None
    try:
        return store().get(run)
    except MixvizError:
        return None


def known_runs(*also: str | None) -> dict[str, Run]:
    """Return the newest runs by id, the shipped ones, and those asked for by id that are older."""
    listed = {run.id: run for run in [*store().runs(SHOWN), *store().runs(shipped=True)]}
    for run in also:
        if run not in listed and (found := find(run)):
            listed[found.id] = found
    return listed


def pick_run() -> None:
    """Draw the run picker in the sidebar; the choice is part of the link."""
    if started := st.session_state.pop(keys.STARTED, None):
        st.session_state[keys.RUN] = started
    linked(keys.RUN, st.query_params.get(keys.RUN))
    listed = known_runs(st.session_state.get(keys.RUN))
    if st.session_state.get(keys.RUN) not in listed:
        st.session_state[keys.RUN] = None
    named = titles(listed)
    with st.sidebar:
        st.selectbox(
            "Run",
            list(listed),
            key=keys.RUN,
            format_func=lambda run: named.get(run, run),
            placeholder="none chosen",
            help="The run that the pages show; a link holds it.",
        )
    show_in_link(keys.RUN, st.session_state[keys.RUN])


def shown_on(run: Run) -> str:
    """Page on which a run is seen: where it trains or says why it failed, else where it is replayed."""
    return "train" if run.status.live or run.status is Status.FAILED else "replay"


def number_in(text: str | None) -> int | None:
    """Return the whole number that a part of a link is, None where it is none or of ten digits or more."""
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def label_of_page(page: str) -> str:
    """Label of a button that opens a run on a page."""
    return {"train": "Watch", "clusters": "Show clusters"}.get(page, page.capitalize())


def open_run(run: str, page: str) -> None:
    """Choose a run by id and go to a page, or stay where `page` is empty."""
    st.session_state[keys.RUN] = run
    if page:
        st.switch_page(f"{page}.py")


def linked(key: str, asked: str | int | list[str] | list[int] | None) -> None:
    """Take a widget's first value from the link.

    Widgets that are bound to the link by Streamlit put their formatted options there; a link should
    hold ids.
    """
    if key not in st.session_state and asked not in (None, "", []):  # step 0 counts
        st.session_state[key] = asked


def show_in_link(key: str, value: str | list[str] | None) -> None:
    """Write a widget's value into the link."""
    if value:
        st.query_params[key] = value
    else:
        st.query_params.pop(key, None)


def forget_other_run(page: str, run: Run, *names: str) -> None:
    """Forget choices, in the session and in the link, that a page was given for another run.

    Those that a link brings belong to the run that it brings.
    """
    last = f"{keys.RUN_OF}{page}"
    if st.session_state.get(last, run.id) != run.id:
        for name in names:
            st.session_state.pop(name, None)
            st.query_params.pop(name, None)
    st.session_state[last] = run.id


def chosen_run() -> Run | None:
    """Return the run that is picked in the sidebar."""
    return find(st.session_state.get(keys.RUN))
