"""Tests of merging: the tree, its cuts, and what the merged mixture says."""

import numpy as np
import pytest

from mixviz.evaluation import accuracies
from mixviz.evaluation.merging import Clustering, confusion, groups_at, merge_tree


@pytest.fixture
def responsibilities():
    """Components 0 and 2 share observations; 1 and 3 have their own."""
    return np.array(
        [[0.5, 0.0, 0.5, 0.0], [0.6, 0.0, 0.4, 0.0], [0.0, 1.0, 0.0, 0.0], [0.1, 0.0, 0.0, 0.9]]
    )


def test_confusion_is_high_for_components_that_share_observations(responsibilities):
    found = confusion(responsibilities)
    assert np.diag(found).tolist() == [1, 1, 1, 1]
    assert found == pytest.approx(found.T)
    assert found[0, 2] > 0.9
    assert found[0, 1] == found[1, 3] == 0
    assert 0 < found[0, 3] < 0.3


def test_component_without_responsibility_is_like_no_other():
    found = confusion(np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert found.tolist() == [[1, 0], [0, 1]]


def test_most_alike_components_merge_first(responsibilities):
    tree = merge_tree(confusion(responsibilities))
    assert groups_at(tree, 4).tolist() == [0, 1, 2, 3]
    assert groups_at(tree, 3).tolist() == [0, 1, 0, 2]
    assert groups_at(tree, 2).tolist() == [0, 1, 0, 0]
    assert groups_at(tree, 1).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("components", [1, 2, 9])
def test_every_number_of_groups_can_be_had(components):
    affinity = np.random.default_rng(0).random((components, components))
    tree = merge_tree(affinity + affinity.T)
    for count in range(1, components + 1):
        groups = groups_at(tree, count)
        assert len(groups) == components
        assert sorted(set(groups.tolist())) == list(range(count))


def test_coefficients_that_are_all_equal_still_give_every_number_of_groups():
    tree = merge_tree(np.ones((6, 6)))
    assert [groups_at(tree, count).max() + 1 for count in range(1, 7)] == [1, 2, 3, 4, 5, 6]


def test_responsibilities_of_merged_components_add_up(responsibilities):
    with np.errstate(divide="ignore"):
        logs = np.log(responsibilities)
    merged = Clustering(logs, np.array([0, 1, 0, 2]))
    expected = np.stack(
        [responsibilities[:, [0, 2]].sum(1), responsibilities[:, 1], responsibilities[:, 3]], 1
    )
    assert np.exp(merged.log_probabilities) == pytest.approx(expected)
    assert merged.assignments.tolist() == [0, 0, 1, 2]
    assert merged.confidences == pytest.approx([1, 1, 1, 0.9])
    assert merged.usage.tolist() == [0.5, 0.25, 0.25]
    assert merged.members == [[0, 2], [1], [3]]
    assert merged.names(["0", "1 · b", "2", "3"]) == ["0 + 2", "1 · b", "3"]
    assert merged.merged


def test_merging_every_cluster_of_a_class_makes_the_one_to_one_accuracy_perfect():
    labels = np.array([0, 0, 1, 1])
    logs = np.log(np.full((4, 4), 1e-6) + np.eye(4))
    apart, merged = (Clustering(logs, np.array(g)) for g in ([0, 1, 2, 3], [0, 0, 1, 1]))
    before, after = (accuracies(each.log_probabilities, labels) for each in (apart, merged))
    assert before["hungarian"] == 0.5
    assert after["hungarian"] == before["majority"] == 1


def test_rounding_above_one_makes_no_merged_member_more_certain():
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.2, 0.8, 2000)
    rest = np.geomspace(1e-12, 1e-9, 2000)  # the first row is the most certain
    logs = np.log(np.stack([shares, 1 - shares, rest], 1)).astype(np.float32)
    assert np.logaddexp(logs[:, 0], logs[:, 1]).max() > 0
    merged = Clustering(logs, np.array([0, 0, 1]))
    assert merged.log_probabilities.max() == 0
    labels = np.ones(2000, int)
    labels[np.flatnonzero(merged.log_probabilities[:, 0] == 0)[0]] = 0
    assert accuracies(merged.log_probabilities, labels)["most_confident"] == 1 / 2000


def test_members_are_ranked_by_confidence(responsibilities):
    with np.errstate(divide="ignore"):
        clustering = Clustering(np.log(responsibilities), np.arange(4))
    assert clustering.ranked(0).tolist() == [1, 0]
    assert clustering.ranked(0, np.array([True, False, True, True])).tolist() == [0]
    assert clustering.ranked(2).tolist() == []


def test_affinity_between_groups_is_the_mean_over_their_components():
    affinity = np.array([[1, 0.2, 0.4], [0.2, 1, 0.8], [0.4, 0.8, 1]])
    clustering = Clustering(np.zeros((1, 3)), np.array([0, 0, 1]))
    assert clustering.between(affinity) == pytest.approx(np.array([[1, 0.6], [0.6, 1]]))
