"""Several runs in one picture: any of their terms, and accuracy against epochs by K and S."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixviz.figures.curves import Rows, column
from mixviz.figures.palette import COLOURS, colour
from mixviz.figures.specs import Spec, axis, layout, packed, plain

MOST_CURVES = 40
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_CROSS = 12  # pixels of the mark where a run diverged


class Curve(NamedTuple):
    """One term of one run.

    Attributes
    ----------
    run
        Number of the run, which chooses the colour.
    term
        Number of the term, which chooses the dashes.
    name
        For the legend.
    rows
        Step, epoch, values by name.
    key
        Which of the values is drawn.
    diverged
        Whether the run ended because it diverged; its last finite point is marked.
    """

    run: int
    term: int
    name: str
    rows: Rows
    key: str
    diverged: bool


def curves_figure(curves: Sequence[Curve], *, over: str, units: str, uirevision: str) -> Spec:
    """Draw terms of runs over steps or epochs; divergence is marked with a cross.

    Parameters
    ----------
    over
        `step` or `epoch`.
    units
        Title of the vertical axis.
    """
    data: list[Spec] = []
    for curve in curves:
        steps, values = column(curve.rows, curve.key)
        at = steps if over == "step" else _epochs(curve.rows, steps)
        shade = colour(curve.run)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(at) < 3 else "lines",
                "uid": f"{curve.name}.{curve.key}",
                "name": plain(curve.name),
                "hoverlabel": {"namelength": -1},
                "x": packed(at),
                "y": packed(values),
                "line": {"color": shade, "width": 2, "dash": _DASHES[curve.term % len(_DASHES)]},
                "showlegend": True,
                "connectgaps": False,
            }
        )
        finite = np.flatnonzero(np.isfinite(values))
        if curve.diverged and len(finite):
            last = finite[-1]
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers+text",
                    "uid": f"{curve.name}.{curve.key}.end",
                    "x": [float(at[last])],
                    "y": [float(values[last])],
                    "text": ["diverged"],
                    "textposition": "top center",
                    "hoverinfo": "skip",
                    "marker": {
                        "symbol": "x-thin",
                        "size": _CROSS,
                        "line": {"color": shade, "width": 3},
                    },
                    "showlegend": False,
                }
            )
    return {"data": data, "layout": layout(uirevision, axis(over), axis(units))}


def _epochs(rows: Rows, steps: np.ndarray) -> np.ndarray:
    every = np.fromiter((row[0] for row in rows), np.float64, len(rows))
    epochs = np.fromiter((row[1] for row in rows), np.float64, len(rows))
    return np.interp(steps, every, epochs)


class Band(NamedTuple):
    """Mean of several runs over epochs with its standard deviation, each (M,)."""

    name: str
    epochs: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def course_figure(bands: Sequence[Band], *, title: str, uirevision: str) -> Spec:
    """Draw accuracy against epochs, one curve with its band for each choice of K and S."""
    data: list[Spec] = []
    for i, band in enumerate(bands):
        shade = colour(i)
        red, green, blue = (int(COLOURS[i % len(COLOURS)][j : j + 2], 16) for j in (1, 3, 5))
        edge = np.concatenate([band.mean + band.deviation, (band.mean - band.deviation)[::-1]])
        if band.deviation.any():
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "uid": f"{band.name}.band",
                    "x": packed(np.concatenate([band.epochs, band.epochs[::-1]])),
                    "y": packed(edge.clip(0, 1)),
                    "fill": "toself",
                    "fillcolor": f"rgba({red},{green},{blue},0.18)",
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                    "showlegend": False,
                }
            )
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "uid": band.name,
                "name": plain(band.name),
                "hoverlabel": {"namelength": -1},
                "x": packed(band.epochs),
                "y": packed(band.mean),
                "line": {"color": shade, "width": 2.5},
                "showlegend": True,
            }
        )
    y = axis(plain(title), range=[0, 1.02])
    return {"data": data, "layout": layout(uirevision, axis("epoch"), y)}
