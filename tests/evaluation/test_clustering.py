"""Tests of the three accuracies, against hand-made tables and brute force, and of their relations."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixviz.evaluation import MAPPINGS, accuracies, clustering_scores, contingency


def points(table):
    """Return assignments and labels that have a contingency table (K, classes)."""
    pairs = [(k, c) for k, row in enumerate(table) for c, n in enumerate(row) for _ in range(n)]
    return np.array(pairs).T


def by_hand(table, confident):
    """Score a table in which the label of each component's most confident point is given."""
    assignments, labels = points(table)
    probabilities = 0.5 * np.eye(len(table))[assignments]
    for component, label in confident.items():
        first = np.flatnonzero((assignments == component) & (labels == label))[0]
        probabilities[first, component] = 0.9
    return accuracies(probabilities, labels)


@pytest.mark.parametrize(
    ("table", "confident", "expected"),
    [
        # As many components as classes.
        ([[5, 0], [0, 5]], {0: 0, 1: 1}, (1, 1, 1)),
        ([[0, 5], [5, 0]], {0: 1, 1: 0}, (1, 1, 1)),
        ([[4, 1], [3, 2]], {0: 0, 1: 0}, (0.6, 0.7, 0.7)),
        ([[4, 1], [3, 2]], {0: 1, 1: 0}, (0.6, 0.7, 0.4)),
        # The best one-to-one mapping is not the greedy one.
        ([[6, 5], [5, 0]], {0: 0, 1: 0}, (10 / 16, 11 / 16, 11 / 16)),
        # Fewer components than classes.
        ([[4, 3, 3]], {0: 1}, (0.4, 0.4, 0.3)),
        ([[5, 0, 2], [0, 3, 0]], {0: 2, 1: 1}, (0.8, 0.8, 0.5)),
        # More components than classes, one of them empty.
        ([[3, 0], [3, 0], [0, 3], [0, 1]], {0: 0, 1: 0, 2: 1, 3: 1}, (0.6, 1, 1)),
        ([[2, 2], [0, 0], [1, 3]], {0: 1, 2: 0}, (5 / 8, 5 / 8, 3 / 8)),
        # Everything in one component.
        ([[2, 2, 2, 2], [0, 0, 0, 0]], {0: 3}, (0.25, 0.25, 0.25)),
    ],
)
def test_hand_made_tables(table, confident, expected):
    found = by_hand(table, confident)
    assert found == pytest.approx(dict(zip(MAPPINGS, expected, strict=True)))


@st.composite
def clusterings(draw):
    """Probabilities (N, K), all of them different, and labels."""
    components, classes = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    size = draw(st.integers(1, 15))
    labels = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    order = draw(st.permutations(range(size * components)))
    return np.array(order).reshape(size, components) / len(order), np.array(draw(labels))


def one_to_one(components, classes):
    """Every mapping of components to classes that uses no class twice; -1 stands for none."""
    if components <= classes:
        yield from permutations(range(classes), components)
    for chosen in permutations(range(components), classes) if components > classes else ():
        mapping = [-1] * components
        for label, component in enumerate(chosen):
            mapping[component] = label
        yield mapping


def best(mappings, assignments, labels):
    return max((np.array(mapping)[assignments] == labels).mean() for mapping in mappings)


@given(clusterings())
def test_brute_force_over_all_mappings(case):
    probabilities, labels = case
    assignments, components = probabilities.argmax(1), probabilities.shape[1]
    classes = int(labels.max()) + 1
    found = accuracies(probabilities, labels)
    assert found["hungarian"] == pytest.approx(
        best(one_to_one(components, classes), assignments, labels)
    )
    assert found["majority"] == pytest.approx(
        best(product(range(classes), repeat=components), assignments, labels)
    )
    mapping = [max(zip(p, labels, strict=True))[1] for p in probabilities.T]
    expected = np.mean([mapping[k] == c for k, c in zip(assignments, labels, strict=True)])
    assert found["most_confident"] == pytest.approx(expected)


def test_the_most_confident_point_of_a_component_may_be_in_another():
    probabilities = np.array([[0.5, 0.4, 0.1], [0.3, 0.36, 0.34]])
    found = accuracies(probabilities, np.array([0, 1]))
    assert found == {"hungarian": 1.0, "majority": 1.0, "most_confident": 0.5}


@given(clusterings())
def test_one_to_one_and_most_confident_never_beat_the_majority(case):
    probabilities, labels = case
    found = accuracies(probabilities, labels)
    assert 0 < found["hungarian"] <= found["majority"] <= 1
    assert 0 <= found["most_confident"] <= found["majority"]
    assert found["majority"] >= np.bincount(labels).max() / len(labels) - 1e-12


@given(clusterings(), st.data())
def test_numbers_of_components_and_order_of_points_do_not_matter(case, data):
    probabilities, labels = case
    columns = np.array(data.draw(st.permutations(range(probabilities.shape[1]))))
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    shuffled = probabilities[order][:, columns]
    assert accuracies(shuffled, labels[order]) == pytest.approx(accuracies(probabilities, labels))
    scores = clustering_scores(shuffled.argmax(1), labels[order])
    expected = clustering_scores(probabilities.argmax(1), labels)
    assert scores == pytest.approx(expected, abs=1e-9)


@given(clusterings())
def test_components_without_points_change_nothing(case):
    probabilities, labels = case
    more = np.pad(probabilities, ((0, 0), (0, 3)), constant_values=-1)
    assert accuracies(more, labels) == pytest.approx(accuracies(probabilities, labels))


@given(clusterings())
def test_ties_in_confidence_give_the_label_of_one_of_the_tied(case):
    probabilities, labels = case
    assignments, components = probabilities.argmax(1), probabilities.shape[1]
    found = accuracies(np.eye(components)[assignments], labels)["most_confident"]
    choices = [sorted(set(labels[assignments == k].tolist())) or [0] for k in range(components)]
    possible = [(np.array(m)[assignments] == labels).mean() for m in product(*choices)]
    assert any(found == pytest.approx(value) for value in possible)


def test_tie_between_labels_counts_one_of_them():
    found = by_hand([[3, 3], [3, 3]], {0: 0, 1: 0})
    assert found == {"hungarian": 0.5, "majority": 0.5, "most_confident": 0.5}


def test_contingency_has_a_row_for_every_component():
    table = contingency(np.array([0, 2, 2, 0]), np.array([1, 0, 0, 1]), 4)
    assert table.tolist() == [[0, 2], [0, 0], [2, 0], [0, 0]]


def test_agreement_is_one_for_the_same_partition_and_about_zero_by_chance():
    labels = np.arange(600) % 3
    same = clustering_scores((labels + 1) % 3, labels)
    assert same == pytest.approx({"nmi": 1, "ari": 1})
    chance = clustering_scores(np.random.default_rng(0).integers(3, size=600), labels)
    assert abs(chance["ari"]) < 0.02
    assert 0 <= chance["nmi"] < 0.02
    assert clustering_scores(np.zeros(600, int), labels) == pytest.approx({"nmi": 0, "ari": 0})


def test_mutual_information_is_normalised_by_the_arithmetic_mean():
    assignments, labels = points([[2, 0], [1, 1]])
    joint = np.array([[2, 0], [1, 1]]) / 4
    rows, columns = joint.sum(1), joint.sum(0)
    outer = np.outer(rows, columns)[joint > 0]
    information = (joint[joint > 0] * np.log(joint[joint > 0] / outer)).sum()
    entropies = [-(p * np.log(p)).sum() for p in (rows, columns)]
    found = clustering_scores(assignments, labels)["nmi"]
    assert found == pytest.approx(information / np.mean(entropies))


def test_saturated_probabilities_do_not_leave_the_most_confident_to_the_order():
    """Two points are certain of component 0 up to rounding; the second leaves less to the others."""
    probabilities = np.array([[1, 1e-9], [1, 1e-12], [0.2, 0.8], [1, 1e-10]], np.float32)
    labels = np.array([1, 0, 1, 1])
    assert probabilities[0, 0] == probabilities[1, 0] == 1
    for order in permutations(range(4)):
        rows = list(order)
        found = accuracies(probabilities[rows], labels[rows])["most_confident"]
        assert found == 0.5  # component 0 is class 0, component 1 is class 1
