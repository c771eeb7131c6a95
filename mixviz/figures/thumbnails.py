"""Sheets of small images, from which a page cuts the one that is pointed at."""

import io
import math

import numpy as np
from PIL import Image

PER_SHEET = 500
COLUMNS = 25
_LARGEST = 40  # pixels along a side; larger images are reduced


def sheet(images: np.ndarray) -> tuple[bytes, int, int]:
    """Lay images out in rows of `COLUMNS` and return a PNG or JPEG, and a tile's width and height.

    Parameters
    ----------
    images : uint8 (n, C, H, W), C 1 or 3
    """
    count, channels, height, width = images.shape
    factor = math.ceil(max(height, width) / _LARGEST)
    height, width = height - height % factor, width - width % factor
    rows = -(-count // COLUMNS)
    padded = np.zeros((rows * COLUMNS, channels, height, width), np.uint8)
    padded[:count] = images[:, :, :height, :width]
    grid = padded.reshape(rows, COLUMNS, channels, height, width).transpose(0, 3, 1, 4, 2)
    picture = grid.reshape(rows * height, COLUMNS * width, channels)
    image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
    if factor > 1:
        image = image.reduce(factor)
    buffer = io.BytesIO()
    if channels == 1:
        image.save(buffer, "PNG", compress_level=3)
    else:
        image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue(), width // factor, height // factor
