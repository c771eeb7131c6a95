"""Tests of the figures of Explore: contours, colours, greying, the raster, sheets of thumbnails."""

import base64
import io

import numpy as np
import pytest
from matplotlib.path import Path
from PIL import Image

from mixviz.figures.embedding import (
    density_outlines,
    embedding_figure,
    gaussian_outlines,
)
from mixviz.figures.embedding_colours import by_column, by_error, by_name, by_number
from mixviz.figures.embedding_raster import raster, raster_figure
from mixviz.figures.palette import RGB, UNKNOWN
from mixviz.figures.thumbnails import COLUMNS, sheet

POINTS = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)


def unpacked(spec):
    return np.frombuffer(base64.b64decode(spec["bdata"]), np.dtype(spec["dtype"]))


def traces(figure, beginning):
    return [trace for trace in figure["data"] if trace["uid"].startswith(beginning)]


def rows_of(figure):
    return np.concatenate([unpacked(trace["customdata"]) for trace in traces(figure, "points-")])


def test_outlines_of_gaussians_lie_at_two_sigma_in_two_and_three_dimensions():
    rng = np.random.default_rng(0)
    for size in (2, 3):
        factor = rng.normal(size=(4, size, size))
        covariances = factor @ factor.transpose(0, 2, 1)
        means = rng.normal(size=(4, size))
        for k, line in gaussian_outlines(means, covariances).items():
            line = line[np.isfinite(line).all(1)] - means[k]
            squares = np.einsum("vi,ij,vj->v", line, np.linalg.inv(covariances[k]), line)
            assert squares == pytest.approx(4, rel=1e-6)


def test_components_that_are_not_finite_have_no_outline():
    covariances = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    assert list(gaussian_outlines(np.zeros((2, 3)), covariances)) == [0]


def test_density_outline_of_a_gaussian_holds_86_percent_of_it():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(5000, 2)) * [3, 1]
    components = np.zeros(5000, int)
    components[:20] = 1  # too few for an outline
    outlines = density_outlines(samples, components, 3)
    assert list(outlines) == [0]
    whole = outlines[0][np.isfinite(outlines[0]).all(1)]
    inside = Path(whole).contains_points(rng.normal(size=(5000, 2)) * [3, 1])
    assert inside.mean() == pytest.approx(1 - np.exp(-2), abs=0.03)


@pytest.mark.parametrize(("near", "far"), [(297, 3), (50, 0)])
def test_density_outline_is_not_widened_by_few_samples_or_by_far_ones(near, far):
    rng = np.random.default_rng(0)
    samples = np.concatenate([rng.normal(size=(near, 2)), rng.normal(size=(far, 2)) + 60])
    line = density_outlines(samples, np.zeros(near + far, int), 1)[0]
    gaps = np.flatnonzero(np.isnan(line[:, 0]))
    pieces = [piece[np.isfinite(piece).all(1)] for piece in np.split(line, gaps)]
    inside = np.sum([Path(piece).contains_points(samples) for piece in pieces], axis=0) % 2
    assert inside.mean() == pytest.approx(1 - np.exp(-2), abs=0.06)
    assert np.nanmax(line, 0) - np.nanmin(line, 0) == pytest.approx([4, 4], abs=1.6)


def test_every_point_is_drawn_once_in_its_colour():
    values = np.arange(100) % 7
    figure = embedding_figure(
        "pca", POINTS, by_name("label", values, list("abcdefg")), uirevision="a"
    )
    assert sorted(rows_of(figure)) == list(range(100))
    assert [trace["name"] for trace in traces(figure, "points-")] == list("abcdefg")
    third = traces(figure, "points-2")[0]
    assert unpacked(third["x"]).tolist() == POINTS[values == 2, 0].tolist()
    assert figure["layout"]["xaxis"]["title"]["text"] == "PCA 1"


@pytest.mark.parametrize("dimensions", [2, 3])
def test_what_is_not_selected_is_greyed_and_not_hidden(dimensions):
    points = np.random.default_rng(0).normal(size=(100, dimensions)).astype(np.float32)
    selected = np.arange(100) < 10
    figure = embedding_figure(
        "umap",
        points,
        by_name("label", np.arange(100) % 2, ["a", "b"]),
        uirevision="a",
        selected=selected,
    )
    if dimensions == 2:
        assert sorted(rows_of(figure)) == list(range(100))
        for trace in traces(figure, "points-"):
            chosen = unpacked(trace["customdata"])[unpacked(trace["selectedpoints"])]
            assert len(chosen) == 5
            assert selected[chosen].all()
            assert trace["unselected"]["marker"]["opacity"] < 0.3
    else:
        assert sorted(rows_of(figure)) == list(range(10))
        (grey,) = traces(figure, "greyed")
        assert sorted(unpacked(grey["customdata"])) == list(range(10, 100))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_idle_components_are_faint_and_lie_below(dimensions):
    means = np.arange(3 * dimensions, dtype=float).reshape(3, dimensions)
    figure = embedding_figure(
        "pca",
        np.zeros((10, dimensions), np.float32),
        by_name("label", np.zeros(10, int), ["a"]),
        uirevision="a",
        outlines=gaussian_outlines(means, np.stack([np.eye(dimensions)] * 3)),
        usage=np.array([0.6, 0.001, 0.399]),
    )
    lines = traces(figure, "component-")
    assert [line["uid"] for line in lines] == ["component-1", "component-0", "component-2"]
    assert [line["line"]["dash"] for line in lines] == ["dot", "solid", "solid"]
    assert lines[0]["opacity"] < 0.5 < lines[1]["opacity"]
    if dimensions == 2:
        numbers = traces(figure, "numbers")[0]
        assert numbers["text"] == ["1", "0", "2"]
        assert numbers["marker"]["opacity"][0] < 0.5 < numbers["marker"]["opacity"][1]


def test_names_from_outside_are_not_markup():
    figure = embedding_figure(
        "pca", POINTS, by_name("label", np.zeros(100, int), ["<b>x"]), uirevision="a"
    )
    assert traces(figure, "points-")[0]["name"] == "&lt;b&gt;x"


def test_errors_are_those_of_the_matching():
    colouring = by_error(
        np.array([0, 0, 1, 2, 1]), np.array([1, 0, 0, 1, -1]), np.array([1, 0, -1])
    )
    named = [colouring.names[group] for group in colouring.groups]
    assert named == ["right", "wrong", "right", "wrong", "unknown"]


def test_numbers_are_on_a_scale_and_gaps_are_neutral():
    colouring = by_number("confidence", np.array([0.0, 0.5, 1.0, np.nan]), 0.0, 1.0)
    assert colouring.groups.tolist() == [0, 4, 7, 8]
    assert (colouring.shades[8] == RGB[UNKNOWN]).all()
    assert (by_number("flat", np.ones(5)).groups == 0).all()
    assert (by_number("none", np.full(3, np.nan)).groups == 8).all()


def test_columns_are_named_or_scaled_by_what_they_hold():
    assert by_column("age", np.linspace(0, 1, 200)).names == {}
    assert by_column("sex", np.array(["f", "m", "f"])).names == {0: "f", 1: "m"}
    assert by_column("grade", np.array([3, 1, 2, 1])).names == {0: "1", 1: "2", 2: "3"}
    assert by_column("id", np.arange(1000)).names == {}
    assert by_column("petal", np.array([0.2, 1.4, 0.2])).names == {}  # a measurement
    tens = by_column("score", np.array([10.0, 2.0, np.nan, 1.0]))
    assert tens.names == {0: "1", 1: "2", 2: "10", UNKNOWN: "unknown"}
    assert tens.groups.tolist() == [2, 1, UNKNOWN, 0]


def test_raster_puts_points_where_they_are_in_the_mean_of_their_colours():
    points = np.array([[0.5, 0.5], [9.5, 0.5], [9.5, 0.5], [50, 50], [np.nan, 0]])
    colouring = by_name("c", np.array([0, 1, 2, 0, 0]), list("abc"))
    picture = np.asarray(
        Image.open(io.BytesIO(raster(points, colouring, (0, 10, 0, 5), (10, 5))))
    ).astype(int)
    assert picture.shape == (5, 10, 4)
    assert np.argwhere(picture[..., 3] > 0).tolist() == [[4, 0], [4, 9]]
    assert picture[4, 0, :3].tolist() == RGB[0].tolist()
    mean = (RGB[1].astype(float) + RGB[2]) / 2
    assert picture[4, 9, :3] == pytest.approx(mean, abs=1)
    assert picture[4, 9, 3] > picture[4, 0, 3]


def test_raster_greys_what_is_not_selected():
    points = np.array([[0.5, 0.5], [1.5, 0.5]])
    colouring = by_name("c", np.array([0, 0]), ["a"])
    content = raster(points, colouring, (0, 2, 0, 1), (2, 1), np.array([True, False]))
    picture = np.asarray(Image.open(io.BytesIO(content)))
    assert picture[0, 0, :3].tolist() == RGB[0].tolist()
    assert picture[0, 1, :3].tolist() == RGB[UNKNOWN].tolist()
    assert picture[0, 1, 3] < picture[0, 0, 3]


def test_raster_of_nothing_is_empty():
    colouring = by_name("c", np.zeros(1, int), ["a"])
    picture = np.asarray(
        Image.open(io.BytesIO(raster(np.array([[9.0, 9.0]]), colouring, (0, 1, 0, 1), (3, 2))))
    )
    assert not picture.any()


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 96)])
def test_sheet_holds_each_image_at_its_place(channels, side):
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 256, COLUMNS + 3, dtype=np.uint8)
    images = np.broadcast_to(shades[:, None, None, None], (len(shades), channels, side, side))
    content, width, height = sheet(images)
    picture = np.asarray(Image.open(io.BytesIO(content)))
    assert max(width, height) <= 40
    assert picture.shape[:2] == (2 * height, COLUMNS * width)
    for i in (0, 7, COLUMNS + 2):
        tile = picture[i // COLUMNS * height :, i % COLUMNS * width :][
            4 : height - 4, 4 : width - 4
        ]
        assert np.abs(tile.astype(int) - int(shades[i])).max() <= 12


def test_points_of_many_are_picked_by_their_own_numbers():
    kept = np.arange(0, 1000, 10)
    points = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
    colouring = by_number("x", np.arange(100.0))
    figure = embedding_figure("pca", points, colouring, uirevision="0", rows=kept)
    assert sorted(rows_of(figure)) == kept.tolist()
    marked = np.arange(100) < 30
    figure = embedding_figure("pca", points, colouring, uirevision="0", rows=kept, selected=marked)
    assert sorted(rows_of(figure)) == kept[:30].tolist()
    (greyed,) = traces(figure, "greyed")
    assert unpacked(greyed["customdata"]).tolist() == kept[30:].tolist()


def test_a_picture_of_many_points_has_the_scale_and_the_other_set():
    extent = (-3.0, 3.0, -3.0, 3.0)
    colouring = by_number("height", np.arange(100.0))
    figure = raster_figure(
        "pca", b"", extent, colouring, uirevision="0", extent=extent, others=POINTS[:7]
    )
    titles = [trace.get("marker", {}).get("colorbar", {}).get("title") for trace in figure["data"]]
    assert {"text": "height", "side": "right"} in titles
    assert any(len(unpacked(trace["x"])) == 7 for trace in traces(figure, "others"))


def test_components_with_too_few_samples_have_no_outline():
    components = np.repeat([0, 1, 2], [30, 29, 100])
    points = np.random.default_rng(0).normal(size=(159, 2))
    assert list(density_outlines(points, components, 4)) == [0, 2]
