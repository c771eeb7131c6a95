"""Grids hold the pixels that were put in, where they belong."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from mixviz.figures.grids import image_grid, reconstruction_grid, sample_strip
from mixviz.figures.palette import RGB


def decoded(png: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG" and picture.mode == "RGBA"
    return np.asarray(picture)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 28, 50])
def test_grid_keeps_pixels(channels, side):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, channels, side, side), np.uint8)
    picture = decoded(image_grid(images, tile=40, gap=2))
    scale = max(1, 40 // side)
    step = side * scale + 2
    assert picture.shape == (2 * step - 2, 3 * step - 2, 4)
    for row in range(2):
        for column in range(3):
            tile = picture[row * step :, column * step :][: side * scale, : side * scale]
            expected = np.broadcast_to(np.moveaxis(images[row, column], 0, -1), (side, side, 3))
            np.testing.assert_array_equal(tile[::scale, ::scale, :3], expected)
            np.testing.assert_array_equal(tile[scale - 1 :: scale, ::scale, :3], expected)
    assert (picture[side * scale, :, 3] == 0).all()  # the gap


def test_flat_list_is_wrapped_and_the_rest_transparent():
    picture = decoded(image_grid(np.full((5, 1, 8, 8), 255, np.uint8), 3, tile=8, gap=0))
    assert picture.shape == (16, 24, 4)
    assert (picture[8:, 16:, 3] == 0).all() and (picture[:8, :, 3] == 255).all()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((4, 5, 2), np.float32),
        np.zeros((4, 1, 8, 8), np.float32),
        np.zeros((4, 2, 8, 8), np.uint8),
        np.zeros((0, 1, 8, 8), np.uint8),
    ],
)
def test_what_is_not_images_is_refused(images):
    with pytest.raises(ValueError, match="images"):
        image_grid(images, 2)


def test_strip_has_bars_numbers_and_faint_unused_rows(snapshot):
    picture = decoded(sample_strip(snapshot))
    assert picture.shape == (4 * 42 - 2, 36 + 3 * 42 - 2, 4)
    for k in range(4):
        row = picture[k * 42 : k * 42 + 40]
        alpha = 255 if k < 3 else 76
        assert (row[:, :6] == [*RGB[k], alpha]).all()
        assert row[:, 6:36, 3].max() > 50  # a number is written
        np.testing.assert_array_equal(row[::5, 36:76:5, 0], snapshot.samples[k, 0, 0])
        assert (row[:, 36:76, 3] == alpha).all()


def test_reconstructions_lie_under_their_inputs(snapshot, subsample):
    picture = decoded(reconstruction_grid(snapshot, subsample, columns=3))
    assert picture.shape == (4 * 42 - 2, 3 * 42 - 2, 4)
    np.testing.assert_array_equal(picture[:40:5, :40:5, 0], subsample.inputs[0, 0])
    np.testing.assert_array_equal(picture[42:82:5, :40:5, 0], snapshot.reconstructions[0, 0])
    np.testing.assert_array_equal(picture[84:124:5, :40:5, 0], subsample.inputs[3, 0])
    assert (picture[84:, 84:, 3] == 0).all()


def test_vectors_have_no_grids(subsample, make_snapshot):
    vectors = make_snapshot(
        samples=np.zeros((4, 3, 2), np.float32), reconstructions=np.zeros((5, 2), np.float32)
    )
    flat = dataclasses.replace(subsample, inputs=np.zeros((5, 2), np.float32))
    with pytest.raises(ValueError):
        sample_strip(vectors)
    with pytest.raises(ValueError):
        reconstruction_grid(vectors, flat)
