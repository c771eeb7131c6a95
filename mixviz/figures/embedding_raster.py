"""The map of more points than a browser can hold: a picture of them under contours and axes."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mixviz.figures.contours import Extent
from mixviz.figures.embedding import Outlines, embedding_figure, scale_of
from mixviz.figures.embedding_colours import Colouring, single
from mixviz.figures.palette import RGB, UNKNOWN
from mixviz.figures.specs import Spec, plain

_FAINTEST = 0.35  # opacity of a pixel with one point
_GREYED = 0.45  # of what is not selected, as a share of its opacity


def raster(
    points: np.ndarray,
    colouring: Colouring,
    view: Extent,
    size: tuple[int, int],
    selected: np.ndarray | None = None,
) -> bytes:
    """Return a PNG in which each pixel has the mean colour of its points; more points are denser.

    Parameters
    ----------
    points : (N, 2)
    colouring
        Of the N points.
    view
        Left, right, bottom, top of the picture.
    size
        Its width and height, pixels.
    selected : (N,) bool
        All others are greyed, and lie below.
    """
    width, height = size
    left, right, bottom, top = view
    with np.errstate(invalid="ignore"):
        column = np.floor((points[:, 0] - left) * (width / (right - left)))
        line = np.floor((top - points[:, 1]) * (height / (top - bottom)))
        seen = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    rows = np.flatnonzero(seen)
    pixels = line[rows].astype(np.int64) * width + column[rows].astype(np.int64)
    shades = colouring.shades[colouring.groups[rows]]
    if selected is None:
        picture = _layer(pixels, shades, width * height)
    else:
        chosen = selected[rows]
        grey = np.broadcast_to(RGB[UNKNOWN], (int((~chosen).sum()), 3))
        picture = _layer(pixels[~chosen], grey, width * height)
        picture[:, 3] *= _GREYED
        above = _layer(pixels[chosen], shades[chosen], width * height)
        picture = np.where(above[:, 3:] > 0, above, picture)
    image = Image.fromarray(picture.round().astype(np.uint8).reshape(height, width, 4))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


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
    others: np.ndarray | None = None,
    outlines: Outlines | None = None,
    names: Sequence[str] = (),
    usage: np.ndarray | None = None,
    drawn: np.ndarray | None = None,
) -> Spec:
    """Lay contours, prior samples and another data set over a picture of the points.

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
        others=others,
        outlines=outlines,
        names=names,
        usage=usage,
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
    spec["data"] += [_anchor(view), *_legend(colouring), *scale_of(colouring, solid=False)]
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


def _layer(pixels: np.ndarray, shades: np.ndarray, count: int) -> np.ndarray:
    """Mean colour and coverage (count, 4), in [0, 255], of the points in each pixel."""
    layer = np.zeros((count, 4))
    found = np.bincount(pixels, minlength=count)
    filled = found > 0
    if not filled.any():
        return layer
    for channel in range(3):
        sums = np.bincount(pixels, weights=shades[:, channel], minlength=count)
        layer[filled, channel] = sums[filled] / found[filled]
    density = np.log1p(found) / np.log1p(max(float(np.quantile(found[filled], 0.99)), 2.0))
    layer[:, 3] = 255 * np.where(filled, _FAINTEST + (1 - _FAINTEST) * density.clip(max=1), 0)
    return layer
