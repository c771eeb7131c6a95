"""Tests of arcs and pinwheel: the polar coordinates they were drawn from, recovered and tested."""

import numpy as np
import pytest
from scipy.stats import chisquare, kstest, pearsonr

from mixviz.data import load
from mixviz.data.synthetic import arcs, pinwheel

MAKERS = {"arcs": arcs, "pinwheel": pinwheel}
SPLITS = ["train", "test"]
UNLIKELY = 1e-3


def is_normal(values, mean, deviation):
    """Whether the values look like draws of N(mean, deviation^2)."""
    return kstest(values, "norm", args=(mean, deviation)).pvalue > UNLIKELY


def independent(one, two):
    return pearsonr(one, two).pvalue > UNLIKELY


def class_angle(data):
    return 2 * np.pi * data.labels / 5


@pytest.mark.parametrize("split", SPLITS)
def test_arcs_are_bent_around_their_centres(split):
    data = arcs(split)
    theta = class_angle(data)
    centre = 0.6 * np.stack([np.cos(theta), np.sin(theta)], axis=1)
    dx, dy = (data.x.astype(float) - centre).T
    radius = np.hypot(dx, dy)
    assert radius.mean() == pytest.approx(0.4, abs=5 * 0.025 / 100)
    assert radius.std() == pytest.approx(0.025, rel=0.04)
    assert is_normal(radius, 0.4, 0.025)
    angle = np.arctan2(dy, dx) - theta - np.pi / 2
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    assert angle.mean() == pytest.approx(0, abs=5 * 0.5 / 100)
    assert angle.std() == pytest.approx(0.5, rel=0.04)
    assert is_normal(angle, 0, 0.5)
    assert independent(radius, angle)


@pytest.mark.parametrize("split", SPLITS)
def test_pinwheel_arms_unwind(split):
    data = pinwheel(split)
    x, y = data.x.astype(float).T / 10
    theta = class_angle(data)
    r = np.hypot(x, y)
    for _ in range(200):  # r = x cos a(r) - y sin a(r) is a contraction
        a = theta + 0.25 * np.exp(r)
        r = x * np.cos(a) - y * np.sin(a)
    a = theta + 0.25 * np.exp(r)
    t = x * np.sin(a) + y * np.cos(a)
    assert r.mean() == pytest.approx(1, abs=5 * 0.3 / 100)
    assert r.std() == pytest.approx(0.3, rel=0.04)
    assert is_normal(r, 1, 0.3)
    assert t.std() == pytest.approx(0.05, rel=0.04)
    assert is_normal(t, 0, 0.05)
    assert independent(r, t)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", MAKERS)
def test_classes_are_drawn_evenly(name, split):
    counts = np.bincount(MAKERS[name](split).labels, minlength=5)
    assert counts.sum() == 10_000
    assert len(counts) == 5
    assert chisquare(counts).pvalue > UNLIKELY


@pytest.mark.parametrize("name", MAKERS)
def test_a_split_is_always_the_same_and_never_the_other(name):
    train, again, test = (MAKERS[name](split) for split in ("train", "train", "test"))
    assert train is not again
    assert train.content_hash == again.content_hash
    assert train.content_hash != test.content_hash
    assert not set(map(tuple, train.x.tolist())) & set(map(tuple, test.x.tolist()))


@pytest.mark.parametrize("name", MAKERS)
def test_global_random_numbers_play_no_part(name):
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = MAKERS[name]("train").content_hash
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert MAKERS[name]("train").content_hash == one


@pytest.mark.parametrize("name", MAKERS)
def test_load_gives_the_two_parts(name):
    for part in SPLITS:
        found = load(name, part)
        assert found.content_hash == MAKERS[name](part).content_hash
        assert (found.name, found.split, found.kind) == (name, part, "vector")
        assert found.shape == (2,)
        assert found.x.dtype == np.float32
        assert len(found.label_names) == 5
