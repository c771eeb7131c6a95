"""Points near a point, in latent space or on the map, and points inside an outline."""

import numpy as np
from matplotlib.path import Path

_CHUNK = 100_000  # rows whose distances are computed at once


def nearest(latents: np.ndarray, row: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the points nearest to one of them.

    Parameters
    ----------
    latents : (N, D)
    row
        Which point; it is not among its own neighbours.
    count
        How many, at most.

    Returns
    -------
    rows : (n,), nearest first
    distances : (n,), Euclidean
    """
    squares = np.concatenate(
        [
            ((latents[start : start + _CHUNK] - latents[row]) ** 2).sum(1)
            for start in range(0, len(latents), _CHUNK)
        ]
    )
    squares[row] = np.inf
    count = min(count, len(latents) - 1)
    rows = np.argpartition(squares, min(count, len(squares) - 1))[:count]
    rows = rows[np.argsort(squares[rows], kind="stable")]
    return rows, np.sqrt(squares[rows])


def within(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Tell which points (N, 2) lie inside a closed outline (V, 2): (N,) bool."""
    low, high = outline.min(0), outline.max(0)
    found = ((points >= low) & (points <= high)).all(1)
    if _is_box(outline):
        return found
    near = np.flatnonzero(found)
    found[near] = Path(outline, closed=False).contains_points(points[near])
    return found


def _is_box(outline: np.ndarray) -> bool:
    """Whether an outline is a rectangle along the axes, given by its four corners."""
    if len(outline) != 4:
        return False
    low, high = outline.min(0), outline.max(0)
    corners = {(low[0], low[1]), (low[0], high[1]), (high[0], low[1]), (high[0], high[1])}
    return {tuple(corner) for corner in outline} == corners
