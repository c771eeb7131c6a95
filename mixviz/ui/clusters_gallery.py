"""Observations as pictures or, where they are not images, as rows of a table with small curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from mixviz.figures.grids import as_pixels, image_grid
from mixviz.figures.planar import Layer, planar_figure
from mixviz.ui.live_plot import live_plot
from mixviz.ui.runs import literal

_PLANE = 460  # pixels


def gallery(
    items: np.ndarray,
    label: str,
    *,
    columns: int = 12,
    facts: dict[str, Sequence[Any]] | None = None,
) -> None:
    """Draw observations (n, *shape): images as one PNG, vectors as a table.

    Parameters
    ----------
    label
        Description, read out for pictures and written above tables.
    facts
        More columns of the table, by name.
    """
    if not len(items):
        st.caption("None.")
        return
    if items.ndim == 4:
        picture(image_grid(as_pixels(items), min(columns, len(items))), label)
        return
    st.caption(literal(label))
    st.dataframe(vector_table(items, facts or {}), hide_index=True, column_config=_curves(items))


def plane(background: np.ndarray, layers: Sequence[Layer], *, key: str, label: str) -> None:
    """Draw two-dimensional observations among all of them, `background` (N, 2)."""
    live_plot(planar_figure(background, layers, key), key=key, height=_PLANE, label=label)


def picture(content: bytes, label: str) -> None:
    """Draw a PNG at its own size, narrower where the page is, with a text alternative."""
    st.image(content, alt=label)


def vector_table(items: np.ndarray, facts: dict[str, Sequence[Any]]) -> pd.DataFrame:
    """Rows of a table: the facts, and two coordinates or a curve of all of them."""
    flat = items.reshape(len(items), -1)
    table = {name: list(values) for name, values in facts.items()}
    if flat.shape[1] <= 3:
        table |= {f"x{i + 1}": flat[:, i].tolist() for i in range(flat.shape[1])}
    else:
        table["values"] = [row.tolist() for row in flat[:, :: -(-flat.shape[1] // 256)]]
    return pd.DataFrame(table)


def _curves(items: np.ndarray) -> dict[str, Any]:
    if items.reshape(len(items), -1).shape[1] <= 3:
        return {}
    low, high = np.nanquantile(items, (0.005, 0.995)).tolist()  # one outlier would flatten all
    return {
        "values": st.column_config.LineChartColumn("values", y_min=low, y_max=high, width="large")
    }
