"""The cluster matrix, and the observations of the cell that is chosen in it."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from mixviz.figures.matrix import matrix_table
from mixviz.figures.planar import Layer
from mixviz.ui import keys
from mixviz.ui.clusters_gallery import gallery, plane
from mixviz.ui.clusters_view import View
from mixviz.ui.runs import linked, literal, show_in_link

SHOWN = 35  # observations of a cell, of either end
_HERE = Path(__file__).parent
_CSS = """
.cm { overflow-x: auto; max-height: 620px; overflow-y: auto; }
.cm-table { border-collapse: separate; border-spacing: 1px; font: 400 0.8rem var(--st-font);
  color: var(--st-text-color); }
.cm-table th { font-weight: 600; padding: 0; }
.cm-table td { padding: 0; text-align: right; }
.cm-table tbody th { position: sticky; left: 0; background: var(--st-background-color); z-index: 1; }
.cm-corner, .cm-total { padding: 0 0.5rem !important; color: var(--st-text-color); opacity: 0.7;
  font-weight: 400; text-align: right; white-space: nowrap; }
.cm-cell { all: unset; box-sizing: border-box; cursor: pointer; min-width: 2.4rem; height: 1.65rem;
  width: 100%; padding: 0 0.35rem; text-align: center; border-radius: 2px; white-space: nowrap;
  max-width: 11rem; overflow: hidden; text-overflow: ellipsis; display: block;
  line-height: 1.65rem; }
.cm-table td .cm-cell { box-shadow: inset 0 0 0 1px rgba(128, 128, 128, 0.12); }
.cm-table tbody th .cm-cell { text-align: left; }
.cm-cell:hover { box-shadow: inset 0 0 0 1px var(--st-text-color) !important; }
.cm-cell:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: -1px; }
.cm-cell[aria-pressed="true"] { outline: 2px solid var(--st-primary-color); outline-offset: -2px; }
.cm-bar { display: inline-block; width: 0.35rem; height: 1rem; margin-right: 0.45rem;
  border-radius: 2px; vertical-align: middle; }
"""

_component = st.components.v2.component(
    "mixviz_cluster_matrix", css=_CSS, js=(_HERE / "clusters_matrix.js").read_text()
)


def matrix_section(view: View) -> None:
    """Matrix with its choices and export, and the chosen cell beside it."""
    st.subheader("Cluster matrix", anchor=False)
    counts, columns, names = _table(view)
    linked(keys.CELL, st.query_params.get(keys.CELL))
    selected = _valid(st.session_state.get(keys.CELL), counts.shape)
    show_in_link(keys.CELL, selected or None)
    left, right = st.columns([5, 3])
    with left:
        _matrix(view, counts, columns, names, selected)
        _exports(view, counts, names)
    with right:
        if selected:
            _cell(view, selected, names)
        else:
            st.info(
                "Choose a cell, a component or a class to see its observations.",
                icon=":material/ads_click:",
            )


def _matrix(
    view: View, counts: np.ndarray, columns: np.ndarray, names: list[str], selected: str
) -> None:
    cells = st.segmented_control(
        "Cells show",
        ["Counts", "Shares in %"],
        default="Counts",
        required=True,
        key=keys.CELLS,
        bind="query-params",
        label_visibility="collapsed",
    )
    table = matrix_table(
        counts,
        row_names=view.names,
        column_names=names,
        colours=view.colours,
        rows=view.order,
        columns=columns,
        as_shares=cells != "Counts",
    )
    _component(
        data={
            "matrix": table,
            "selected": selected,
            "corner": "component",
            "label": f"Cluster matrix: {counts.shape[0]} components by {counts.shape[1]} classes",
        },
        key=keys.MATRIX,
        on_cell_change=_choose_cell,
    )
    if table["left_out"]:
        st.caption(f"{table['left_out']:,} more components are in the export.")
    if view.labels is not None:
        st.caption("Rows and columns follow the best one-to-one matching.")


def _table(view: View) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Counts (G, L), the order of the columns, and their names."""
    if view.matrix is not None:
        return view.matrix.counts, view.matrix.columns, view.label_names
    sizes = np.bincount(view.clustering.assignments, minlength=view.clustering.count)
    return sizes[:, None], np.array([0]), ["all"]


def _choose_cell() -> None:
    chosen = st.session_state[keys.MATRIX].cell
    again = chosen == st.session_state.get(keys.CELL)
    st.session_state[keys.CELL] = "" if again else chosen


def _valid(cell: str | None, shape: tuple[int, ...]) -> str:
    """Return `row-column` as it stands if there is such a cell; either may be left out, not both."""
    row, dash, column = (cell or "").partition("-")
    known = all(
        not part or (part.isdecimal() and len(part) < 6 and int(part) < size)
        for part, size in zip((row, column), shape, strict=True)
    )
    return f"{row}-{column}" if dash and known and (row or column) else ""


def _cell(view: View, cell: str, names: list[str]) -> None:
    """Draw the observations of a cell, the most and the least confident ones."""
    row, _, column = cell.partition("-")
    clustering, labels = view.clustering, view.labels
    of_class = None
    if column and labels is not None:
        of_class = labels == int(column)
    if row:
        indices = clustering.ranked(int(row), of_class)
    else:
        chosen = np.arange(len(view.data)) if of_class is None else np.flatnonzero(of_class)
        indices = chosen[np.argsort(-clustering.confidences[chosen], kind="stable")]
    where = [f"component {view.names[int(row)]}" if row else ""]
    where += [f"class {names[int(column)]}" if column and labels is not None else ""]
    title = ", ".join(part for part in where if part)
    st.markdown(f"**{literal(title[:1].upper() + title[1:])}** · {len(indices):,} observations")
    if not len(indices):
        return
    if view.data.shape == (2,):
        layer = Layer(
            "", view.data.x[indices], np.array(view.colours)[clustering.assignments[indices]]
        )
        plane(view.data.x, [layer], key="clusters.cell", label=title)
    for order, part in (("Most", indices[:SHOWN]), ("Least", indices[::-1][:SHOWN])):
        if order == "Least" and len(indices) <= SHOWN:
            break
        if view.data.kind == "image":
            low, high = np.sort(clustering.confidences[part])[[0, -1]]
            st.caption(f"{order} confident first, {high:.2f} to {low:.2f}")
        gallery(
            view.data.x[part],
            f"{order} confident first: {title}",
            columns=7,
            facts={
                "index": part.tolist(),
                "confidence": clustering.confidences[part].round(4).tolist(),
            },
        )
    st.download_button(
        "These observations as CSV",
        lambda: observations_csv(view, indices),
        f"{view.run.id}-cell-{cell}.csv",
        "text/csv",
        icon=":material/table:",
        on_click="ignore",
    )


def _exports(view: View, counts: np.ndarray, names: list[str]) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "Matrix as CSV",
            lambda: matrix_csv(view, counts, names),
            f"{view.run.id}-matrix.csv",
            "text/csv",
            icon=":material/table:",
            on_click="ignore",
        )
        st.download_button(
            "Assignments as CSV",
            lambda: observations_csv(view, np.arange(len(view.data))),
            f"{view.run.id}-assignments.csv",
            "text/csv",
            icon=":material/table:",
            on_click="ignore",
        )


def matrix_csv(view: View, counts: np.ndarray, names: list[str]) -> bytes:
    """Counts by component and class, in the order in which they are shown."""
    columns = np.arange(1) if view.matrix is None else view.matrix.columns
    table = pd.DataFrame(counts[np.ix_(view.order, columns)], columns=[names[c] for c in columns])
    table.insert(0, "component", [view.names[k] for k in view.order])
    return _csv(table)


def observations_csv(view: View, indices: np.ndarray) -> bytes:
    """Index, component, confidence and label of observations."""
    table = pd.DataFrame(
        {
            "index": indices,
            "component": [view.names[k] for k in view.clustering.assignments[indices]],
            "confidence": view.clustering.confidences[indices],
        }
    )
    if view.labels is not None:
        table["label"] = [view.label_names[label] for label in view.labels[indices]]
    return _csv(table)


def _csv(table: pd.DataFrame) -> bytes:
    content = io.StringIO()
    table.to_csv(content, index=False)
    return content.getvalue().encode()
