"""Tests of neighbours in latent space and of points inside an outline."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixviz.analysis import neighbours
from mixviz.analysis.neighbours import nearest, within


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 80))
def test_neighbours_are_those_of_a_full_sort(seed, points, count):
    latents = np.random.default_rng(seed).normal(size=(points, 3))
    rows, distances = nearest(latents, 1, count)
    full = np.linalg.norm(latents - latents[1], axis=1)
    expected = [i for i in np.argsort(full) if i != 1][:count]
    assert rows.tolist() == expected
    assert np.allclose(distances, full[expected])


def test_neighbours_are_found_across_chunks(monkeypatch):
    latents = np.random.default_rng(0).normal(size=(100, 2))
    whole = nearest(latents, 50, 10)[0]
    monkeypatch.setattr(neighbours, "_CHUNK", 7)
    assert nearest(latents, 50, 10)[0].tolist() == whole.tolist()


def test_box_and_lasso():
    points = np.array([[0, 0], [1, 1], [2, 0.5], [0.2, 0.9]])
    box = np.array([[-0.5, -0.5], [1.5, -0.5], [1.5, 1.5], [-0.5, 1.5]])
    assert within(points, box).tolist() == [True, True, False, True]
    triangle = np.array([[-0.5, -0.5], [3, -0.5], [3, 1.2]])
    assert within(points, triangle).tolist() == [False, False, True, False]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_points_inside_a_polygon_agree_with_the_angle_around_them(seed):
    rng = np.random.default_rng(seed)
    turns = np.sort(rng.uniform(0, 2 * np.pi, 12))
    outline = np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(0.3, 1, (12, 1))
    points = rng.uniform(-1, 1, (50, 2))
    rays = outline[None] - points[:, None]
    angles = np.arctan2(rays[..., 1], rays[..., 0])
    steps = np.diff(np.concatenate([angles, angles[:, :1]], 1), axis=1)
    winding = ((steps + np.pi) % (2 * np.pi) - np.pi).sum(1) / (2 * np.pi)
    assert within(points, outline).tolist() == (np.abs(winding) > 0.5).tolist()


def test_points_that_are_not_finite_are_outside():
    points = np.array([[np.nan, 0.0], [0.5, 0.5]])
    outline = np.array([[0, 0], [1, 0], [1, 1], [0.5, 1.5]])
    assert within(points, outline).tolist() == [False, True]
