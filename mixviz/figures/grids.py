"""Grids of images as one PNG: samples by component, reconstructions."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mixviz.evaluation.degeneracy import occupied
from mixviz.figures.palette import COLOURS, RGB
from mixviz.runs.snapshots import Snapshot, Subsample

TILE = 40  # pixels; images are enlarged as often as fits into it
GAP = 2

_BAR, _NUMBER = 6, 30  # pixels
_FAINT = 0.3


def image_grid(
    images: np.ndarray, columns: int | None = None, *, tile: int = TILE, gap: int = GAP
) -> bytes:
    """Lay images out on a transparent ground and return a PNG.

    Parameters
    ----------
    images : uint8 (rows, n, C, H, W), laid out as they are, or (n, C, H, W), with C 1 or 3
    columns
        Images in a row, for (n, C, H, W); by default about as many as there are rows.
    tile
        Pixels into which an image is enlarged by a whole number, nearest neighbour; larger images
        keep their size.
    gap
        Pixels between images.

    Raises
    ------
    ValueError
        When `images` is something else, as vectors are.
    """
    return png(tiled(_rows(rgba(images), columns), tile, gap))


def sample_strip(snapshot: Snapshot) -> bytes:
    """Return a PNG with one row of samples per component, under its colour and number.

    Idle components are faint.

    Raises
    ------
    ValueError
        When the samples are not images.
    """
    pixels = rgba(snapshot.samples)
    if pixels.ndim != 5:
        raise ValueError("samples are (K, n, C, H, W)")
    used = occupied(snapshot.usage)
    canvas = tiled(pixels, TILE, GAP)
    height = enlargement(pixels, TILE) * pixels.shape[2]
    numbers = range(len(pixels))
    bars = gutter(numbers, [str(k) for k in numbers], height, canvas.shape[0])
    strip = np.concatenate([bars, canvas], axis=1)
    for k in np.flatnonzero(~used):
        rows = slice(k * (height + GAP), k * (height + GAP) + height)
        strip[rows, :, 3] = (strip[rows, :, 3] * _FAINT).astype(np.uint8)
    return png(strip)


def reconstruction_grid(snapshot: Snapshot, subsample: Subsample, columns: int = 10) -> bytes:
    """Return a PNG with observations in odd rows, their reconstructions below them.

    Raises
    ------
    ValueError
        When the observations are not images, or not as many as reconstructions.
    """
    if subsample.inputs.shape != snapshot.reconstructions.shape:
        raise ValueError("there is not one reconstruction per observation")
    columns = max(1, min(columns, len(subsample.inputs)))
    pair = [_rows(rgba(each), columns) for each in (subsample.inputs, snapshot.reconstructions)]
    stacked = np.stack(pair, axis=1)  # (rows, 2, columns, H, W, 4)
    return png(tiled(stacked.reshape(-1, *stacked.shape[2:]), TILE, GAP))


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1] as uint8; what lies outside is cut off."""
    return np.round(np.nan_to_num(images).clip(0, 1) * 255).astype(np.uint8)


def rgba(images: np.ndarray) -> np.ndarray:
    """(..., C, H, W) to (..., H, W, 4)."""
    if images.ndim not in (4, 5) or images.shape[-3] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError("not uint8 images of one or three channels")
    if not images.size:
        raise ValueError("there are no images")
    pixels = np.moveaxis(images, -3, -1)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:-1], 3))
    return np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)


def _rows(pixels: np.ndarray, columns: int | None) -> np.ndarray:
    """(n, H, W, 4) to (rows, columns, H, W, 4), the rest transparent."""
    if pixels.ndim == 5:
        return pixels
    columns = columns or int(np.ceil(np.sqrt(len(pixels))))
    rows = -(-len(pixels) // columns)
    rest = rows * columns - len(pixels)
    padded = np.pad(pixels, ((0, rest), (0, 0), (0, 0), (0, 0)))
    return padded.reshape(rows, columns, *pixels.shape[1:])


def enlargement(pixels: np.ndarray, tile: int) -> int:
    """Whole number by which images (..., H, W, 4) are enlarged to fit into a tile."""
    return max(1, tile // max(pixels.shape[2:4]))


def tiled(pixels: np.ndarray, tile: int, gap: int) -> np.ndarray:
    """(rows, columns, H, W, 4) to one picture (height, width, 4)."""
    scale = enlargement(pixels, tile)
    large = pixels.repeat(scale, axis=2).repeat(scale, axis=3)
    spaced = np.pad(large, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)))
    rows, columns, height, width, _ = spaced.shape
    picture = spaced.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 4)
    return picture[: rows * height - gap, : columns * width - gap]


def gutter(components: Sequence[int], labels: Sequence[str], height: int, total: int) -> np.ndarray:
    """Bars and labels (total, width, 4) of rows `height` pixels high, in the components' colours.

    Colour and coverage are kept apart, so that letters have no dark edge on a light page.
    """
    coverage = Image.new("L", (_BAR + _NUMBER, total))
    draw = ImageDraw.Draw(coverage)
    font = ImageFont.load_default(size=12)
    picture = np.zeros((total, _BAR + _NUMBER, 4), np.uint8)
    for row, (k, label) in enumerate(zip(components, labels, strict=True)):
        top = row * (height + GAP)
        draw.rectangle((0, top, _BAR - 1, top + height - 1), fill=255)
        centre = (_BAR + _NUMBER / 2, top + height / 2)
        draw.text(centre, label, fill=255, font=font, anchor="mm")
        picture[top : top + height, :, :3] = RGB[k % len(COLOURS)]
    picture[..., 3] = np.asarray(coverage)
    return picture


def png(picture: np.ndarray) -> bytes:
    """Return a picture (height, width, 4) as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
