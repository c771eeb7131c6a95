"""Still pictures of the latent plane: thumbnails and the frames of animations."""

import threading

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

from mixviz.evaluation.degeneracy import occupied
from mixviz.figures.contours import FAINT, Extent, drawable, ellipses, extent_of
from mixviz.figures.latent import point_values
from mixviz.figures.palette import RGB, colour, sequential_rgb
from mixviz.runs.snapshots import Snapshot, Subsample

LIGHT, DARK = "#ffffff", "#0e1117"

_POINTS = 4000
_DPI = 100
_drawing = threading.Lock()  # matplotlib's font cache is shared by all figures


def latent_image(
    snapshot: Snapshot,
    subsample: Subsample,
    *,
    size: tuple[int, int] = (320, 240),
    colour_by: str = "component",
    dark: bool = False,
    extent: Extent | None = None,
    background: str | None = None,
    caption: str = "",
) -> Image.Image:
    """Draw the latent plane with the two-sigma contours, without axes.

    Safe to call from any thread.

    Parameters
    ----------
    size
        Width and height, pixels.
    colour_by
        `component`, `label` or `confidence`.
    dark
        Whether it is seen on a dark page.
    extent
        Left, right, bottom, top; by default that of this snapshot.
    background
        A colour; by default transparent.
    caption
        A line of text at the top left.

    Returns
    -------
    PIL.Image.Image
        RGBA, of the given size.

    Raises
    ------
    ValueError
        When `colour_by` is not a colouring.
    """
    values = point_values(snapshot, subsample, colour_by)
    with _drawing:
        figure = Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI)
        canvas = FigureCanvasAgg(figure)
        figure.patch.set_facecolor(background or "none")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        _frame(axes, extent or extent_of([snapshot]), size)
        _points(axes, snapshot, values)
        _contours(axes, snapshot, halo=DARK if dark else LIGHT, numbered=size[0] >= 240)
        figure.text(0.015, 0.985, caption, va="top", size=9, color=LIGHT if dark else DARK)
        canvas.draw()
        pixels = np.array(canvas.buffer_rgba())
    return Image.fromarray(pixels)


def _frame(axes: Axes, extent: Extent, size: tuple[int, int]) -> None:
    """Widen the extent so that one unit is as long on both axes."""
    left, right, bottom, top = extent
    unit = max((right - left) / size[0], (top - bottom) / size[1]) / 2
    across, up = (left + right) / 2, (bottom + top) / 2
    axes.set_xlim(across - unit * size[0], across + unit * size[0])
    axes.set_ylim(up - unit * size[1], up + unit * size[1])


def _points(axes: Axes, snapshot: Snapshot, values: np.ndarray) -> None:
    stride = max(1, -(-len(snapshot.points) // _POINTS))
    points, values = snapshot.points[::stride], values[::stride]
    rgb = RGB[values] if values.dtype == np.uint8 else sequential_rgb(values)
    with np.errstate(invalid="ignore"):
        seen = (np.abs(points) < 1e9).all(1)
    x, y = points[seen].T
    axes.scatter(x, y, s=4, c=rgb[seen] / 255, alpha=0.6, linewidths=0)


def _contours(axes: Axes, snapshot: Snapshot, *, halo: str, numbered: bool) -> None:
    known = drawable(snapshot.means, snapshot.covariances)
    usage, used = np.nan_to_num(snapshot.usage), occupied(snapshot.usage)
    shown = [k for k in np.argsort(usage, kind="stable").tolist() if known[k]]
    outlines = ellipses(snapshot.means, snapshot.covariances)
    lines = LineCollection(
        [outlines[k] for k in shown],
        colors=[to_rgba(colour(k), 1.0 if used[k] else FAINT) for k in shown],
        linestyles=["solid" if used[k] else "dotted" for k in shown],
        linewidths=1.5,
    )
    axes.add_collection(lines, autolim=False)
    outline = [withStroke(linewidth=2.5, foreground=halo)]
    for k in shown if numbered else ():
        if used[k]:
            x, y = snapshot.means[k].tolist()
            axes.text(
                x,
                y,
                str(k),
                color=colour(k),
                path_effects=outline,
                weight="bold",
                ha="center",
                va="center",
                size=10,
                clip_on=True,
            )
