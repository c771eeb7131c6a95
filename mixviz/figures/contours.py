"""Outlines of Gaussians, and the part of the plane that a run occupies."""

from collections.abc import Iterable

import numpy as np

from mixviz.evaluation.degeneracy import occupied
from mixviz.runs.snapshots import Snapshot

SIGMAS = 2.0
FAINT = 0.35  # opacity of idle components
Extent = tuple[float, float, float, float]

_SPREAD = 100.0  # a box this many times the median is a run that diverged
_REACH = 12.0  # contours may widen the box of the points by this many times its size
_NEAR = 1.0  # unused components count if they are no further off than this many times the box
_HUGE = 1e9


def ellipses(means: np.ndarray, covariances: np.ndarray, vertices: int = 60) -> np.ndarray:
    """Return closed outlines at Mahalanobis distance 2 of Gaussians in the plane.

    Parameters
    ----------
    means : (K, 2)
    covariances : (K, 2, 2), positive semi-definite

    Returns
    -------
    (K, vertices + 1, 2)
        The last vertex is the first; NaN where a component is not finite.
    """
    finite = drawable(means, covariances)
    values, vectors = np.linalg.eigh(np.where(finite[:, None, None], covariances, np.eye(2)))
    factors = vectors * np.sqrt(values.clip(min=0))[:, None, :]  # (K, 2, 2), F F^T = S
    angles = np.linspace(0, 2 * np.pi, vertices + 1)
    circle = SIGMAS * np.stack([np.cos(angles), np.sin(angles)])  # (2, V + 1)
    outlines = means[:, None, :] + (factors @ circle).transpose(0, 2, 1)
    return np.where(finite[:, None, None], outlines, np.nan)


def look(used: bool) -> tuple[str, float]:
    """Dash and opacity of a component's contour: idle ones are faint and dotted."""
    return ("solid", 1.0) if used else ("dot", FAINT)


def drawable(means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Tell whether each component can be drawn at all: (K,) bool."""
    values = np.concatenate([means, covariances.reshape(len(means), 4)], 1)
    with np.errstate(invalid="ignore"):
        return (np.abs(values) < 1e18).all(1)


def extent_of(snapshots: Iterable[Snapshot]) -> Extent:
    """Return left, right, bottom and top that hold a run: one frame for all its pictures.

    It covers 99.5 % of the points of each snapshot, the contours of its components, and those of
    idle ones only where they are nearby.
    Non-finite values, and snapshots far larger than the others, as a diverging run ends with, do
    not count.
    """
    found = [_box(snapshot) for snapshot in snapshots]
    boxes = np.array([box for box in found if box is not None])  # (S, 2, 2): low, high
    if not len(boxes):
        return (-1.0, 1.0, -1.0, 1.0)
    sizes = (boxes[:, 1] - boxes[:, 0]).max(1) + np.abs(boxes).max((1, 2))
    kept = boxes[sizes <= _SPREAD * np.median(sizes)]
    low, high = kept[:, 0].min(0), kept[:, 1].max(0)
    margin = np.where(high > low, 0.05 * (high - low), 1.0)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    return (left, right, bottom, top)


def _box(snapshot: Snapshot) -> np.ndarray | None:
    points = snapshot.points.reshape(-1, 2).astype(np.float64)
    with np.errstate(invalid="ignore"):
        points = points[(np.abs(points) < _HUGE).all(1)]
    outlines = ellipses(snapshot.means.astype(np.float64), snapshot.covariances.astype(np.float64))
    with np.errstate(invalid="ignore"):
        known = (np.abs(outlines) < _HUGE).all((1, 2))
    used = occupied(snapshot.usage)
    contours = outlines[known & used].reshape(-1, 2)
    if not len(points):
        return None if not len(contours) else np.stack([contours.min(0), contours.max(0)])
    low, high = np.quantile(points, (0.0025, 0.9975), axis=0)
    if len(contours):
        reach = _REACH * max(float((high - low).max()), 1e-6)
        low = np.minimum(low, np.maximum(contours.min(0), low - reach))
        high = np.maximum(high, np.minimum(contours.max(0), high + reach))
    idle = outlines[known & ~used]
    near = _NEAR * float((high - low).max())
    idle = idle[((idle > low - near) & (idle < high + near)).all((1, 2))].reshape(-1, 2)
    if len(idle):
        low, high = np.minimum(low, idle.min(0)), np.maximum(high, idle.max(0))
    return np.stack([low, high])
