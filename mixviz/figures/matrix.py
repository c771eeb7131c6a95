"""The cluster matrix as a table of shaded cells, and the tree of merges."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import dendrogram

from mixviz.figures.palette import NEUTRAL, colour
from mixviz.figures.specs import Spec, axis, layout, plain

MOST_CELLS = 20_000  # a browser's table beyond this is slow


def matrix_table(
    counts: np.ndarray,
    *,
    row_names: Sequence[str],
    column_names: Sequence[str],
    colours: Sequence[int],
    rows: np.ndarray,
    columns: np.ndarray,
    as_shares: bool,
) -> dict[str, Any]:
    """Describe the cluster matrix (AMM, figures 2b and 3d) for the page that draws it.

    Parameters
    ----------
    counts : (K, L)
    row_names : (K,), column_names : (L,)
    colours : (K,)
        Component whose colour each row has.
    rows, columns
        Order in which they are shown.
    as_shares
        Whether cells show shares of their row in per cent instead of counts.

    Returns
    -------
    dict
        `rows` and `columns` with `id` and `name`; for each row `total`, `colour`, and `cells` of
        `[text, shade]`, shades from 0 to 1, by share of the row. `left_out` rows are too many.
    """
    totals = counts.sum(1)
    shares = counts / np.maximum(totals, 1)[:, None]
    most = max(1, MOST_CELLS // max(counts.shape[1], 1))
    shown = [
        {
            "id": int(k),
            "name": row_names[k],
            "colour": colour(colours[k]),
            "total": f"{int(totals[k]):,}",
            "cells": [
                [
                    _text(int(counts[k, c]), float(shares[k, c]), as_shares),
                    round(float(shares[k, c]), 3),
                ]
                for c in columns
            ],
        }
        for k in rows[:most]
    ]
    return {
        "rows": shown,
        "columns": [{"id": int(c), "name": column_names[c]} for c in columns],
        "left_out": max(0, len(rows) - most),
    }


def _text(count: int, share: float, as_shares: bool) -> str:
    if not count:
        return ""
    if not as_shares:
        return f"{count:,}"
    return f"{100 * share:.0f}" if share >= 0.005 else "<1"


def tree_figure(
    tree: np.ndarray, names: Sequence[str], count: int, title: str, uirevision: str | int
) -> Spec:
    """Draw in which order K components merge, and where the tree is cut.

    Parameters
    ----------
    tree : (K - 1, 4), as `mixviz.evaluation.merging.merge_tree` gives it
    names : (K,)
    count
        Number of groups at which the tree is cut.
    title
        What the heights are.
    """
    drawn = dendrogram(tree, no_plot=True, labels=list(range(len(tree) + 1)))
    leaves = drawn["leaves"]
    places = [5 + 10 * i for i in range(len(leaves))]
    across: list[float | None] = []
    up: list[float | None] = []
    for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        across += [*x, None]
        up += [*y, None]
    heights = tree[:, 2]
    cut = _cut_height(heights, count)
    branches = {
        "type": "scatter",
        "mode": "lines",
        "x": across,
        "y": up,
        "line": {"color": NEUTRAL, "width": 2},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": places,
        "y": [0.0] * len(places),
        "marker": {"size": 12, "color": [colour(k) for k in leaves]},
        "text": [plain(names[k]) for k in leaves],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }
    line = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": cut,
        "y1": cut,
        "line": {"color": "#ea5124", "width": 1.5, "dash": "dash"},
    }
    top = max(1.0, float(heights.max(initial=0)) * 1.05)
    x = axis(
        "",
        tickvals=places,
        ticktext=[plain(names[k]) for k in leaves],
        showgrid=False,
        zeroline=False,
        range=[0, 10 * len(leaves)],
    )
    y = axis(title, range=[-0.04 * top, top], zeroline=False)
    return {"data": [branches, dots], "layout": layout(uirevision, x, y, shapes=[line])}


def _cut_height(heights: np.ndarray, count: int) -> float:
    """Height between the last merge that is made for `count` groups and the first that is not."""
    made = len(heights) + 1 - count
    below = heights[made - 1] if made > 0 else 0.0
    above = heights[made] if made < len(heights) else max(1.02, float(heights[-1]) * 1.02)
    return float(below + above) / 2
