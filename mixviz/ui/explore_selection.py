"""What is selected on the map of Explore: its images, its composition, neighbours of a point, exports."""

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from mixviz.analysis.encoded import Encoding
from mixviz.analysis.maps import Map
from mixviz.analysis.neighbours import nearest, within
from mixviz.figures.grids import as_pixels, image_grid
from mixviz.ui import keys
from mixviz.ui.explore_colours import describe, is_error, label_name
from mixviz.ui.explore_controls import choices
from mixviz.ui.runs import linked, literal, number_in, show_in_link

COMPOSITION, POINT = "Composition", "Point"  # tabs
_PER_PAGE = 120  # images
_NEIGHBOURS = 24
_ROWS_SHOWN = 200  # of a table, where observations are not images
_VALUES_SHOWN = 50  # of an observation whose columns have no names
_RANGE = re.compile(r"(\d{1,9})(?:\s*[-–]\s*(\d{1,9}))?$")


@dataclass(frozen=True, eq=False)
class Selection:
    """Which points are selected.

    Attributes
    ----------
    mask : (N,) bool
    given
        Whether anything selects; otherwise all points are in.
    outline : (V, 2)
        What was drawn around, if anything.
    only_outline
        Whether nothing else selects.
    """

    mask: np.ndarray
    given: bool
    outline: np.ndarray | None
    only_outline: bool

    @property
    def rows(self) -> np.ndarray:
        """Rows of the selected points, in order."""
        return np.flatnonzero(self.mask)


def conditions(encoding: Encoding, found: Map, names: list[str]) -> Selection:
    """Draw what selects besides the plot, and return what is selected; all conditions must hold."""
    outline = _outline(found.key) if found.points.shape[1] == 2 else None
    mask = np.ones(len(found.points), bool)
    others = 0
    labels = encoding.data.labels
    with st.expander("Find", icon=":material/search:", expanded=_is_finding()):
        components = choices(
            "Components",
            [str(k) for k in range(len(names))],
            keys.EXPLORE_COMPONENTS,
            lambda k: names[int(k)],
        )
        if components:
            mask &= np.isin(encoding.assignments, [int(k) for k in components])
            others += 1
        if labels is not None:
            classes = [str(k) for k in np.unique(labels).tolist()]
            chosen = choices(
                "Labels",
                classes,
                keys.EXPLORE_LABELS,
                lambda k: label_name(encoding, int(k)),
            )
            if chosen:
                mask &= np.isin(labels, [int(k) for k in chosen])
                others += 1
        linked(keys.EXPLORE_ROWS, st.query_params.get(keys.EXPLORE_ROWS))
        text = st.text_input(
            "Indices", key=keys.EXPLORE_ROWS, placeholder="12, 40-60", max_chars=2000
        )
        show_in_link(keys.EXPLORE_ROWS, text)
        if text.strip():
            rows, problem = parse_rows(text, len(mask))
            if problem:
                st.warning(literal(problem), icon=":material/warning:")
            else:
                inside = np.zeros_like(mask)
                inside[rows] = True
                mask &= inside
                others += 1
        if labels is not None:
            linked(keys.EXPLORE_ERRORS, st.query_params.get(keys.EXPLORE_ERRORS) == "1" or None)
            wrong = st.toggle("Errors alone", key=keys.EXPLORE_ERRORS)
            show_in_link(keys.EXPLORE_ERRORS, "1" if wrong else None)
            if wrong:
                mask &= is_error(encoding)
                others += 1
    if outline is not None:
        mask &= within(found.points, outline)
    given = bool(others) or outline is not None
    return Selection(mask, given, outline, outline is not None and not others)


def _is_finding() -> bool:
    """Whether something else than the plot selects already, as a link may."""
    conditions = (
        keys.EXPLORE_COMPONENTS,
        keys.EXPLORE_LABELS,
        keys.EXPLORE_ROWS,
        keys.EXPLORE_ERRORS,
    )
    return any(name in st.query_params for name in conditions)


def parse_rows(text: str, count: int) -> tuple[np.ndarray, str]:
    """Read indices such as `3, 10-20`; returns them in order, and what is wrong with them if anything."""
    found: list[np.ndarray] = []
    for part in text.replace(";", ",").split(","):
        part = part.strip()
        if not part:
            continue
        match = _RANGE.match(part)
        if match is None:
            return np.empty(
                0, int
            ), f"{part!r} is not an index; write numbers and ranges: 3, 10-20."
        first, last = int(match[1]), int(match[2] or match[1])
        if last >= count or first > last:
            return np.empty(0, int), f"{part} is not among the indices 0 to {count - 1:,}."
        found.append(np.arange(first, last + 1))
    return (np.unique(np.concatenate(found)) if found else np.empty(0, int)), ""


def _outline(shown: str) -> np.ndarray | None:
    """Return what was drawn around on the map with this key, from the link at first, and write it there.

    What was drawn on another map says nothing of this one, and is forgotten.
    """
    if keys.EXPLORE_OUTLINE not in st.session_state:
        corners = parse_outline(st.query_params.get(keys.EXPLORE_OUTLINE, ""))
    else:
        drawn_on, corners = st.session_state[keys.EXPLORE_OUTLINE] or (shown, None)
        corners = corners if drawn_on == shown else None
    st.session_state[keys.EXPLORE_OUTLINE] = (shown, corners) if corners else None
    text = ";".join(f"{x:.5g},{y:.5g}" for x, y in corners) if corners else None
    show_in_link(keys.EXPLORE_OUTLINE, text)
    return np.asarray(corners, np.float64) if corners else None


def parse_outline(text: str) -> list[list[float]] | None:
    """Read corners `x,y;x,y;…` from a link; None where they are not an outline."""
    try:
        corners = [[float(number) for number in part.split(",")] for part in text.split(";")]
    except ValueError:
        return None
    fits = 3 <= len(corners) <= 500 and all(len(corner) == 2 for corner in corners)
    return corners if fits and np.isfinite(corners).all() else None


def panel(run: str, encoding: Encoding, found: Map, names: list[str], selection: Selection) -> None:
    """Show what is selected, and the neighbours of the point that was clicked on."""
    rows = selection.rows
    total = len(selection.mask)
    left, right = st.columns([3, 1], vertical_alignment="center")
    if selection.given:
        left.markdown(f"**{len(rows):,} of {total:,} selected**")
        right.button("Clear", icon=":material/close:", on_click=_clear, width="stretch")
    else:
        left.markdown(f"**All {total:,}** · draw on the map to select")
    first = "Images" if encoding.data.kind == "image" else "Values"
    linked(keys.EXPLORE_TAB, POINT if st.query_params.get(keys.EXPLORE_ROW) else first)
    if st.session_state[keys.EXPLORE_TAB] not in (COMPOSITION, POINT):
        st.session_state[keys.EXPLORE_TAB] = first
    tabs = st.tabs([first, COMPOSITION, POINT], key=keys.EXPLORE_TAB, on_change="rerun")
    with tabs[0]:
        if len(rows):
            _members(encoding, rows)
        else:
            st.caption("Nothing is selected.")
    with tabs[1]:
        _composition(encoding, rows, names)
    with tabs[2]:
        _point(encoding, names)
    _exports(run, encoding, found, names, selection)


def _clear() -> None:
    st.session_state[keys.EXPLORE_OUTLINE] = None
    st.session_state[keys.EXPLORE_DRAWN] = st.session_state.get(keys.EXPLORE_DRAWN, 0) + 1
    for key in (keys.EXPLORE_COMPONENTS, keys.EXPLORE_LABELS):
        st.session_state[key] = []
    st.session_state[keys.EXPLORE_ROWS] = ""
    st.session_state[keys.EXPLORE_ERRORS] = False
    st.session_state[keys.EXPLORE_PAGE] = 1


def _members(encoding: Encoding, rows: np.ndarray) -> None:
    """Images of the selection by component, the most confident first; a table of other data."""
    order = np.lexsort((-encoding.confidences[rows], encoding.assignments[rows]))
    rows = rows[order]
    size = _PER_PAGE if encoding.data.kind == "image" else _ROWS_SHOWN
    pages = -(-len(rows) // size)
    page = min(max(int(st.session_state.get(keys.EXPLORE_PAGE, 1)), 1), pages)
    st.session_state[keys.EXPLORE_PAGE] = page
    if pages > 1:
        page = st.number_input(
            f"Page of {pages:,}",
            1,
            pages,
            key=keys.EXPLORE_PAGE,
            help="By component, surest first.",
        )
    shown = rows[(page - 1) * size : page * size]
    if encoding.data.kind == "image":
        picture = image_grid(as_pixels(encoding.data.x[shown]), columns=12, tile=40)
        st.image(picture, width="stretch")
        first, last = (page - 1) * size + 1, (page - 1) * size + len(shown)
        st.caption(f"{first:,} to {last:,} of {len(rows):,}, by component, the surest first.")
    else:
        st.dataframe(values_table(encoding, shown), height=320)


def values_table(encoding: Encoding, rows: np.ndarray) -> pd.DataFrame:
    """Observations (n,) as their file has them, where its columns were kept; else as models see them."""
    flat = encoding.data.x[rows].reshape(len(rows), -1)
    named = {name: values[rows] for name, values in encoding.data.columns.items()}
    if len(named) < flat.shape[1]:
        named = {f"x{i + 1}": flat[:, i] for i in range(min(flat.shape[1], _VALUES_SHOWN))}
    return pd.DataFrame(named, index=pd.Index(rows, name="index"))


def _composition(encoding: Encoding, rows: np.ndarray, names: list[str]) -> None:
    """Counts by component, and by label where there are labels."""
    if not len(rows):
        st.caption("Nothing is selected.")
        return
    assigned = pd.Series(encoding.assignments[rows], name="component")
    labels = encoding.data.labels
    if labels is None:
        counts = assigned.value_counts().sort_index().to_frame("count")
        counts["share"] = counts["count"] / len(rows)
    else:
        counts = pd.crosstab(assigned, pd.Series(labels[rows], name="label"))
        counts.columns = [label_name(encoding, int(k)) for k in counts.columns]
        counts.insert(0, "all", counts.sum(axis=1))
    counts.index = pd.Index([names[int(k)] for k in counts.index], name="component")
    counts = counts.sort_values(counts.columns[0], ascending=False)
    shares = {"share": st.column_config.NumberColumn(format="percent")}
    st.dataframe(counts, column_config=shares if labels is None else None)
    if labels is not None:
        largest = np.bincount(labels[rows][labels[rows] >= 0]).max(initial=0)
        st.caption(f"The most frequent label has {largest / len(rows):.1%} of the selection.")


def _point(encoding: Encoding, names: list[str]) -> None:
    """One point and those nearest to it in latent space."""
    count = len(encoding.latents)
    linked(keys.EXPLORE_ROW, number_in(st.query_params.get(keys.EXPLORE_ROW)))
    kept = st.session_state.get(keys.EXPLORE_ROW)
    st.session_state[keys.EXPLORE_ROW] = kept if kept is not None and kept < count else None
    row = st.number_input(
        "Index of a point",
        0,
        count - 1,
        None,
        key=keys.EXPLORE_ROW,
        placeholder="click a point, or type its index",
    )
    show_in_link(keys.EXPLORE_ROW, None if row is None else str(row))
    if row is None:
        return
    st.markdown(literal(describe(encoding, names, row)))
    rows, distances = nearest(encoding.latents, row, _NEIGHBOURS)
    together = np.concatenate([[row], rows])
    if encoding.data.kind == "image":
        st.image(
            image_grid(as_pixels(encoding.data.x[together]), columns=9, tile=40), width="stretch"
        )
        st.caption("The point, then its nearest neighbours in latent space, nearest first.")
    table = pd.DataFrame(
        {
            "index": together,
            "distance": np.concatenate([[0.0], distances]),
            "component": [names[k] for k in encoding.assignments[together]],
            "confidence": encoding.confidences[together],
        }
    )
    if encoding.data.labels is not None:
        table["label"] = [label_name(encoding, int(k)) for k in encoding.data.labels[together]]
    with st.expander("As a table", expanded=encoding.data.kind != "image"):
        st.dataframe(table, hide_index=True)


def export_table(
    encoding: Encoding, found: Map, names: list[str], rows: np.ndarray
) -> pd.DataFrame:
    """Ids, coordinates and assignments of rows (n,), one a line."""
    axes = ("x", "y", "z")[: found.points.shape[1]]
    columns: dict[str, Any] = {"index": rows}
    columns |= {name: found.points[rows, i] for i, name in enumerate(axes)}
    columns["component"] = encoding.assignments[rows]
    if names != [str(k) for k in range(len(names))]:
        columns["component_name"] = [names[k] for k in encoding.assignments[rows]]
    columns["confidence"] = encoding.confidences[rows]
    columns["entropy_nats"] = encoding.entropies[rows]
    if encoding.data.labels is not None:
        labels = encoding.data.labels[rows]
        columns["label"] = labels
        columns["label_name"] = [label_name(encoding, int(k)) for k in labels]
        columns["error"] = is_error(encoding)[rows]
    for name, values in encoding.data.columns.items():
        columns[name if name not in columns else f"{name} (column)"] = values[rows]
    return pd.DataFrame(columns)


def _exports(
    run: str, encoding: Encoding, found: Map, names: list[str], selection: Selection
) -> None:
    rows = selection.rows
    what = "selection" if selection.given else "all points"

    def csv() -> bytes:
        return export_table(encoding, found, names, rows).to_csv(index=False).encode()

    def parquet() -> bytes:
        buffer = io.BytesIO()
        export_table(encoding, found, names, rows).to_parquet(buffer, index=False)
        return buffer.getvalue()

    name = f"{run}-{found.method}"
    with st.container(horizontal=True):
        for label, content, ending, kind in (
            ("CSV", csv, "csv", "text/csv"),
            ("Parquet", parquet, "parquet", "application/vnd.apache.parquet"),
        ):
            st.download_button(
                label,
                content,
                f"{name}.{ending}",
                kind,
                icon=":material/table:",
                on_click="ignore",
                disabled=not len(rows),
                help=f"Index, coordinates, component and label of the {what}.",
            )


__all__ = [
    "POINT",
    "Selection",
    "conditions",
    "export_table",
    "panel",
    "parse_outline",
    "parse_rows",
    "values_table",
]
