"""The map of more points than a browser can hold: a picture of them under contours and axes."""

import base64
from collections.abc import Sequence

import numpy as np

from mixviz.figures.contours import Extent
from mixviz.figures.embedding import Outlines, embedding_figure
from mixviz.figures.embedding_colours import Colouring, single
from mixviz.figures.palette import RGB
from mixviz.figures.specs import Spec, plain


def raster_figure(
    method: str,
    picture: bytes,
    view: Extent,
    colouring: Colouring,
    *,
    uirevision: str,
    extent: Extent,
    prior: np.ndarray | None = None,
    prior_components: np.ndarray | None = None,
    outlines: Outlines | None = None,
    names: Sequence[str] = (),
    drawn: np.ndarray | None = None,
) -> Spec:
    """Lay contours and prior samples over a picture of the points.

    Parameters
    ----------
    picture
        PNG of the points in `view` (left, right, bottom, top).
    extent
        What is seen before anyone zooms.
    """
    spec = embedding_figure(
        method,
        np.empty((0, 2), np.float32),
        single("points", 0),
        uirevision=uirevision,
        extent=extent,
        prior=prior,
        prior_components=prior_components,
        outlines=outlines,
        names=names,
        drawn=drawn,
    )
    left, right, bottom, top = view
    spec["layout"]["images"] = [
        {
            "source": "data:image/png;base64," + base64.b64encode(picture).decode(),
            "xref": "x",
            "yref": "y",
            "x": left,
            "y": top,
            "sizex": right - left,
            "sizey": top - bottom,
            "sizing": "stretch",
            "layer": "below",
        }
    ]
    spec["data"] += [_anchor(view), *_legend(colouring)]
    return spec


def _anchor(view: Extent) -> Spec:
    """A point that is not seen: without one, nothing can be drawn around."""
    return {
        "type": "scatter",
        "mode": "markers",
        "uid": "anchor",
        "x": [view[0]],
        "y": [view[2]],
        "marker": {"opacity": 0, "size": 1},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _legend(colouring: Colouring) -> list[Spec]:
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "uid": f"legend-{group}",
            "x": [None],
            "y": [None],
            "name": plain(name),
            "marker": {"color": "#{:02x}{:02x}{:02x}".format(*RGB[group]), "size": 8},
            "hoverinfo": "skip",
            "showlegend": True,
        }
        for group, name in colouring.names.items()
        if len(colouring.names) <= 24
    ]
