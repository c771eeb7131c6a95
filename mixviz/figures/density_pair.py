"""A learned density over two-dimensional data, next to that of a Gaussian mixture."""

import numpy as np

from mixviz.figures.mixture import density_map
from mixviz.figures.palette import NEUTRAL
from mixviz.figures.specs import Spec, axis, layout, packed

POINTS = 2_000


def density_over_points(
    density: np.ndarray,
    extent: np.ndarray,
    points: np.ndarray,
    highest: float,
    uirevision: str | int,
) -> Spec:
    """Draw a density (G, G) under points (N, 2); the same `highest` makes two pictures comparable.

    Parameters
    ----------
    extent : (4,) left, right, bottom, top
    """
    left, right, bottom, top = (float(each) for each in extent)
    heat = density_map(density, extent, highest)
    shown = points[:: -(-len(points) // POINTS)]
    dots = {
        "type": "scattergl",
        "mode": "markers",
        "x": packed(shown[:, 0]),
        "y": packed(shown[:, 1]),
        "marker": {"size": 2.5, "opacity": 0.5, "color": NEUTRAL},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    x = axis("x₁", showgrid=False, zeroline=False, range=[left, right])
    y = axis("x₂", showgrid=False, zeroline=False, range=[bottom, top])
    return {"data": [heat, dots], "layout": layout(uirevision, x, y | {"scaleanchor": "x"})}


def common_height(*densities: np.ndarray | None) -> float:
    """Height of the darkest colour for several densities: so that one sharp peak hides nothing."""
    peaks = [float(np.nanquantile(each, 0.995)) for each in densities if each is not None]
    return max([*peaks, 1e-12])
