"""Tests of t-SNE and UMAP: clusters stay together, the same seed the same map, new points placed."""

from threading import Thread

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import KNeighborsClassifier

from mixviz.embedding import Plane, TSNESettings, UMAPSettings, fit_map, maps, neighbours, placing
from mixviz.embedding.neighbours import ExactNeighbours
from mixviz.errors import MixvizError

QUICK = {
    "tsne": TSNESettings(perplexity=10, iterations=150),
    "umap": UMAPSettings(neighbours=10, epochs=60),
}


@pytest.fixture(scope="module")
def clusters():
    """Three far clusters in five dimensions, and fresh points of the same."""
    rng = np.random.default_rng(0)
    centres = 20 * np.eye(5)[:3]
    which = np.arange(150) % 3
    latents = centres[which] + rng.normal(size=(150, 5))
    new = np.arange(30) % 3
    return latents.astype(np.float32), which, (centres[new] + rng.normal(size=(30, 5))), new


@pytest.fixture(scope="module", params=["tsne", "umap"])
def fitted(request, clusters):
    shares = []
    coordinates, place = fit_map(request.param, clusters[0], QUICK[request.param], 2, shares.append)
    return request.param, coordinates, place, shares


def test_clusters_stay_together_and_new_points_join_theirs(fitted, clusters):
    _, coordinates, place, _ = fitted
    _, which, new, of_new = clusters
    assert coordinates.shape == (150, 2)
    assert coordinates.dtype == np.float32
    nearest = KNeighborsClassifier(4).fit(coordinates, which)
    assert nearest.score(coordinates, which) == 1
    assert nearest.score(place(new.astype(np.float32)), of_new) == 1


def test_progress_goes_up_to_one(fitted):
    shares = fitted[3]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9
    assert min(shares) >= 0


def test_work_that_was_left_does_not_hold_up_other_threads(clusters):
    def leave(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_map("umap", clusters[0], QUICK["umap"], 2, leave)
    shares = []
    other = Thread(
        target=fit_map, args=("umap", clusters[0], QUICK["umap"], 2, shares.append), daemon=True
    )
    other.start()
    other.join(60)
    assert not other.is_alive() and shares[-1] == 1


def test_a_kept_map_places_points_as_the_fitted_one_did(fitted, clusters):
    method, coordinates, place, _ = fitted
    new = clusters[2].astype(np.float32)
    again = placing(method, clusters[0], coordinates, QUICK[method])
    assert again(new) == pytest.approx(place(new), abs=1e-3)


def test_the_same_seed_gives_the_same_map_and_another_seed_another(clusters):
    settings = QUICK["umap"]
    first, _ = fit_map("umap", clusters[0], settings, 2)
    assert (fit_map("umap", clusters[0], settings, 2)[0] == first).all()
    other = settings.model_copy(update={"seed": 1})
    assert (fit_map("umap", clusters[0], other, 2)[0] != first).any()


@pytest.mark.parametrize("dimensions", [5, 50])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_the_nearest(metric, dimensions):
    rng = np.random.default_rng(1)
    latents = rng.normal(3, 1, size=(1500, dimensions)).astype(np.float32)
    new = rng.normal(3, 1, size=(20, dimensions)).astype(np.float32)
    search = ExactNeighbours(latents, 7, metric, 2)
    to_each, to_new = (cdist(points, latents, metric) for points in (latents, new))
    assert (search.indices[:, 0] == np.arange(1500)).all()
    assert (search.distances[:, 0] == 0).all()  # a rounding error would be a nearest neighbour
    assert (search.indices == to_each.argsort(1)[:, :7]).all()
    assert search.distances == pytest.approx(np.sort(to_each, 1)[:, :7], rel=1e-3, abs=1e-6)
    indices, distances = search.query(new, 4, epsilon=0.1)
    assert (indices == to_new.argsort(1)[:, :4]).all()
    assert distances == pytest.approx(np.sort(to_new, 1)[:, :4], rel=1e-3, abs=1e-6)
    assert (indices.dtype, distances.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_of_what_is_there_many_times(metric):
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(60, 20)).astype(np.float32)
    latents[:30] = latents[0]
    latents[30:40] = 0
    search = ExactNeighbours(latents, 7, metric, 2)
    assert (search.distances[:, 0] == 0).all()
    assert (np.sort(search.indices)[:30] < 30).all()
    assert (search.distances[:40] == 0).all()
    assert set(search.indices[30:40].flat) == set(range(30, 40))
    assert all(i in row for i, row in enumerate(search.indices))


def test_cosine_distance_to_what_has_no_direction():
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(60, 20)).astype(np.float32)
    latents[:3] = 0
    search = ExactNeighbours(latents, 7, "cosine", 2)
    expected = np.sort(cosine_distances(latents), 1)[:, :7]
    assert search.distances[3:] == pytest.approx(expected[3:], abs=1e-6)
    assert search.distances[:3] == pytest.approx(np.array([[0] * 3 + [1] * 4] * 3), abs=1e-6)
    _, distances = search.query(np.zeros((1, 20), np.float32), 5)
    assert distances == pytest.approx(np.array([[0] * 3 + [1] * 2]), abs=1e-6)


def test_many_latents_are_left_to_the_search_of_umap(clusters, monkeypatch):
    latents, which, new, of_new = clusters
    monkeypatch.setattr(maps, "_MOST_WORK", latents.size * len(latents) - 1)
    monkeypatch.setattr(neighbours, "ExactNeighbours", None)
    coordinates, place = fit_map("umap", latents, QUICK["umap"], 2)
    nearest = KNeighborsClassifier(4).fit(coordinates, which)
    assert nearest.score(place(new.astype(np.float32)), of_new) == 1


def test_few_latents_have_fewer_neighbours_than_asked_for(clusters):
    coordinates, _ = fit_map("umap", clusters[0][:12], UMAPSettings(neighbours=30, epochs=10), 2)
    assert coordinates.shape == (12, 2)


def test_three_dimensions(clusters):
    shares = []
    coordinates, place = fit_map("tsne", clusters[0], QUICK["tsne"], 3, shares.append)
    assert coordinates.shape == (150, 3)
    assert place is None
    assert shares[-1] == 1
    neighbours = KNeighborsClassifier(4).fit(coordinates, clusters[1])
    assert neighbours.score(coordinates, clusters[1]) > 0.9


@pytest.mark.parametrize(("size", "dimensions"), [(2, 3), (1, 2)])
@pytest.mark.parametrize("method", QUICK)
def test_maps_of_more_dimensions_than_the_latents_have(clusters, method, size, dimensions):
    latents = clusters[0] @ np.eye(5, size, dtype=np.float32)
    coordinates, _ = fit_map(method, latents, QUICK[method], dimensions)
    assert coordinates.shape == (150, dimensions)
    assert np.isfinite(coordinates).all()


@pytest.mark.parametrize(
    ("latents", "said"),
    [
        (np.zeros((50, 3), np.float32), "same latents"),
        (np.zeros((3, 3), np.float32), "at least"),
        (np.full((50, 3), np.nan, np.float32), "diverged"),
    ],
)
def test_what_cannot_be_mapped_is_said(latents, said):
    with pytest.raises(MixvizError, match=said):
        fit_map("umap", latents, UMAPSettings(), 2)


def test_plane_of_three_dimensions_holds_the_most_variance():
    rng = np.random.default_rng(0)
    latents = (
        rng.normal(size=(500, 6))
        * [5, 4, 3, 0.1, 0.1, 0.1]
        @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    )
    plane = Plane.fit(latents, dimensions=3)
    assert plane.project(latents).var(0).sum() == pytest.approx(latents.var(0).sum(), rel=0.01)
    covariance = plane.project_covariances(np.cov(latents.T)[None])[0]
    assert covariance == pytest.approx(np.cov(plane.project(latents).T), abs=1e-9)


def test_plane_along_chosen_axes():
    latents = np.arange(12.0).reshape(3, 4)
    plane = Plane.along(4, (3, 1))
    assert plane.project(latents).tolist() == latents[:, [3, 1]].tolist()
    assert plane.project_covariances(np.array([[1.0, 2.0, 3.0, 4.0]])).tolist() == [
        [[4, 0], [0, 2]]
    ]
