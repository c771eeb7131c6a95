"""The latent plane that a point is dragged over, and what is seen of vectors there."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from mixviz.evaluation.degeneracy import occupied
from mixviz.figures.contours import Extent, extent_of
from mixviz.figures.palette import NEUTRAL, colour
from mixviz.figures.still import latent_image
from mixviz.runs.snapshots import Snapshot, Subsample

SIDE = 440  # pixels
_VECTOR = (280, 280)
_NOTHING = Subsample(
    indices=np.empty(0, np.int64),
    labels=np.empty(0, np.int64),
    inputs=np.empty(0, np.float32),
    points=np.empty((0, 2), np.float32),
)


def plane_snapshot(
    plane: str,
    points: np.ndarray,
    assignments: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    usage: np.ndarray,
) -> Snapshot:
    """Put points (N, 2) and components (K, 2), (K, 2, 2) of a plane together, to be drawn."""
    return Snapshot(
        step=0,
        epoch=0.0,
        seconds=0.0,
        terms={},
        metrics={},
        verdict="",
        plane=plane,
        points=points.astype(np.float32),
        assignments=assignments.astype(np.int16),
        confidences=np.ones(len(points), np.float32),
        means=means.astype(np.float32),
        covariances=covariances.astype(np.float32),
        weights=usage.astype(np.float32),
        usage=usage.astype(np.float32),
        overlap=np.empty((0, 0), np.float32),
    )


def square_extent(snapshot: Snapshot) -> Extent:
    """Return an extent as wide as it is high that holds the points."""
    # Unused components may lie far off; nobody drags there.
    used = occupied(snapshot.usage)
    near = replace(
        snapshot,
        means=snapshot.means[used],
        covariances=snapshot.covariances[used],
        usage=snapshot.usage[used],
    )
    left, right, bottom, top = extent_of([near if used.any() else snapshot])
    across, up = (left + right) / 2, (bottom + top) / 2
    half = max(right - left, top - bottom) / 2
    return (across - half, across + half, up - half, up + half)


def pad_backdrop(snapshot: Snapshot, extent: Extent, dark: bool) -> bytes:
    """Return a square PNG of points and contours; `extent` reaches exactly to its edges."""
    image = latent_image(snapshot, _NOTHING, size=(SIDE, SIDE), dark=dark, extent=extent)
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=6)
    return content.getvalue()


def point_picture(points: np.ndarray, at: np.ndarray, component: int) -> bytes:
    """Return a PNG of one observation (2,) among others (N, 2)."""
    width, height = _VECTOR
    low, high = points.min(0), points.max(0)
    span = np.maximum(high - low, 1e-9)
    low, span = low - 0.08 * span, 1.16 * span

    def place(values: np.ndarray) -> np.ndarray:
        share = (values - low) / span
        return np.stack([share[..., 0] * width, (1 - share[..., 1]) * height], -1)

    picture = Image.new("RGBA", _VECTOR)
    draw = ImageDraw.Draw(picture)
    for x, y in place(points[:: -(-len(points) // 1500)]).tolist():
        draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=NEUTRAL)
    x, y = np.clip(place(at), -1e4, 1e4).tolist()
    draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=colour(component), outline="#ffffff", width=2)
    return _png(picture)


def vector_picture(values: np.ndarray, low: np.ndarray, high: np.ndarray, component: int) -> bytes:
    """Return a PNG of one observation (D,) as a line, within the range of the data (D,) each."""
    width, height = _VECTOR
    least, most = float(low.min()), float(high.max())
    span = max(most - least, 1e-9)
    across = np.linspace(6, width - 6, max(len(values), 2))

    def line(each: np.ndarray) -> list[tuple[float, float]]:
        ups = (
            height - 6 - (np.nan_to_num(each) - least).clip(-span, 2 * span) / span * (height - 12)
        )
        return list(zip(across.tolist(), ups.tolist(), strict=False))

    picture = Image.new("RGBA", _VECTOR)
    draw = ImageDraw.Draw(picture)
    for edge in (low, high):
        draw.line(line(edge), fill=NEUTRAL, width=1)
    draw.line(line(values), fill=colour(component), width=3, joint="curve")
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=3)
    return content.getvalue()
