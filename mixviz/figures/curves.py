"""Curves over steps: z-prior against log K, the other terms, accuracy."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mixviz.figures.palette import NEUTRAL, colour
from mixviz.figures.specs import Spec, axis, layout, marks, packed, plain
from mixviz.runs.records import Event

Rows = Sequence[tuple[int, float, Mapping[str, float]]]

POINTS = 600  # on one curve; more is not seen, and is slow to draw several times a second

METRICS = {
    "hungarian": "one-to-one (Hungarian)",
    "majority": "majority label",
    "most_confident": "most confident point",
}


def z_prior_figure(
    rows: Rows,
    *,
    components: int,
    floor_history: Sequence[tuple[int, float]],
    events: Sequence[Event],
    uirevision: str | int,
) -> Spec:
    """Draw z-prior in nats over steps, between its floor λ and its ceiling log K.

    Parameters
    ----------
    rows
        Step, epoch and terms, in order of steps.
    components
        K.
    floor_history
        Steps from which a value of λ held; empty where the model has none.
    events
        Changes of live fields, which are marked.
    """
    steps, values = column(rows, "z_prior")
    ceiling = math.log(components)
    data = [_line("z_prior", steps, values, "z-prior", colour(0))]
    if len(steps):
        data.append(_ceiling(ceiling, int(steps[0]), int(steps[-1])))
    floors = [(step, value) for step, value in floor_history if math.isfinite(value)]
    if floors:
        data.append(_floor(floors, int(steps[-1]) if len(steps) else floors[-1][0]))
    highest = max([ceiling, *(value for _, value in floors), *_largest(values)])
    y = axis("nats", range=[0, 1.12 * highest if highest > 0 else 1.0])
    return {"data": data, "layout": layout(uirevision, axis("step"), y, shapes=marks(events))}


def terms_figure(
    rows: Rows,
    *,
    events: Sequence[Event],
    uirevision: str | int,
    units: str = "nats",
    names: Mapping[str, str] | None = None,
) -> Spec:
    """Draw all terms but z-prior over steps; non-finite values are gaps.

    Parameters
    ----------
    rows
        Step, epoch and terms, in order of steps.
    events
        Changes of live fields, which are marked.
    units
        Of the terms.
    names
        What terms are called; by default their keys with spaces.
    """
    called = names or {}
    data = []
    for i, term in enumerate(_terms(rows)):
        name = called.get(term, term.replace("_", " "))
        data.append(_line(term, *column(rows, term), name, colour(i + 1)))
    seen = _settled([column(rows, term)[1] for term in _terms(rows)])
    y = axis(units, range=seen) if seen else axis(units)
    return {"data": data, "layout": layout(uirevision, axis("step"), y, shapes=marks(events))}


def _settled(curves: Sequence[np.ndarray]) -> list[float] | None:
    """Range of the curves without their first tenth, where that alone would flatten all the rest."""
    late = [values[len(values) // 10 :] for values in curves]
    whole, rest = (
        np.ptp(finite) if (finite := each[np.isfinite(each)]).size else 0.0
        for each in (np.concatenate([*curves, []]), np.concatenate([*late, []]))
    )
    if not rest or whole < 20 * rest:
        return None
    low, high = np.nanmin(np.concatenate(late)), np.nanmax(np.concatenate(late))
    return [float(low - 0.05 * rest), float(high + 0.05 * rest)]


def metrics_figure(rows: Rows, uirevision: str | int, events: Sequence[Event] = ()) -> Spec:
    """Draw accuracy by mapping over steps, in [0, 1]; `events` are marked."""
    known = set().union(*(metrics for _, _, metrics in rows))
    data = [
        _line(
            key,
            *column(rows, key),
            name,
            colour(i),
            mode="lines+markers" if len(rows) < 50 else "lines",
        )
        for i, (key, name) in enumerate(METRICS.items())
        if key in known
    ]
    y = axis("", range=[0, 1.02])
    return {"data": data, "layout": layout(uirevision, axis("step"), y, shapes=marks(events))}


def column(rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and the values of one term, thinned; NaN where it is missing or not finite."""
    steps = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    values = np.fromiter((_number(row[2].get(key)) for row in rows), np.float64, len(rows))
    kept = thinned(values)
    return steps[kept], values[kept]


def thinned(values: np.ndarray, limit: int = POINTS) -> np.ndarray:
    """Return indices, in order, of at most `limit` values that keep both ends and all extremes.

    The values (N,) are cut into equal buckets, of which each keeps its least and its greatest.
    """
    if len(values) <= limit:
        return np.arange(len(values))
    width = -(-len(values) // (limit // 2 - 1))
    buckets = -(-len(values) // width)
    edge = np.arange(buckets) * width
    rest = (0, buckets * width - len(values))
    kept = [np.array([0, len(values) - 1])]
    for sign in (1.0, -1.0):
        signed = np.where(np.isnan(values), np.inf, sign * values)
        padded = np.pad(signed, rest, constant_values=np.inf).reshape(buckets, width)
        kept.append(edge + padded.argmin(1))
    return np.unique(np.concatenate(kept))


def _number(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.nan


def _largest(values: np.ndarray) -> list[float]:
    return [float(np.nanmax(values))] if np.isfinite(values).any() else []


def _terms(rows: Rows) -> list[str]:
    found = dict.fromkeys(term for _, _, terms in rows for term in terms)
    return [term for term in found if term != "z_prior"]


def _line(
    uid: str, steps: np.ndarray, values: np.ndarray, name: str, shade: str, mode: str = "lines"
) -> Spec:
    return {
        "type": "scatter",
        "mode": mode,
        "uid": uid,
        "name": plain(name),
        "x": packed(steps),
        "y": packed(values),
        "line": {"color": shade, "width": 2},
        "showlegend": True,
        "connectgaps": False,
    }


def _ceiling(value: float, first: int, last: int) -> Spec:
    """Draw log K; it is named in the legend, where no mark's label lies over it."""
    return {
        "type": "scatter",
        "mode": "lines",
        "uid": "ceiling",
        "name": "log K",
        "x": [first, last],
        "y": [value, value],
        "line": {"color": NEUTRAL, "width": 1.5, "dash": "dash"},
        "showlegend": True,
    }


def _floor(history: Sequence[tuple[int, float]], last: int) -> Spec:
    steps, values = zip(*history, strict=True)
    end = max(last, steps[-1])
    return {
        "type": "scatter",
        "mode": "lines",
        "uid": "floor",
        "name": "λ",
        "x": [*steps, end],
        "y": [*values, values[-1]],
        "line": {"color": NEUTRAL, "width": 2, "dash": "dot", "shape": "hv"},
        "showlegend": True,
    }
