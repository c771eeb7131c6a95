"""Compare: a sweep of many runs is written, started, watched and stopped, and its groups shown."""

import pandas as pd
import streamlit as st

from mixviz.analysis.background import Task, TaskState
from mixviz.errors import MixvizError
from mixviz.ui import compare, keys
from mixviz.ui import compare_views as views
from mixviz.ui.runs import literal
from mixviz.ui.services import store
from mixviz.ui.tasks import tasks

_KEY = "sweep"  # of the task: one sweep at a time, because each takes all cores
_TICK = 1.0  # seconds between looks at a sweep in training
_MOST_BYTES = 100_000
_SHOWN = (
    "Run",
    "Seed",
    "Status",
    "Epochs",
    "Time",
    "One-to-one",
    "Silhouette",
    "Effective K",
    "Verdict",
)
_EXAMPLE = """\
# Presets, or models with data sets; a list stands for one run each.
name: spread of the components
seeds: 3
runs:
  - models: gmvae-v2
    datasets: arcs
    set:
      components: [5, 10]
      z_prior_floor: [0, 1.5]
      epochs: 40
"""
_SEARCH = """
Where a setting is a range in place of a value, it is searched, each combination with every seed:

```yaml
search: {trials: 20, criterion: silhouette}
runs:
  - presets: v2-arcs-laptop
    set:
      learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
      z_prior_floor: {choices: [0.5, 1, 1.5]}
```

`mixviz settings MODEL` and `mixviz presets` list the names. In a terminal, `mixviz sweep FILE` trains
the same, and with `--ray` on a cluster; its runs show here too.
"""


def sweep() -> None:
    """Draw the sweep: its text, what it would train, its progress, its runs and their groups."""
    task = tasks().get(_KEY)
    busy = task is not None and not task.ended
    text = _text(task if busy else None)
    with st.spinner("Reading the sweep …"):
        name, missing = _summary(text, busy)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        usual = _usual_jobs()
        jobs = st.number_input(
            "Runs at once", 1, max(64, usual), usual, key=keys.SWEEP_JOBS, width=140, disabled=busy
        )
        if st.button(
            "Train what is missing",
            type="primary",
            icon=":material/play_arrow:",
            disabled=busy or not missing,
        ):
            tasks().start(_KEY, _task(), text=text, jobs=int(jobs))
            st.rerun()
        with st.popover("Searches, clusters of machines", icon=":material/help:"):
            st.markdown(_SEARCH)
    if task is not None and task.state is TaskState.FAILED and task.parameters["text"] == text:
        st.error(literal(task.error), icon=":material/error:")
    if not busy and task is not None and task.parameters["text"] == text:
        for reason, count in (task.result or {}).items():
            st.info(f"{count} left out: {literal(reason)}", icon=":material/info:")
    if name:
        st.fragment(_watch, run_every=_TICK if busy else None)(name, busy)


def _text(running: Task | None) -> str:
    """Draw the text of the sweep; that in training is shown to whoever comes."""
    if running is not None:
        st.session_state[keys.SWEEP_TEXT] = running.parameters["text"]
    st.session_state.setdefault(keys.SWEEP_TEXT, _EXAMPLE)
    st.file_uploader(
        "A sweep in a file",
        type=["yaml", "yml"],
        key=keys.SWEEP_FILE,
        on_change=_read,
        disabled=running is not None,
        max_upload_size=1,
    )
    return st.text_area(
        "Sweep, in YAML",
        key=keys.SWEEP_TEXT,
        height=260,
        max_chars=_MOST_BYTES,
        disabled=running is not None,
        persist_state="session",
    )


def _read() -> None:
    """Put the file that was chosen in place of the text."""
    file = st.session_state[keys.SWEEP_FILE]
    if file is not None:
        text = file.getvalue()[:_MOST_BYTES].decode("utf-8", errors="replace")
        st.session_state[keys.SWEEP_TEXT] = text


def _task() -> str:
    from mixviz.sweep.task import TASK

    return TASK


def _usual_jobs() -> int:
    from mixviz.sweep import default_jobs

    return default_jobs()


def _summary(text: str, busy: bool) -> tuple[str, bool]:
    """Say what a sweep would train, or what is wrong with it.

    Returns its name, empty if it cannot be trained, and whether anything may be missing.
    """
    from mixviz.sweep import parse_sweep
    from mixviz.sweep.drive import OVER, usable

    try:
        found = parse_sweep(text, "The sweep")
        trials, searched = found.trials(), found.variants_searched()
    except MixvizError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return "", False
    parts, missing = [], 0
    if trials:
        runs = [usable(store(), trial) for trial in trials]
        missing = sum(run is None or run.status not in OVER for run in runs)
        standing = "" if busy else f": {len(trials) - missing} done, {missing} missing"
        parts.append(f"**{len(trials)} run{'s' * (len(trials) != 1)}**{standing}")
    if searched:
        most = len(searched) * found.search.trials * len(found.each_seed)
        parts.append(
            f"**{len(searched)} search{'es' * (len(searched) != 1)}** by "
            f"{literal(found.search.criterion)}, at most {most} runs"
        )
    st.markdown(" · ".join(parts))
    return found.name, bool(missing or searched)


def _watch(name: str, busy: bool) -> None:
    """Progress and runs, which move while the sweep trains."""
    task = tasks().get(_KEY)
    if busy and (task is None or task.ended):
        st.rerun()
    if busy and task is not None:
        left, right = st.columns([5, 1], vertical_alignment="center")
        stopping = task.state is TaskState.CANCELLED
        text = "Stopping; each run keeps its last checkpoint" if stopping else task.text
        left.progress(min(max(task.share, 0.0), 1.0), literal(text))
        if right.button("Stop", icon=":material/stop:", disabled=stopping, width="stretch"):
            task.cancel()
            st.rerun(scope="fragment")
    table = compare.narrowed(store().table(), tags=[name])
    if table.empty:
        return
    st.subheader("Its runs", anchor=False)
    _runs(table)
    st.subheader("Over seeds", anchor=False)
    views.seeds(table)


def _runs(table: pd.DataFrame) -> None:
    shown = compare.shown(table)[list(_SHOWN)]
    st.dataframe(
        shown,
        key=keys.SWEEP_TABLE,
        hide_index=True,
        height=min(35 * (len(shown) + 1) + 3, 420),
        column_config=compare.formats() | {"Run": st.column_config.TextColumn(width="large")},
        placeholder="–",
        alt="Runs of the sweep, the newest first",
    )
