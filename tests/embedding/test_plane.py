"""Tests of the plane of the pictures: identity in two dimensions, steady and exact above."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixviz.embedding import Plane


def cloud(seed=0, size=6, points=400):
    """Latents with a clear order of their principal axes, off the origin."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(3, 0.3, size)
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return rng.normal(size=(points, size)) * spread @ turn + rng.normal(size=size)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_two_dimensions_are_shown_as_they_are(seed):
    latents = np.random.default_rng(seed).normal(3, 2, (50, 2)).astype(np.float32)
    plane = Plane.fit(latents, Plane.fit(latents + 1))
    assert plane.name == "latent"
    assert (plane.project(latents) == latents).all()
    covariances = np.array([[[2.0, 0.5], [0.5, 1.0]]])
    assert (plane.project_covariances(covariances) == covariances).all()
    assert (plane.project_covariances(np.array([[2.0, 3.0]])) == np.diag([2.0, 3.0])).all()


def test_one_dimension_lies_along_the_first_axis():
    latents = np.array([[1.0], [-2.0]])
    plane = Plane.fit(latents)
    assert plane.project(latents).tolist() == [[1, 0], [-2, 0]]
    assert plane.project_covariances(np.array([[4.0]])).tolist() == [[[4, 0], [0, 0]]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 12))
def test_axes_are_orthonormal_and_centred(seed, size):
    first = Plane.fit(cloud(seed, size))
    for plane in (first, Plane.fit(cloud(seed + 1, size), first)):
        assert plane.name == "pca"
        assert plane.axes.shape == (size, 2)
        assert plane.axes.T @ plane.axes == pytest.approx(np.eye(2), abs=1e-9)
    assert first.project(cloud(seed, size)).mean(0) == pytest.approx(np.zeros(2), abs=1e-9)


def test_plane_holds_the_most_variance():
    latents = cloud()
    plane = Plane.fit(latents)
    captured = np.trace(np.cov(plane.project(latents).T))
    values = np.linalg.eigvalsh(np.cov(latents.T))
    assert captured == pytest.approx(values[-2:].sum())
    turned = Plane.fit(latents, Plane.fit(cloud(seed=3)))
    assert np.trace(np.cov(turned.project(latents).T)) == pytest.approx(captured)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_picture_does_not_flip_when_the_points_are_reordered(seed, data):
    latents = cloud(seed, points=60)
    first = Plane.fit(latents)
    order = np.array(data.draw(st.permutations(range(60))))
    again = Plane.fit(latents[order], first)
    assert again.project(latents) == pytest.approx(first.project(latents), abs=1e-6)


@pytest.mark.parametrize("signs", [(1, -1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("degrees", [0, 20, 90, 200])
def test_picture_stays_on_a_last_one_that_was_turned_or_mirrored(signs, swap, degrees):
    latents = cloud(seed=4)
    plain = Plane.fit(latents)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axes = (plain.axes * signs)[:, ::-1] if swap else plain.axes * signs
    last = Plane("pca", plain.centre, axes @ turn)
    found = Plane.fit(latents, last)
    assert found.project(latents) == pytest.approx(last.project(latents), abs=1e-8)


def test_consecutive_pictures_of_slowly_moving_latents_stay_close():
    rng = np.random.default_rng(1)
    white = np.linalg.qr(rng.normal(size=(500, 5)))[0] * np.sqrt(500) * [2, 2, 0.5, 0.3, 0.2]
    plane, jumps, loose_jumps = None, [], []
    for step in range(20):
        # The two first axes take turns in having the larger variance.
        sway = 0.02 * (-1) ** step
        latents = white * [1 + sway, 1 - sway, 1, 1, 1]
        if plane is not None:
            following, loose = Plane.fit(latents, plane), Plane.fit(latents)
            before = plane.project(latents)
            jumps.append(np.abs(following.project(latents) - before).max())
            loose_jumps.append(np.abs(loose.project(latents) - before).max())
        plane = Plane.fit(latents, plane)
    assert max(jumps) < 0.2
    assert max(loose_jumps) > 3


def test_plane_of_another_latent_size_is_not_followed():
    other = Plane.fit(cloud(size=4))
    latents = cloud(size=6)
    assert (Plane.fit(latents, other).axes == Plane.fit(latents).axes).all()


@pytest.mark.parametrize("diagonal", [True, False])
def test_projected_covariance_is_that_of_projected_draws(diagonal):
    rng = np.random.default_rng(2)
    plane = Plane.fit(cloud(seed=5))
    if diagonal:
        covariances = rng.uniform(0.2, 3, (2, 6))
        full = np.stack([np.diag(v) for v in covariances])
    else:
        factors = rng.normal(size=(2, 6, 6))
        covariances = full = factors @ factors.transpose(0, 2, 1)
    means = rng.normal(size=(2, 6))
    found = plane.project_covariances(covariances)
    for mean, covariance, centre, projected in zip(
        means, full, plane.project(means), found, strict=True
    ):
        assert projected == pytest.approx(plane.axes.T @ covariance @ plane.axes)
        draws = plane.project(rng.multivariate_normal(mean, covariance, 200_000))
        assert np.cov(draws.T) == pytest.approx(projected, abs=0.03 * np.trace(projected))
        assert draws.mean(0) == pytest.approx(centre, abs=0.01 * np.trace(projected) + 0.02)
