"""The latent plane: points, the mixture's contours, and which component is which."""

from collections.abc import Sequence

import numpy as np

from mixviz.evaluation.degeneracy import occupied
from mixviz.figures.contours import FAINT, Extent, drawable, ellipses, extent_of, look
from mixviz.figures.palette import (
    COLOURS,
    NEUTRAL,
    UNKNOWN,
    codes,
    colour,
    ink,
    sequential_rgb,
    sequential_scale,
)
from mixviz.figures.specs import Spec, axis, layout, packed, plain
from mixviz.runs.snapshots import Snapshot, Subsample

__all__ = ["COLOURINGS", "axis_titles", "extent_of", "latent_figure", "point_values"]

COLOURINGS = ("component", "label", "confidence")

_LEGEND_LIMIT = 20
_BINS = 8  # of confidence


def latent_figure(
    snapshot: Snapshot,
    subsample: Subsample,
    *,
    colour_by: str,
    uirevision: str | int,
    extent: Extent | None = None,
    names: Sequence[str] | None = None,
) -> Spec:
    """Draw points in the latent plane under the two-sigma contours of the mixture.

    Each component has one contour, with the uid `component-<k>`; beyond 50 components those of one
    colour share a trace.

    Parameters
    ----------
    colour_by
        One of `COLOURINGS`.
    uirevision
        What must stay the same for zoom, selection and hidden components to be kept.
    extent
        Left, right, bottom, top; by default that of this snapshot.
    names
        Names of the K components, shown on hover; by default their numbers.

    Raises
    ------
    ValueError
        When `colour_by` is not a colouring.
    """
    left, right, bottom, top = extent or extent_of([snapshot])
    x_title, y_title = axis_titles(snapshot)
    components = len(snapshot.means)
    called = [plain(names[k]) if names else str(k) for k in range(components)]
    return {
        "data": [
            *_points(snapshot, subsample, colour_by),
            *_contours(snapshot, called),
            _numbers(snapshot, called),
            *(_label_legend(subsample) if colour_by == "label" else ()),
            *(_colour_bar() if colour_by == "confidence" else ()),
        ],
        "layout": layout(
            uirevision,
            axis(x_title, range=[left, right]),
            axis(y_title, range=[bottom, top], scaleanchor="x", scaleratio=1),
        ),
    }


def axis_titles(snapshot: Snapshot) -> tuple[str, str]:
    """Name the two axes of a snapshot's plane."""
    return ("PCA 1", "PCA 2") if snapshot.plane == "pca" else ("z₁", "z₂")


def point_values(snapshot: Snapshot, subsample: Subsample, colour_by: str) -> np.ndarray:
    """Return what points are coloured by: (N,) palette codes uint8, or confidences float32.

    Raises
    ------
    ValueError
        When `colour_by` is not a colouring.
    """
    if colour_by == "component":
        return codes(snapshot.assignments)
    if colour_by == "confidence":
        return snapshot.confidences.astype(np.float32)
    if colour_by != "label":
        raise ValueError(f"no colouring {colour_by!r}; choose one of {', '.join(COLOURINGS)}")
    if len(subsample.labels) != len(snapshot.points):
        return np.full(len(snapshot.points), UNKNOWN, np.uint8)
    return codes(subsample.labels)


def _points(snapshot: Snapshot, subsample: Subsample, colour_by: str) -> list[Spec]:
    """Points as one trace for each colour: four times as fast to draw as one with an array of them.

    Which traces there are depends on K or the labels alone, so that Plotly updates them in place.
    """
    values = point_values(snapshot, subsample, colour_by)
    if colour_by == "confidence":
        known = np.isfinite(values)
        groups = np.clip(np.where(known, values, 0) * _BINS, 0, _BINS - 1).astype(int)
        shades = [_hex(rgb) for rgb in sequential_rgb((np.arange(_BINS) + 0.5) / _BINS)]
        present = range(_BINS)
    else:
        groups = values
        shades = [*COLOURS, NEUTRAL]
        if colour_by == "component":
            present = range(min(len(snapshot.means), len(COLOURS)))
        else:
            present = np.unique(values).tolist()
    many = len(snapshot.points) > 3000
    marker = {"size": 3 if many else 5, "opacity": 0.6 if many else 0.75}
    return [
        {
            "type": "scattergl",
            "mode": "markers",
            "uid": f"points-{group}",
            "x": packed(snapshot.points[groups == group, 0]),
            "y": packed(snapshot.points[groups == group, 1]),
            "marker": {**marker, "color": shades[group]},
            "hoverinfo": "skip",  # it stalls where thousands of points are piled up
            "showlegend": False,
        }
        for group in present
    ]


def _hex(rgb: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _colour_bar() -> list[Spec]:
    """Carry the scale of confidences on a trace without points."""
    bar = {
        "thickness": 10,
        "len": 0.8,
        "outlinewidth": 0,
        "title": {"text": "confidence", "side": "right"},
    }
    marker = {"color": [0], "cmin": 0, "cmax": 1, "colorscale": sequential_scale()}
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "uid": "scale",
            "x": [None],
            "y": [None],
            "marker": {**marker, "showscale": True, "colorbar": bar},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def _contours(snapshot: Snapshot, names: list[str]) -> list[Spec]:
    outlines = ellipses(snapshot.means, snapshot.covariances)
    known = drawable(snapshot.means, snapshot.covariances)
    alive = occupied(snapshot.usage)
    groups: dict[tuple[int, bool], list[int]] = {}
    for k in _by_usage(snapshot):
        if known[k]:
            groups.setdefault((k % len(COLOURS), bool(alive[k])), []).append(k)
    single = len(names) <= len(COLOURS)
    traces = []
    for (shade, used), members in groups.items():
        gapped = np.pad(outlines[members], ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
        line = gapped.reshape(-1, 2)[:-1]
        dash, opacity = look(used)
        traces.append(
            {
                "type": "scattergl",  # an SVG trace would lie under the points
                "mode": "lines",
                "uid": f"component-{shade}" + ("" if single or used else "-unused"),
                "name": names[members[0]],
                "x": packed(line[:, 0]),
                "y": packed(line[:, 1]),
                "line": {"color": colour(shade), "width": 2, "dash": dash},
                "opacity": opacity,
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return traces


def _by_usage(snapshot: Snapshot) -> list[int]:
    """Components from least to most used, so that the used ones are drawn on top."""
    order: list[int] = np.argsort(np.nan_to_num(snapshot.usage), kind="stable").tolist()
    return order


def _numbers(snapshot: Snapshot, names: list[str]) -> Spec:
    known = drawable(snapshot.means, snapshot.covariances)
    order = [k for k in _by_usage(snapshot) if known[k]]
    if not order:
        return {"type": "scattergl", "uid": "numbers", "x": [], "y": [], "showlegend": False}
    usage, used = np.nan_to_num(snapshot.usage), occupied(snapshot.usage)
    shares = [f"{100 * usage[k]:.1f} % of points" for k in order]
    return {
        "type": "scattergl",
        "mode": "markers+text",
        "uid": "numbers",
        "x": packed(snapshot.means[order, 0]),
        "y": packed(snapshot.means[order, 1]),
        "text": [str(k) for k in order],
        "textfont": {"size": 10, "weight": "bold", "color": [ink(k) for k in order]},
        "marker": {
            "size": 16,
            "color": [colour(k) for k in order],
            "opacity": [0.9 if used[k] else FAINT for k in order],
            "line": {"width": 1, "color": "#ffffff"},
        },
        "hovertext": [f"component {names[k]}: {s}" for k, s in zip(order, shares, strict=True)],
        "hoverinfo": "text",
        "showlegend": False,
    }


def _label_legend(subsample: Subsample) -> list[Spec]:
    present = [int(label) for label in np.unique(subsample.labels) if label >= 0]
    if len(present) > _LEGEND_LIMIT:
        return []
    named = dict(enumerate(subsample.label_names))
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "uid": f"label-{label}",
            "x": [None],
            "y": [None],
            "name": plain(named.get(label, str(label))),
            "marker": {"color": colour(label), "size": 8},
            "hoverinfo": "skip",
            "showlegend": True,
        }
        for label in present
    ]
