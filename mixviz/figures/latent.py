"""The latent plane: points, the mixture's contours, and which component is which."""

from collections.abc import Sequence

import numpy as np

from mixviz.figures.contours import Extent, drawable, ellipses, extent_of
from mixviz.figures.palette import (
    COLOURS,
    NEUTRAL,
    UNKNOWN,
    codes,
    colour,
    discrete_scale,
    ink,
    sequential_scale,
)
from mixviz.figures.specs import Spec, axis, layout, packed, plain
from mixviz.runs.snapshots import Snapshot, Subsample

__all__ = ["COLOURINGS", "axis_titles", "extent_of", "latent_figure", "point_values"]

COLOURINGS = ("component", "label", "confidence")

_LEGEND_LIMIT = 20
_FAINT = 0.35


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

    The first trace holds the points in the order of the subsample, so a selected point's number
    is its position there. Each component has one trace, with the uid `component-<k>`; beyond 50
    components those of one colour share a trace.

    Parameters
    ----------
    colour_by
        One of `COLOURINGS`.
    uirevision
        What must stay the same for zoom, selection and hidden components to be kept.
    extent
        Left, right, bottom, top; by default that of this snapshot.
    names
        Names of the K components, for the legend and on hover; by default their numbers.

    Raises
    ------
    ValueError
        When `colour_by` is not a colouring.
    """
    left, right, bottom, top = extent or extent_of([snapshot])
    x_title, y_title = axis_titles(snapshot)
    components = len(snapshot.means)
    listed = colour_by == "component" and components <= _LEGEND_LIMIT
    called = [plain(names[k]) if names else str(k) for k in range(components)]
    return {
        "data": [
            _points(snapshot, subsample, colour_by),
            *_contours(snapshot, called, listed),
            _numbers(snapshot, called),
            *(_label_legend(subsample) if colour_by == "label" else ()),
        ],
        "layout": layout(
            uirevision,
            axis(x_title, range=[left, right]),
            axis(y_title, range=[bottom, top], scaleanchor="x", scaleratio=1),
            coloraxis=_colour_axis(colour_by),
        ),
    }


def axis_titles(snapshot: Snapshot) -> tuple[str, str]:
    """Name the two axes of a snapshot's plane."""
    return ("PC 1", "PC 2") if snapshot.plane == "pca" else ("z₁", "z₂")


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


def _points(snapshot: Snapshot, subsample: Subsample, colour_by: str) -> Spec:
    many = len(snapshot.points) > 3000
    return {
        "type": "scattergl",
        "mode": "markers",
        "uid": "points",
        "x": packed(snapshot.points[:, 0]),
        "y": packed(snapshot.points[:, 1]),
        "marker": {
            "size": 3 if many else 5,
            "opacity": 0.6 if many else 0.75,
            "color": packed(point_values(snapshot, subsample, colour_by)),
            "coloraxis": "coloraxis",
        },
        "unselected": {"marker": {"color": NEUTRAL, "opacity": 0.25}},
        "hoverinfo": "skip",  # it stalls where thousands of points are piled up
        "showlegend": False,
    }


def _colour_axis(colour_by: str) -> Spec:
    if colour_by != "confidence":
        scale = discrete_scale()
        return {"colorscale": scale, "cmin": -0.5, "cmax": UNKNOWN + 0.5, "showscale": False}
    bar = {
        "thickness": 10,
        "len": 0.8,
        "outlinewidth": 0,
        "title": {"text": "confidence", "side": "right"},
    }
    return {"colorscale": sequential_scale(), "cmin": 0, "cmax": 1, "colorbar": bar}


def _contours(snapshot: Snapshot, names: list[str], listed: bool) -> list[Spec]:
    outlines = ellipses(snapshot.means, snapshot.covariances)
    known = drawable(snapshot.means, snapshot.covariances)
    groups: dict[tuple[int, bool], list[int]] = {}
    for k in _by_usage(snapshot):
        if known[k]:
            groups.setdefault((k % len(COLOURS), bool(snapshot.usage[k] > 0)), []).append(k)
    single = len(names) <= len(COLOURS)
    traces = []
    for (shade, used), members in groups.items():
        gapped = np.pad(outlines[members], ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
        line = gapped.reshape(-1, 2)[:-1]
        traces.append(
            {
                "type": "scattergl",  # an SVG trace would lie under the points
                "mode": "lines",
                "uid": f"component-{shade}" + ("" if single or used else "-unused"),
                "name": names[members[0]],
                "x": packed(line[:, 0]),
                "y": packed(line[:, 1]),
                "line": {"color": colour(shade), "width": 2, "dash": "solid" if used else "dot"},
                "opacity": 1 if used else _FAINT,
                "hoverinfo": "skip",
                "showlegend": listed,
                "legendrank": 1000 + shade,
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
    usage = np.nan_to_num(snapshot.usage)
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
            "opacity": [0.9 if usage[k] > 0 else _FAINT for k in order],
            "line": {"width": 1, "color": "#ffffff"},
        },
        "hovertext": [f"component {names[k]}: {s}" for k, s in zip(order, shares, strict=True)],
        "hoverinfo": "text",
        "showlegend": False,
        # Selecting points must not grey the numbers.
        "unselected": {"marker": {"opacity": 0.9}},
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
