"""Plain-dictionary Plotly specs: packed arrays, axes, marks and layouts for either theme.

Layouts name no font and no opaque background: the page that shows them knows its theme.
"""

import base64
import dataclasses
import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from mixviz.figures.palette import NEUTRAL
from mixviz.runs.records import Event

Spec = dict[str, Any]

_GRID = "rgba(128,128,128,0.2)"
_ONE_MOVE = 0.05  # of the steps so far
_LABELLED_MARKS = 8
_SYMBOLS = {"eta": "η", "alpha": "α", "z_prior_floor": "λ", "lambda": "λ", "eps": "ε"}


def packed(array: np.ndarray) -> Spec:
    """Pack an array of one or two dimensions as Plotly.js reads it from JSON.

    Floats become 32-bit and integers at most 32-bit; non-finite values become NaN, which Plotly
    draws as gaps.

    Returns
    -------
    dict
        `dtype`, `bdata` (base64, little-endian) and, in two dimensions, `shape`.
    """
    array = np.asarray(array)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype("<f4")
        array = np.where(np.isfinite(array), array, np.float32(np.nan))
    elif array.dtype.kind == "b":
        array = array.astype("u1")
    elif array.dtype.itemsize > 4:
        fits = not array.size or max(abs(int(array.max())), abs(int(array.min()))) < 2**31
        array = array.astype("<i4" if fits else "<f8")
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    spec = {"dtype": little.dtype.str[1:], "bdata": base64.b64encode(little.tobytes()).decode()}
    if array.ndim > 1:
        spec["shape"] = ", ".join(str(size) for size in array.shape)
    return spec


def plain(text: str) -> str:
    """Escape text from outside, which Plotly would otherwise read as markup."""
    return html.escape(text, quote=False)


def axis(title: str = "", **settings: Any) -> Spec:
    """Return an axis whose lines are seen in either theme."""
    return {
        "title": {"text": title, "standoff": 6},
        "automargin": True,
        "gridcolor": _GRID,
        "zerolinecolor": _GRID,
        **settings,
    }


def layout(uirevision: str | int, x: Spec, y: Spec, **settings: Any) -> Spec:
    """Return the layout shared by all figures; the same `uirevision` keeps zoom and selection."""
    return {
        "uirevision": uirevision,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.01,
            "yanchor": "bottom",
            "itemsizing": "constant",
            "bgcolor": "rgba(0,0,0,0)",
        },
        "xaxis": x,
        "yaxis": y,
        **settings,
    }


def marks(events: Sequence[Event]) -> list[Spec]:
    """Return vertical lines where live fields were changed; the latest are labelled."""
    moves = _moves(events)
    unlabelled = len(moves) - _LABELLED_MARKS
    return [_mark(event, labelled=i >= unlabelled) for i, event in enumerate(moves)]


def _moves(events: Sequence[Event]) -> list[Event]:
    """Join changes of one field that follow close on each other, as dragging a slider makes them."""
    moves: list[Event] = []
    for event in events:
        last = moves[-1] if moves else None
        if last and last.field == event.field and event.step - last.step <= _ONE_MOVE * event.step:
            event = dataclasses.replace(event, previous=last.previous)
            moves.pop()
        moves.append(event)
    return moves


def _mark(event: Event, labelled: bool) -> Spec:
    name = _SYMBOLS.get(event.field, event.field.replace("_", " "))
    shape: Spec = {
        "type": "line",
        "yref": "paper",
        "x0": event.step,
        "x1": event.step,
        "y0": 0,
        "y1": 1,
        "line": {"color": NEUTRAL, "width": 1},
    }
    if labelled:
        text = f"{plain(name)} {event.previous:g} → {event.value:g}"
        shape["label"] = {"text": text, "textposition": "end", "font": {"size": 10}}
        # Read upwards, inside the figure, left of the line.
        shape["label"] |= {"textangle": -90, "xanchor": "right", "yanchor": "bottom"}
    return shape
