"""Tests of the pictures of Clusters and Generate: where what is drawn, read back from the PNG."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mixviz.figures.grids import GAP, TILE, as_pixels
from mixviz.figures.matrix import MOST_CELLS, matrix_table, tree_figure
from mixviz.figures.members import component_rows
from mixviz.figures.pad import plane_snapshot, point_picture, square_extent, vector_picture
from mixviz.figures.palette import RGB, colour
from mixviz.figures.planar import Layer, planar_figure
from mixviz.figures.traversal import BARS, interpolation_strip, stacked_bar


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def grey(count, value, side=8):
    return np.full((count, 1, side, side), value, np.uint8)


def test_values_outside_the_unit_interval_are_cut_off():
    assert as_pixels(np.array([-1, 0, 0.5, 1, 7, np.nan])).tolist() == [0, 0, 128, 255, 255, 0]


def test_rows_have_their_colour_and_short_ones_are_transparent():
    blocks = [[grey(1, 10), grey(0, 0)], [grey(2, 60), grey(3, 90)]]
    found = pixels(component_rows(blocks, [4, 7], ["4", "7"]))
    row = TILE + GAP
    assert found.shape[0] == 2 * row - GAP
    assert found[5, 0, :3].tolist() == RGB[4].tolist()
    assert found[row + 5, 0, :3].tolist() == RGB[7].tolist()
    first = 36  # bar and number
    assert found[5, first].tolist() == [10, 10, 10, 255]
    assert found[row + 5, first, 3] == 0  # no mean
    second = first + TILE + 12
    assert found[5, second, 0] == 60
    assert found[row + 5, second + 2 * row, 0] == 90
    assert found[5, second + 2 * row, 3] == 0


def test_rows_of_vectors_are_refused():
    with pytest.raises(ValueError, match="images"):
        component_rows([[np.zeros((2, 3), np.uint8)]], [0], ["0"])
    with pytest.raises(ValueError, match="images"):
        component_rows([[grey(0, 0)]], [0], ["0"])


def test_stacked_bar_has_heights_by_probability():
    bar = stacked_bar(np.array([0.25, 0.0, 0.75]), height=100)
    owners = [RGB[k].tolist() for k in (0, 2)]
    found = [row[:3].tolist() for row in bar]
    assert found.count(owners[0]) == 25
    assert found[-25:] == [owners[0]] * 25
    assert found[:75] == [owners[1]] * 75


def test_strip_has_the_probabilities_below_the_images():
    images, ends = grey(3, 50), grey(2, 200)
    probabilities = np.eye(3)
    found = pixels(interpolation_strip(images, probabilities, ends, tile=8))
    cell = 8 + GAP
    assert found.shape == (8 + 2 * GAP + BARS, 5 * cell - GAP, 4)
    assert [int(found[0, i * cell, 0]) for i in range(5)] == [200, 50, 50, 50, 200]
    below = [found[-1, i * cell] for i in range(5)]
    assert [bar[3] for bar in below] == [0, 255, 255, 255, 0]
    assert [bar[:3].tolist() for bar in below[1:4]] == [RGB[k].tolist() for k in range(3)]


def table(counts, **settings):
    size = counts.shape
    return matrix_table(
        counts,
        row_names=[f"c{k}" for k in range(size[0])],
        column_names=[f"l{k}" for k in range(size[1])],
        colours=list(range(size[0])),
        rows=settings.pop("rows", np.arange(size[0])),
        columns=settings.pop("columns", np.arange(size[1])),
        as_shares=settings.pop("as_shares", False),
    )


def test_matrix_is_in_the_order_asked_for():
    counts = np.array([[1, 2], [1000, 0]])
    found = table(counts, rows=np.array([1, 0]), columns=np.array([1, 0]))
    assert [column["name"] for column in found["columns"]] == ["l1", "l0"]
    first, second = found["rows"]
    assert (first["id"], first["name"], first["colour"]) == (1, "c1", colour(1))
    assert first["cells"] == [["", 0], ["1,000", 1]]
    assert second["cells"] == [["2", 0.667], ["1", 0.333]]
    assert second["total"] == "3"


def test_matrix_as_shares_of_components():
    found = table(np.array([[1, 999], [0, 0]]), as_shares=True)
    assert [text for text, _ in found["rows"][0]["cells"]] == ["<1", "100"]
    assert found["rows"][1]["cells"] == [["", 0], ["", 0]]


def test_matrix_too_large_for_a_page_is_cut():
    found = table(np.ones((MOST_CELLS // 10 + 5, 10), int))
    assert len(found["rows"]) == MOST_CELLS // 10
    assert found["left_out"] == 5


def test_tree_is_cut_between_the_merges():
    tree = np.array([[0, 1, 0.1, 2], [2, 3, 0.6, 3]])
    for count, low, high in ((3, 0, 0.1), (2, 0.1, 0.6), (1, 0.6, 1.1)):
        spec = tree_figure(tree, ["a", "b", "<c>"], count, "distance", 1)
        (line,) = spec["layout"]["shapes"]
        assert low < line["y0"] < high
    assert sorted(spec["layout"]["xaxis"]["ticktext"]) == ["&lt;c&gt;", "a", "b"]


def test_pairs_are_joined_and_ways_are_whole():
    points = np.arange(8, dtype=np.float32).reshape(4, 2)
    layers = [Layer("a", points, np.zeros(4, int), lines=kind) for kind in ("", "pairs", "way")]
    spec = planar_figure(points, layers, 0)
    modes = [trace["mode"] for trace in spec["data"]]
    assert modes == ["markers", "markers", "lines", "markers", "lines", "markers"]
    x = np.frombuffer(base64.b64decode(spec["data"][2]["x"]["bdata"]), "<f4")
    assert np.isnan(x).tolist() == [False, False, True, False, False, True]


def test_extent_of_the_pad_is_square_and_leaves_far_unused_components_out():
    points = np.random.default_rng(0).normal(size=(200, 2)) * [5, 1]
    means = np.array([[0, 0], [900.0, 900.0]])
    snapshot = plane_snapshot(
        "latent", points, np.zeros(200), means, np.stack([np.eye(2)] * 2), np.array([1.0, 0.0])
    )
    left, right, bottom, top = square_extent(snapshot)
    assert right - left == pytest.approx(top - bottom)
    assert right < 100
    assert left < points[:, 0].min() + 1


def test_vectors_have_pictures_too():
    random = np.random.default_rng(0)
    data = random.normal(size=(50, 7)).astype(np.float32)
    line = pixels(vector_picture(data[0], data.min(0), data.max(0), 2))
    point = pixels(point_picture(data[:, :2], data[0, :2], 2))
    for picture in (line, point):
        close = np.abs(picture[..., :3].astype(int) - RGB[2]).sum(-1) < 10
        assert (close & (picture[..., 3] > 0)).sum() > 50
    far = pixels(point_picture(data[:, :2], np.array([1e12, np.nan], np.float32), 2))
    assert far.shape == point.shape


def test_points_of_no_component_are_called_by_their_layer():
    points = np.zeros((4, 2), np.float32)
    nobody = np.full(4, -1)
    layers = [
        Layer("", points, nobody, symbol="", lines="pairs"),
        Layer("observations", points, nobody),
        Layer("members", points, np.array([0, 1, 1, 2])),
    ]
    lines, grey, members = planar_figure(points, layers, 0)["data"][1:]
    assert lines["mode"] == "lines"
    assert grey["hovertemplate"].startswith("observations: ")
    assert members["hovertemplate"].startswith("component %{customdata}: ")
