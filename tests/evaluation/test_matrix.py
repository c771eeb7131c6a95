"""Tests of the cluster matrix: counts, order by the best matching, purity."""

import numpy as np
import pytest

from mixviz.evaluation import accuracies
from mixviz.evaluation.matrix import cluster_matrix, purity


def assignments_of(counts):
    """Assignments and labels that give a table of counts."""
    table = np.array(counts)
    rows, columns = np.indices(table.shape)
    return rows.ravel().repeat(table.ravel()), columns.ravel().repeat(table.ravel())


def test_counts_come_back():
    counts = [[3, 0, 1], [0, 5, 2]]
    found = cluster_matrix(*assignments_of(counts), components=2)
    assert found.counts.tolist() == counts
    assert found.purities.tolist() == [3 / 4, 5 / 7]
    assert found.majorities.tolist() == [0, 1]
    assert purity(found.counts) == 8 / 11


def test_matched_pairs_stand_on_the_diagonal():
    counts = np.array([[0, 9, 1], [1, 0, 8], [7, 2, 0]])
    found = cluster_matrix(*assignments_of(counts), components=3)
    ordered = found.counts[np.ix_(found.rows, found.columns)]
    assert np.diag(ordered).tolist() == [7, 9, 8]
    assert found.matched.tolist() == [1, 2, 0]


def test_further_components_follow_their_class_and_empty_ones_come_last():
    counts = np.array([[0, 0], [0, 6], [4, 0], [3, 1], [0, 5], [0, 2]])
    found = cluster_matrix(*assignments_of(counts), components=6)
    assert found.rows.tolist() == [2, 3, 1, 4, 5, 0]
    assert found.matched.tolist() == [-1, 1, 0, -1, -1, -1]
    assert np.isnan(found.purities[0])
    assert found.majorities[0] == -1


def test_fewer_components_than_classes_leave_classes_for_the_end():
    found = cluster_matrix(*assignments_of([[0, 1, 9]]), components=1, classes=4)
    assert found.columns.tolist() == [2, 0, 1, 3]
    assert found.counts.shape == (1, 4)
    assert found.shares.sum() == pytest.approx(1)


def test_diagonal_is_the_accuracy_of_the_one_to_one_mapping():
    random = np.random.default_rng(3)
    assignments, labels = random.integers(0, 7, 500), random.integers(0, 5, 500)
    found = cluster_matrix(assignments, labels, 7)
    known = found.matched >= 0
    hits = found.counts[np.flatnonzero(known), found.matched[known]].sum()
    expected = accuracies(np.eye(7)[assignments], labels)
    assert hits / 500 == pytest.approx(expected["hungarian"])
    assert purity(found.counts) == pytest.approx(expected["majority"])
    assert sorted(found.rows) == list(range(7))
    assert sorted(found.columns) == list(range(5))
