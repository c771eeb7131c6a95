"""Tests of separation and of agreement between two clusterings."""

import numpy as np
import pytest

from mixviz.evaluation.stability import MOST, agreement, silhouette


def two_groups(distance, count=100):
    points = np.random.default_rng(0).normal(size=(2 * count, 3))
    points[count:] += distance
    return points, np.repeat([0, 1], count)


def test_separated_groups_have_a_higher_silhouette():
    near, far = (silhouette(*two_groups(distance)) for distance in (0.5, 20))
    assert far > 0.9 > near > -0.2


def test_only_some_of_many_observations_count():
    points, groups = two_groups(20, MOST)
    assert silhouette(points, groups) == pytest.approx(silhouette(*two_groups(20)), abs=0.02)


@pytest.mark.parametrize("groups", [np.zeros(5, int), np.arange(5)])
def test_without_two_real_groups_there_is_none(groups):
    assert silhouette(np.random.default_rng(0).normal(size=(5, 2)), groups) is None


def test_latents_that_are_not_finite_have_none():
    points, groups = two_groups(3)
    points[0, 0] = np.nan
    assert silhouette(points, groups) is None


def test_agreement_does_not_depend_on_the_numbers_of_clusters():
    random = np.random.default_rng(1)
    first = random.integers(0, 5, 1000)
    assert agreement(first, (first + 2) % 5) == 1
    assert abs(agreement(first, random.integers(0, 5, 1000))) < 0.02
