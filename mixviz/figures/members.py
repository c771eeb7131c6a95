"""Clusters as rows of images: what lies in them beside what the model draws for them."""

from collections.abc import Sequence

import numpy as np

from mixviz.figures.grids import GAP, TILE, enlargement, gutter, png, rgba, tiled

_BETWEEN = 12  # pixels between blocks


def component_rows(
    blocks: Sequence[Sequence[np.ndarray]],
    components: Sequence[int],
    labels: Sequence[str],
    *,
    tile: int = TILE,
) -> bytes:
    """Return a PNG with one row for each component, under its colour, and blocks side by side.

    Parameters
    ----------
    blocks
        For each block, for each row, images (n, C, H, W) uint8; rows may have fewer or none.
    components : (R,)
        Whose colours the rows have.
    labels : (R,)
        What is written at their left; a few characters.

    Raises
    ------
    ValueError
        When there is no image at all, or they are not images.
    """
    shapes = {images.shape[1:] for rows in blocks for images in rows if len(images)}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise ValueError("not images of one shape")
    shape = shapes.pop()
    parts: list[np.ndarray] = []
    for rows in blocks:
        canvas = tiled(_block(rows, shape), tile, GAP)
        if parts:
            parts.append(np.zeros((len(canvas), _BETWEEN, 4), np.uint8))
        parts.append(canvas)
    height = enlargement(np.empty((1, 1, *shape[1:], 4)), tile) * shape[1]
    return png(np.concatenate([gutter(components, labels, height, len(parts[0])), *parts], axis=1))


def _block(rows: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """(rows, n, H, W, 4), transparent where a row has fewer images than the longest."""
    longest = max(1, *(len(images) for images in rows))
    pixels = np.zeros((len(rows), longest, *shape[1:], 4), np.uint8)
    for row, images in enumerate(rows):
        if len(images):
            pixels[row, : len(images)] = rgba(images)
    return pixels
