"""Tests of the parts of a data set: both splits as one, and labelled subsets."""

import numpy as np
import pytest

from mixviz.data import Dataset, labelled_subset, load
from mixviz.data.dataset import joined
from mixviz.errors import MixvizError


def made(labels, split="train"):
    labels = None if labels is None else np.array(labels)
    count = 6 if labels is None else len(labels)
    x = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return Dataset("made", split, x, "vector", "none", labels)


def test_joined_puts_the_test_part_after_the_training_part():
    both = joined(made([0, 1, 2]), made([2, 0], "test"))
    assert both.split == "all"
    assert both.labels.tolist() == [0, 1, 2, 2, 0]
    assert both.x.tolist() == [*made([0, 1, 2]).x.tolist(), *made([2, 0]).x.tolist()]


def test_all_of_a_set_without_splits_is_the_set():
    np.testing.assert_array_equal(load("digits", "all").x, load("digits", "train").x)


@pytest.mark.parametrize("count", [10, 100, 103])
def test_labelled_subset_has_every_class_and_depends_on_the_seed(count):
    digits = load("digits")
    subset = labelled_subset(digits, count, seed=1)
    assert len(subset) == len(subset.labels) == count
    assert np.bincount(subset.labels, minlength=10).min() >= 1
    rows = {tuple(x.ravel()): label for x, label in zip(digits.x, digits.labels, strict=True)}
    assert all(rows[tuple(x.ravel())] == y for x, y in zip(subset.x, subset.labels, strict=True))
    np.testing.assert_array_equal(subset.x, labelled_subset(digits, count, seed=1).x)
    assert not np.array_equal(subset.x, labelled_subset(digits, count, seed=2).x)


def test_labelled_subset_has_the_shares_of_the_classes():
    data = made([0] * 890 + [1] * 100 + [2] * 10)
    for seed in range(20):
        counts = np.bincount(labelled_subset(data, 100, seed).labels)
        np.testing.assert_allclose(counts, [89, 10, 1], atol=1)
    few = labelled_subset(data, 4, seed=0)
    assert np.bincount(few.labels).tolist() == [2, 1, 1]


def test_a_random_choice_is_that_of_a_draw_without_a_look_at_the_labels():
    labels = np.arange(1000) % 4
    data = made(labels.tolist())
    chosen = labelled_subset(data, 100, 5, "random")
    other = made([0] * 1000)
    np.testing.assert_array_equal(chosen.x, labelled_subset(other, 100, 5, "random").x)
    counts = [np.bincount(labelled_subset(data, 100, s, "random").labels) for s in range(50)]
    # Of a hypergeometric draw of 100 from four classes of 250.
    assert np.var(counts) == pytest.approx(100 * 0.25 * 0.75 * 900 / 999, rel=0.4)
    with pytest.raises(MixvizError, match="at most 1000"):
        labelled_subset(data, 1001, 0, "random")


@pytest.mark.parametrize("column", [0, 1])
def test_within_a_class_every_observation_may_be_chosen(column):
    data = made([0] * 5 + [1] * 5)
    chosen = np.concatenate([labelled_subset(data, 4, seed).x[:, column] for seed in range(50)])
    assert set(chosen) == set(data.x[:, column])


@pytest.mark.parametrize("count", [2, 8])
def test_a_subset_that_cannot_be_had_is_refused(count):
    with pytest.raises(MixvizError, match="at least 3, one of each class, and at most 7"):
        labelled_subset(made([0, 0, 1, 1, 2, 2, 2]), count, seed=0)


def test_a_set_without_labels_is_refused():
    with pytest.raises(MixvizError, match="has no labels"):
        labelled_subset(made(None), 3, seed=0)
