"""Two-dimensional observations in their own plane: members, samples, pairs and ways among the data."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixviz.figures.palette import NEUTRAL, UNKNOWN, codes, discrete_scale
from mixviz.figures.specs import Spec, axis, layout, packed, plain

_BACKGROUND = 2_000


class Layer(NamedTuple):
    """Points (n, 2) that belong together, and the components (n,) whose colours they have.

    Components of -1 are none: such points are grey, and called by the layer's name.
    """

    name: str
    points: np.ndarray
    components: np.ndarray
    symbol: str = "circle"  # empty: lines alone
    size: float = 6
    lines: str = ""  # `way` joins all points, `pairs` every two


def planar_figure(background: np.ndarray, layers: Sequence[Layer], uirevision: str | int) -> Spec:
    """Draw layers of points over the data (N, 2), which are grey."""
    shown = background[:: -(-len(background) // _BACKGROUND)]
    grey = {
        "type": "scattergl",
        "mode": "markers",
        "x": packed(shown[:, 0]),
        "y": packed(shown[:, 1]),
        "marker": {"size": 3, "opacity": 0.35, "color": NEUTRAL},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    traces = [grey]
    for layer in layers:
        if layer.lines:
            traces.append(_lines(layer))
        if layer.symbol:
            traces.append(_dots(layer))
    colours = {
        "colorscale": discrete_scale(),
        "cmin": -0.5,
        "cmax": UNKNOWN + 0.5,
        "showscale": False,
    }
    x = axis("x₁", zeroline=False)
    y = axis("x₂", zeroline=False, scaleanchor="x", scaleratio=1)
    return {"data": traces, "layout": layout(uirevision, x, y, coloraxis=colours)}


def _dots(layer: Layer) -> Spec:
    components = np.asarray(layer.components)
    nobody = len(components) > 0 and components.max() < 0
    called = plain(layer.name) if nobody else "component %{customdata}"
    colour: Spec = {"color": NEUTRAL}
    if not nobody:
        colour = {"color": packed(codes(components)), "coloraxis": "coloraxis"}
    return {
        "type": "scattergl",
        "mode": "markers",
        "name": plain(layer.name),
        "x": packed(layer.points[:, 0]),
        "y": packed(layer.points[:, 1]),
        "marker": {
            "size": layer.size,
            "symbol": layer.symbol,
            **colour,
            "line": {"width": 1, "color": NEUTRAL},
        },
        "customdata": packed(components),
        "hovertemplate": f"{called}: %{{x:.3g}}, %{{y:.3g}}<extra></extra>",
        "showlegend": bool(layer.name),
    }


def _lines(layer: Layer) -> Spec:
    points = layer.points
    if layer.lines == "pairs":
        gaps = np.full((len(points) // 2, 1, 2), np.nan, np.float32)
        points = np.concatenate([points.reshape(-1, 2, 2), gaps], axis=1).reshape(-1, 2)
    return {
        "type": "scattergl",
        "mode": "lines",
        "x": packed(points[:, 0]),
        "y": packed(points[:, 1]),
        "line": {"color": NEUTRAL, "width": 1.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }
