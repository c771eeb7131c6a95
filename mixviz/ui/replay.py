"""Replay: one slider and one play button for up to four runs."""

import io
from contextlib import suppress

import pandas as pd
import streamlit as st

from mixviz.errors import MixvizError
from mixviz.figures.animation import MOST_RUNS, animation_gif, animation_html
from mixviz.figures.latent import extent_of
from mixviz.runs import Run, Snapshot
from mixviz.ui import keys, panels
from mixviz.ui.moments import Extent, Moment, draw_again, stored_snapshot
from mixviz.ui.runs import badge, known_runs, linked, literal, number_in, show_in_link, titles
from mixviz.ui.services import store

TICK = 0.35  # seconds a frame is shown while playing


def choose_others(run: Run) -> list[Run]:
    """Choose up to three runs to show beside the picked one; the choice is part of the link."""
    linked(keys.COMPARED, st.query_params.get_all(keys.COMPARED))
    listed = known_runs(*st.session_state.get(keys.COMPARED, []))
    listed.pop(run.id, None)
    kept = [other for other in st.session_state.get(keys.COMPARED, []) if other in listed]
    st.session_state[keys.COMPARED] = kept[: MOST_RUNS - 1]
    named = titles(listed)
    chosen = st.multiselect(
        "Compare with",
        list(listed),
        key=keys.COMPARED,
        max_selections=MOST_RUNS - 1,
        format_func=lambda other: named.get(other, other),
        placeholder="other runs, on the same slider",
    )
    show_in_link(keys.COMPARED, chosen)
    return [listed[other] for other in chosen if other in listed]


def player(runs: list[Run], colour_by: str) -> None:
    """Slider, play button and the panels of all runs at the chosen step."""
    playing = bool(st.session_state.get(keys.PLAYING))
    st.fragment(_frame, run_every=TICK if playing else None)(runs, colour_by)


def _frame(runs: list[Run], colour_by: str) -> None:
    # Read anew for every frame: the snapshots of a live run are thinned and, after a crash, taken back.
    steps = {run.id: store().snapshot_steps(run.id) for run in runs}
    if not all(steps.values()):
        st.rerun()  # the page leaves out runs without snapshots
    step = _choose_step(sorted(set().union(*steps.values())))
    try:
        _at_step(runs, steps, step, colour_by)
    except FileNotFoundError as error:
        draw_again(error)


def _at_step(runs: list[Run], steps: dict[str, list[int]], step: int, colour_by: str) -> None:
    if len(runs) == 1:
        _all_panels(runs[0], _at(steps[runs[0].id], step), colour_by)
        return
    for start in range(0, len(runs), 2):
        for column, run in zip(st.columns(2), runs[start : start + 2], strict=False):
            with column:
                _side_by_side(run, _at(steps[run.id], step), colour_by, few=len(runs) <= 2)


def _choose_step(marks: list[int]) -> int:
    linked(keys.STEP, number_in(st.query_params.get(keys.STEP)))
    asked = st.session_state.get(keys.STEP)
    step = _at(marks, marks[-1] if asked is None else asked)
    if st.session_state.pop(keys.REWIND, False):
        step = marks[0]
    elif st.session_state.get(keys.PLAYING):
        place = marks.index(step)
        if place + 1 == len(marks):
            st.session_state[keys.PLAYING] = False
            st.rerun()
        step = marks[place + 1]
    if step != asked:
        st.session_state[keys.STEP] = step
    if len(marks) == 1:
        return marks[0]
    left, right = st.columns([2, 9], vertical_alignment="bottom")
    with left:
        playing = bool(st.session_state.get(keys.PLAYING))
        # At the end, Play starts again.
        if st.button(
            "Pause" if playing else "Play",
            icon=":material/pause:" if playing else ":material/play_arrow:",
            shortcut="K",  # Space presses the button that has the focus
            width="stretch",
        ):
            st.session_state[keys.PLAYING] = not playing
            if not playing and step == marks[-1]:
                st.session_state[keys.REWIND] = True
            st.rerun()
    with right:
        step = st.select_slider(
            "Step", marks, key=keys.STEP, format_func=lambda value: f"step {value:,}"
        )
    show_in_link(keys.STEP, str(step))
    return int(step)


def _at(steps: list[int], step: int) -> int:
    """Return the last step that has a snapshot, not after `step`."""
    return max((s for s in steps if s <= step), default=steps[0])


def _extent(run: Run) -> Extent:
    """Axis ranges that hold for the whole replay of a run."""
    extents = st.session_state.setdefault(keys.EXTENT, {})
    key = f"replay.{run.id}.{run.step}"
    if key not in extents:
        steps = store().snapshot_steps(run.id)
        sampled = steps[:: max(1, len(steps) // 12)] + steps[-1:]
        extents[key] = extent_of([stored_snapshot(run.id, s) for s in sampled])
    found: Extent = extents[key]
    return found


def _side_by_side(run: Run, step: int, colour_by: str, few: bool) -> None:
    moment = _moment(run, step, colour_by)
    st.caption(f"**{literal(run.name)}** · step {step:,} · {literal(moment.snapshot.verdict)}")
    key = f"replay.{run.id}"
    if few:
        panels.latent(moment, key, panels.SQUARE)
        panels.z_prior(moment, key)
        panels.density(moment, key)  # not of more runs: browsers hold few WebGL contexts
    elif "z_prior" not in moment.snapshot.terms:
        panels.latent(moment, key, panels.LOW)
    else:  # so that four runs stand on one screen
        left, right = st.columns([3, 2])
        with left:
            panels.latent(moment, key, panels.LOW)
        with right:
            panels.z_prior(moment, key, panels.LOW - panels.TITLE)
    panels.pictures(moment)


def _all_panels(run: Run, step: int, colour_by: str) -> None:
    moment = _moment(run, step, colour_by)
    snapshot = moment.snapshot
    key = "replay"
    st.markdown(f"**{literal(snapshot.verdict)}** · step {step:,}, epoch {snapshot.epoch:.1f}")
    left, right = st.columns([3, 2])
    with left:
        panels.latent(moment, key)
        panels.terms(moment, key)
        panels.overlap(moment, key)
    with right:
        panels.z_prior(moment, key)
        panels.usage(moment, key)
        panels.accuracy(moment, key)
        panels.density(moment, key)
        panels.pictures(moment)


def _moment(run: Run, step: int, colour_by: str) -> Moment:
    snapshot = stored_snapshot(run.id, step)
    return Moment(run, snapshot, step, colour_by, _extent(run))


def exports(runs: list[Run], colour_by: str) -> None:
    """Animation as HTML and GIF, terms as CSV, the run as a bundle."""
    with st.expander("Export", icon=":material/download:"):
        one = runs[0]
        with st.container(horizontal=True):
            html = st.button(
                "Animation as HTML",
                icon=":material/html:",
                help=("All shown runs on one page that works without a network."),
            )
            gif = st.button("Animation as GIF", icon=":material/gif_box:", help=literal(one.name))
            st.download_button(
                "Terms as CSV",
                lambda: terms_csv(one),
                f"{one.id}-terms.csv",
                "text/csv",
                icon=":material/table:",
                on_click="ignore",
            )
            bundle = st.button(
                "Run as a file",
                icon=":material/inventory_2:",
                help=(
                    "Everything: configuration, curves, snapshots, weights. Read it with mixviz import."
                ),
            )
        try:
            if html:
                _offer(_html(runs, colour_by), "animation.html", "text/html")
            if gif:
                _offer(_gif(one, colour_by), f"{one.id}.gif", "image/gif")
            if bundle:
                _offer(_bundle(one), f"{one.id}.mixviz", "application/zip")
        except MixvizError as error:
            st.error(literal(str(error)), icon=":material/error:")


def _offer(content: bytes, name: str, kind: str) -> None:
    size = f"{len(content) / 1e6:.1f} MB"
    st.download_button(
        f"Save {name} ({size})", content, name, kind, type="primary", on_click="ignore"
    )


def _html(runs: list[Run], colour_by: str) -> bytes:
    with st.spinner("Writing the page …"):
        shown = [
            (
                run.name,
                _snapshots(run),
                store().subsample(run.id),
            )
            for run in runs
        ]
        return animation_html(shown, colour_by=colour_by).encode()


def _gif(run: Run, colour_by: str) -> bytes:
    bar = st.progress(0.0, "Drawing frames …")

    def show(share: float) -> None:
        bar.progress(min(share, 1.0), "Drawing frames …")

    content = animation_gif(
        _snapshots(run),
        store().subsample(run.id),
        colour_by=colour_by,
        progress=show,
    )
    bar.empty()
    return content


def _snapshots(run: Run) -> list[Snapshot]:
    """Return the snapshots of a run, without those that are thinned away meanwhile."""
    found = []
    for step in store().snapshot_steps(run.id):
        with suppress(FileNotFoundError):
            found.append(store().snapshot(run.id, step))
    return found


def _bundle(run: Run) -> bytes:
    import tempfile
    from pathlib import Path

    from mixviz.runs.bundle import export_run

    with st.spinner("Packing the run …"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.mixviz"
        export_run(store(), run.id, path)
        return path.read_bytes()


def terms_csv(run: Run) -> bytes:
    """Terms of a run as CSV: one row a step, one column a term."""
    rows = [{"step": step, "epoch": epoch, **terms} for step, epoch, terms in store().terms(run.id)]
    content = io.StringIO()
    pd.DataFrame(rows).to_csv(content, index=False)
    return content.getvalue().encode()


def heading(run: Run) -> None:
    """Name and status of the replayed run."""
    st.subheader(f"{literal(run.name)} {'' if run.shipped else badge(run)}", anchor=False)
