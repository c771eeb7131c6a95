"""The latent plane: where contours lie, what is coloured, what is in the frame."""

import dataclasses

import numpy as np
import pytest

from mixviz.figures.contours import ellipses, extent_of
from mixviz.figures.latent import latent_figure
from mixviz.figures.palette import COLOURS, NEUTRAL, colour


def traces(spec):
    return {trace["uid"]: trace for trace in spec["data"]}


def draw(snapshot, subsample, colour_by="component", **settings):
    return latent_figure(snapshot, subsample, colour_by=colour_by, uirevision="r", **settings)


def test_contours_lie_at_mahalanobis_distance_two(snapshot):
    outlines = ellipses(snapshot.means, snapshot.covariances)
    away = outlines - snapshot.means[:, None]
    precision = np.linalg.inv(snapshot.covariances)
    distances = np.sqrt(np.einsum("kvi,kij,kvj->kv", away, precision, away))
    np.testing.assert_allclose(distances, 2, rtol=1e-9)
    np.testing.assert_allclose(outlines[:, 0], outlines[:, -1], atol=1e-9)


def test_contour_of_a_flat_gaussian_is_a_segment():
    (outline,) = ellipses(np.zeros((1, 2)), np.array([[[4.0, 0], [0, 0]]]))
    assert np.abs(outline[:, 1]).max() == 0
    assert np.isclose(outline[:, 0].max(), 4)


def test_each_component_has_its_points_in_its_colour(snapshot, subsample, unpacked):
    found = traces(draw(snapshot, subsample))
    for k in range(len(snapshot.means)):
        points = found[f"points-{k}"]
        assert points["marker"]["color"] == colour(k) and points["hoverinfo"] == "skip"
        mine = snapshot.points[snapshot.assignments == k]
        np.testing.assert_array_equal(unpacked(points["x"]), mine[:, 0])
        np.testing.assert_array_equal(unpacked(points["y"]), mine[:, 1])


@pytest.mark.parametrize("colour_by", ["component", "label", "confidence"])
def test_every_point_is_drawn_once(snapshot, subsample, unpacked, colour_by):
    found = traces(draw(snapshot, subsample, colour_by))
    drawn = [unpacked(t["x"]) for uid, t in found.items() if uid.startswith("points-")]
    np.testing.assert_array_equal(np.sort(np.concatenate(drawn)), np.sort(snapshot.points[:, 0]))


def test_the_traces_do_not_depend_on_the_assignments(snapshot, subsample):
    emptied = dataclasses.replace(snapshot, assignments=np.zeros_like(snapshot.assignments))
    assert list(traces(draw(emptied, subsample)))[:4] == list(traces(draw(snapshot, subsample)))[:4]


def test_confident_points_are_brighter(snapshot, subsample, unpacked):
    found = traces(draw(snapshot, subsample, "confidence"))
    sure = snapshot.points[snapshot.confidences >= 0.875][:, 0]
    np.testing.assert_array_equal(unpacked(found["points-7"]["x"]), sure)
    assert found["points-7"]["marker"]["color"] != found["points-0"]["marker"]["color"]
    assert found["scale"]["marker"]["showscale"]


def test_each_component_has_one_contour_and_its_number(snapshot, subsample, unpacked):
    found = traces(draw(snapshot, subsample))
    for k in range(4):
        trace = found[f"component-{k}"]
        assert trace["line"]["color"] == colour(k)
        assert trace["line"]["dash"] == ("dot" if k == 3 else "solid")
        expected = ellipses(snapshot.means, snapshot.covariances)[k]
        np.testing.assert_allclose(unpacked(trace["x"]), expected[:, 0], rtol=1e-5, atol=1e-5)
    numbers = found["numbers"]
    assert numbers["text"][0] == "3"  # the unused one lies below the others
    at = [int(k) for k in numbers["text"]]
    np.testing.assert_allclose(unpacked(numbers["x"]), snapshot.means[at, 0], rtol=1e-5)


def test_component_with_hardly_a_point_is_idle_as_the_verdict_says(make_snapshot, subsample):
    found = traces(draw(make_snapshot(usage=np.array([0.6, 0.2, 0.19, 0.01])), subsample))
    assert [found[f"component-{k}"]["line"]["dash"] for k in range(4)] == ["solid"] * 3 + ["dot"]


def test_many_components_share_the_traces_of_their_colour(subsample, make_snapshot, unpacked):
    found = traces(draw(make_snapshot(components=120), subsample))
    contours = [uid for uid in found if uid.startswith("component-")]
    assert len(contours) == len(set(contours)) <= 2 * len(COLOURS)
    assert np.isnan(unpacked(found["component-0"]["x"])).sum() >= 1  # a gap between two outlines
    assert len(found["numbers"]["text"]) == 120


def test_labels_colour_the_points_and_their_names_are_escaped(snapshot, subsample, unpacked):
    found = traces(draw(snapshot, subsample, "label"))
    ones = snapshot.points[subsample.labels == 1][:, 0]
    np.testing.assert_array_equal(unpacked(found["points-1"]["x"]), ones)
    assert found["label-1"]["name"] == "&lt;b&gt;one&lt;/b&gt;"
    assert found["label-2"]["marker"]["color"] == colour(2) == found["points-2"]["marker"]["color"]


def test_without_labels_points_are_neutral(snapshot, subsample, unpacked):
    bare = dataclasses.replace(subsample, labels=np.empty(0, np.int64), label_names=())
    points = draw(snapshot, bare, "label")["data"][0]
    assert points["marker"]["color"] == NEUTRAL and len(unpacked(points["x"])) == len(
        snapshot.points
    )


def test_unknown_colouring_is_refused(snapshot, subsample):
    with pytest.raises(ValueError, match="component, label, confidence"):
        draw(snapshot, subsample, "mood")


def test_axes_are_equal_and_named_after_the_plane(snapshot, subsample):
    layout = draw(snapshot, subsample, extent=(-1, 2, -3, 4))["layout"]
    assert layout["xaxis"]["range"] == [-1, 2] and layout["yaxis"]["range"] == [-3, 4]
    assert layout["yaxis"]["scaleanchor"] == "x"
    assert layout["xaxis"]["title"]["text"] == "z₁"
    above = dataclasses.replace(snapshot, plane="pca")
    assert draw(above, subsample)["layout"]["yaxis"]["title"]["text"] == "PCA 2"


def test_extent_holds_points_and_used_contours_alone(make_snapshot):
    snapshot = make_snapshot()
    snapshot.means[3] = 1e4  # unused
    left, right, bottom, top = extent_of([snapshot])
    used = ellipses(snapshot.means, snapshot.covariances)[:3].reshape(-1, 2)
    for x, y in (snapshot.points.T, used.T):
        inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
        assert inside.mean() >= 0.99
    assert right < 100


def test_extent_is_not_moved_by_a_run_that_diverges(diverged, make_snapshot):
    steady = [make_snapshot(step) for step in range(10)]
    wild = make_snapshot(points=1e7 * make_snapshot().points)
    nowhere = make_snapshot(points=np.full((200, 2), np.nan), usage=np.zeros(4))
    expected = extent_of(steady)
    assert extent_of([*steady, wild, nowhere]) == expected
    assert np.isfinite(extent_of([diverged])).all()
    assert extent_of([nowhere]) == extent_of([]) == (-1, 1, -1, 1)


def test_extent_of_points_in_one_place_is_not_empty(make_snapshot):
    left, right, bottom, top = extent_of(
        [make_snapshot(points=np.zeros((200, 2), np.float32), usage=np.zeros(4))]
    )
    assert left < 0 < right and bottom < 0 < top
