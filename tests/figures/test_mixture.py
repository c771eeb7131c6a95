"""Usage, overlap and density show the stored numbers in the right place."""

import dataclasses

import numpy as np
import pytest

from mixviz.figures.mixture import density_figure, overlap_figure, usage_figure
from mixviz.figures.palette import colour


def test_usage_is_in_per_cent_beside_an_even_share(snapshot, unpacked):
    spec = usage_figure(snapshot, "r")
    bars, even = spec["data"]
    np.testing.assert_allclose(unpacked(bars["y"]), 100 * snapshot.usage, rtol=1e-6)
    assert bars["marker"]["color"] == [colour(k) for k in range(4)]
    assert even["name"] == "1/K" and even["y"] == [25, 25]


def test_overlap_is_a_square_from_zero_to_one(snapshot, unpacked):
    (cells,) = overlap_figure(snapshot, "r")["data"]
    np.testing.assert_array_equal(unpacked(cells["z"]), np.eye(4))
    assert (cells["zmin"], cells["zmax"]) == (0, 1)


def test_density_lies_on_its_grid_under_the_data(subsample, make_snapshot, unpacked):
    density = np.arange(6, dtype=np.float32).reshape(2, 3)
    snapshot = make_snapshot(density=density, density_extent=np.array([-1.0, 3, 0, 5]))
    ground, points = density_figure(snapshot, subsample, "r")["data"]
    np.testing.assert_array_equal(unpacked(ground["z"]), density)
    assert [ground[key] for key in ("x0", "dx", "y0", "dy")] == [-1, 2, 0, 5]
    np.testing.assert_array_equal(unpacked(points["x"]), subsample.points[:, 0])
    np.testing.assert_array_equal(unpacked(points["marker"]["color"]), snapshot.assignments)


def test_data_over_the_density_are_thinned(subsample, make_snapshot, unpacked):
    many = dataclasses.replace(subsample, points=np.zeros((9_001, 2), np.float32))
    (points,) = density_figure(make_snapshot(n=9_001), many, "r")["data"]
    assert len(unpacked(points["x"])) == len(unpacked(points["marker"]["color"])) <= 2000


def test_density_needs_two_dimensional_data(snapshot, subsample):
    images = dataclasses.replace(subsample, points=np.empty((0, 2), np.float32))
    with pytest.raises(ValueError, match="two-dimensional"):
        density_figure(snapshot, images, "r")
