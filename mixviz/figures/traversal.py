"""A walk through latent space as one strip, with the component probabilities along the way below."""

import numpy as np

from mixviz.figures.grids import GAP, TILE, enlargement, png, rgba, tiled
from mixviz.figures.palette import COLOURS, RGB

BARS = 64  # pixels, height of the probabilities


def interpolation_strip(
    images: np.ndarray, probabilities: np.ndarray, ends: np.ndarray | None = None, tile: int = 56
) -> bytes:
    """Return a PNG of images along a way, each above its probabilities as a stacked bar.

    Parameters
    ----------
    images : (T, C, H, W) uint8
    probabilities : (T, K)
        Drawn from component 0 at the bottom to K - 1 at the top, in the components' colours.
    ends : (2, C, H, W) uint8, optional
        What the way leads from and to, drawn at its two ends, as AMM's figure 2d does.
    """
    framed = images if ends is None else np.concatenate([ends[:1], images, ends[1:]])
    pixels = rgba(framed)[None]  # (1, T, H, W, 4)
    strip = tiled(pixels, tile, GAP)
    cell = enlargement(pixels, tile) * pixels.shape[3] + GAP
    bars = np.zeros((BARS, strip.shape[1], 4), np.uint8)
    first = 0 if ends is None else 1
    for place, row in enumerate(probabilities, start=first):
        left = place * cell
        bars[:, left : left + cell - GAP] = stacked_bar(row)[:, None]
    gap = np.zeros((2 * GAP, strip.shape[1], 4), np.uint8)
    return png(np.concatenate([strip, gap, bars]))


def stacked_bar(probabilities: np.ndarray, height: int = BARS) -> np.ndarray:
    """RGBA (height, 4) of a stacked bar of probabilities (K,), component 0 at the bottom."""
    edges = np.concatenate([[0.0], np.cumsum(np.nan_to_num(probabilities).clip(0))])
    edges /= max(edges[-1], 1e-12)
    middles = (np.arange(height)[::-1] + 0.5) / height
    owner = np.searchsorted(edges, middles, side="right") - 1
    colours = RGB[owner.clip(0, len(probabilities) - 1) % len(COLOURS)]
    return np.concatenate([colours, np.full((height, 1), 255, np.uint8)], axis=1)


def traversal_grid(images: np.ndarray, tile: int = TILE) -> bytes:
    """Return a PNG of images (rows, n, C, H, W) uint8: a direction of style in each row."""
    return png(tiled(rgba(images), tile, GAP))
