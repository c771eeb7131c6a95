"""Tests of overlap, effective number of components, and the sentence about the mixture."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from mixviz.evaluation import (
    bhattacharyya,
    dead_components,
    degeneracy,
    distinct_components,
    effective_components,
    verdict,
)

# ---- overlap ---------------------------------------------------------------------------------


def test_overlap_in_one_dimension_is_the_integral():
    means, variances = np.array([[0.0], [1.0], [-2.0]]), np.array([[1.0], [0.25], [4.0]])
    x = np.linspace(-40, 40, 80_001)
    densities = [norm.pdf(x, m[0], math.sqrt(v[0])) for m, v in zip(means, variances, strict=True)]
    for covariances in (variances, variances[:, :, None]):
        found = bhattacharyya(means, covariances)
        for i in range(3):
            for j in range(3):
                expected = np.trapezoid(np.sqrt(densities[i] * densities[j]), x)
                assert found[i, j] == pytest.approx(expected, abs=1e-6)


def test_overlap_in_two_dimensions_is_the_integral():
    means = np.array([[0.0, 0.0], [1.0, -0.5]])
    covariances = np.array([[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.2], [-0.2, 1.5]]])
    axis = np.linspace(-12, 12, 601)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    densities = [
        multivariate_normal(m, s).pdf(grid) for m, s in zip(means, covariances, strict=True)
    ]
    cell = (axis[1] - axis[0]) ** 2
    expected = np.sqrt(densities[0] * densities[1]).sum() * cell
    assert bhattacharyya(means, covariances)[0, 1] == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5))
def test_overlap_is_symmetric_and_one_with_itself(seed, components, size):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(components, size))
    variances = rng.uniform(0.01, 4, (components, size))
    found = bhattacharyya(means, variances)
    assert found.dtype == np.float32
    assert (found == found.T).all()
    assert (found.diagonal() == 1).all()
    assert ((found >= 0) & (found <= 1)).all()
    full = bhattacharyya(means, np.stack([np.diag(v) for v in variances]))
    assert full == pytest.approx(found, abs=1e-5)


@given(st.integers(0, 10**6))
def test_overlap_does_not_change_when_space_is_turned(seed):
    rng = np.random.default_rng(seed)
    means, factors = rng.normal(size=(3, 3)), rng.normal(size=(3, 3, 3))
    covariances = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = bhattacharyya(means @ turn.T, turn @ covariances @ turn.T)
    assert turned == pytest.approx(bhattacharyya(means, covariances), abs=1e-5)


def test_overlap_of_distant_components_is_nothing():
    found = bhattacharyya(np.array([[0.0, 0.0], [100.0, 0.0]]), np.ones((2, 2)))
    assert found[0, 1] == 0
    near = bhattacharyya(np.array([[0.0], [2.0]]), np.ones((2, 1)))
    assert near[0, 1] == pytest.approx(math.exp(-4 / 8))


# ---- how many components ---------------------------------------------------------------------


def test_effective_number_is_one_to_all():
    assert effective_components(np.array([0.0, 1.0, 0.0])) == pytest.approx(1)
    assert effective_components(np.full(7, 1 / 7)) == pytest.approx(7)
    assert effective_components(np.array([0.5, 0.5, 0, 0])) == pytest.approx(2)
    assert effective_components(np.array([3.0, 3.0, 0])) == pytest.approx(2)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8))
def test_effective_number_is_within_its_limits(shares):
    found = effective_components(np.array(shares))
    assert 1 - 1e-9 <= found <= len(shares) + 1e-9
    assert effective_components(np.array([*shares, 0.0])) == pytest.approx(found)


def test_dead_components_have_less_than_a_tenth_of_an_even_share():
    assert dead_components(np.full(5, 0.2)) == 0
    assert dead_components(np.array([0.019, 0.021, 0.96, 0, 0])) == 3
    assert dead_components(np.array([1.0])) == 0


def overlap_of(size, *pairs):
    overlap = np.eye(size)
    for i, j in pairs:
        overlap[i, j] = overlap[j, i] = 0.9
    return overlap


@pytest.mark.parametrize(
    ("usage", "overlap", "expected"),
    [
        ([0.25] * 4, overlap_of(4), 4),
        ([0.25] * 4, overlap_of(4, (0, 1)), 3),
        ([0.25] * 4, overlap_of(4, (0, 1), (1, 2)), 2),
        ([0.25] * 4, np.full((4, 4), 0.95), 1),
        ([0.5, 0.5, 0, 0], overlap_of(4), 2),
        # A dead component does not join those that it lies between.
        ([0.5, 0, 0.5], overlap_of(3, (0, 1), (1, 2)), 2),
        ([0.5, 0.5], np.array([[1, 0.79], [0.79, 1]]), 2),
        ([1.0], np.eye(1), 1),
    ],
)
def test_distinct_components_are_groups_of_used_ones(usage, overlap, expected):
    assert distinct_components(np.array(usage), overlap) == expected


def figures(responsibilities, overlap):
    responsibilities = np.asarray(responsibilities, float)
    size = responsibilities.shape[1]
    usage = np.bincount(responsibilities.argmax(1), minlength=size) / len(responsibilities)
    return degeneracy(responsibilities, usage, overlap)


def test_figures_of_certain_and_of_even_responsibilities():
    certain = figures(np.eye(4).repeat(5, 0), np.eye(4))
    assert certain == pytest.approx(
        {
            "effective_components": 4,
            "distinct_components": 4,
            "dead_components": 0,
            "confident_share": 1,
            "information": math.log(4),
        }
    )
    even = figures(np.full((20, 4), 0.25), np.ones((4, 4)))
    assert even["information"] == pytest.approx(0, abs=1e-9)
    assert even["confident_share"] == 0
    assert even["effective_components"] == pytest.approx(4)
    assert even["dead_components"] == 3


def test_confident_points_are_those_above_nine_tenths():
    rows = [[0.95, 0.05], [0.9, 0.1], [0.91, 0.09], [0.5, 0.5]]
    assert figures(rows, np.eye(2))["confident_share"] == 0.5


# ---- the sentence ----------------------------------------------------------------------------


def sentence(metrics, components=4):
    return verdict(components, [(0, metrics)])


CERTAIN = figures(np.eye(4).repeat(5, 0), np.eye(4))
MERGED = figures(np.full((20, 4), 0.25), np.ones((4, 4)))
ONE_CLUSTER = figures(np.eye(4)[[0] * 20], np.eye(4))
OVERLAPPING = figures(0.4 * np.eye(4).repeat(5, 0) + 0.15 * np.ones((20, 4)), overlap_of(4))


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (CERTAIN, "4 components, 4 in use: spread"),
        (ONE_CLUSTER, "4 components, 1 in use: everything in one cluster"),
        (MERGED, "4 components, 1 in use: merged, no clusters"),
        (OVERLAPPING, "4 components, 4 in use: overlapping"),
        (
            figures(np.eye(4)[[0, 1, 2] * 7], np.eye(4)),
            "4 components, 3 in use: spread, 1 idle",
        ),
        (
            figures(np.eye(4).repeat(5, 0), np.full((4, 4), 0.99)),
            "4 components, 1 in use: merged, no clusters",
        ),
        (
            figures(0.04 * np.eye(4).repeat(5, 0) + 0.24, np.eye(4)),
            "4 components, 4 in use: merged, no clusters",
        ),
    ],
)
def test_sentence_says_what_became_of_the_mixture(metrics, expected):
    assert sentence(metrics) == expected


def test_sentence_about_one_component():
    one = figures(np.ones((9, 1)), np.eye(1))
    assert sentence(one, 1) == "1 component, 1 in use: a single Gaussian"


def test_since_is_the_first_step_of_the_present_state():
    history = [(0, CERTAIN), (100, OVERLAPPING), (1200, ONE_CLUSTER), (2000, ONE_CLUSTER)]
    expected = "4 components, 1 in use: everything in one cluster since step 1,200"
    assert verdict(4, history) == expected
    assert verdict(4, history[:3]) == expected
    assert verdict(4, history[:2]).endswith(": overlapping since step 100")


def test_state_that_was_left_and_came_back_counts_from_its_return():
    history = [(0, CERTAIN), (10, ONE_CLUSTER), (30, CERTAIN), (40, CERTAIN)]
    assert verdict(4, history).endswith(": spread since step 30")


def test_state_that_never_changed_is_from_the_start():
    held = verdict(4, [(0, CERTAIN), (10, CERTAIN), (20, CERTAIN)])
    assert held.endswith(": spread from the start")
    assert verdict(4, [(0, CERTAIN)]).endswith(": spread")  # there is no course to speak of
    assert verdict(4, [(30, CERTAIN), (40, CERTAIN)]).endswith(": spread")


def test_another_number_in_use_is_another_state():
    joined = figures(np.eye(4).repeat(5, 0), overlap_of(4, (0, 1)))
    history = [(0, CERTAIN), (50, joined), (60, joined)]
    assert verdict(4, history) == "4 components, 3 in use: spread since step 50"


def test_overlap_of_many_wide_components_takes_little_memory():
    means = np.random.default_rng(0).normal(size=(300, 500))
    tracemalloc.start()
    overlap = bhattacharyya(means, np.full((300, 500), 50.0))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 30e6  # one array of all pairs and dimensions has 360 MB
    expected = np.exp(-((means[3] - means[8]) ** 2).sum() / 50 / 8)
    assert overlap[3, 8] == pytest.approx(expected, rel=1e-5)
