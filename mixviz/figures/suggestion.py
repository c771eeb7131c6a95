"""The curve from which a number of components is suggested."""

import numpy as np

from mixviz.figures.palette import NEUTRAL, colour
from mixviz.figures.specs import Spec, axis, layout, packed


def criterion_figure(candidates: np.ndarray, criteria: np.ndarray, suggested: int) -> Spec:
    """Draw the BIC over the number of components, the suggested one marked.

    Parameters
    ----------
    candidates, criteria : (M,)
    suggested
        K.
    """
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "BIC",
            "x": packed(candidates),
            "y": packed(criteria),
            "line": {"color": colour(0), "width": 2},
        }
    ]
    mark = {
        "type": "line",
        "x0": suggested,
        "x1": suggested,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": NEUTRAL, "width": 1.5, "dash": "dash"},
    }
    return {
        "data": data,
        "layout": layout(
            "criterion", axis("components (K)"), axis("BIC"), shapes=[mark], showlegend=False
        ),
    }
