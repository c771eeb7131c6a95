"""The cluster matrix: how many observations of each class fall into each component, well ordered."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from mixviz.evaluation.clustering import contingency


@dataclass(frozen=True, eq=False)
class ClusterMatrix:
    """Counts by component and class, and the order in which they are best read.

    Attributes
    ----------
    counts : (K, L) observations of each class in each component
    rows : (K,) components, and columns : (L,) classes, in the order of the best matching
        The matched pairs come first along the diagonal; components that are left over follow the
        class that most of their observations have, and empty ones come last.
    matched : (K,) class that the best one-to-one matching gives each component, -1 for none
    """

    counts: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    matched: np.ndarray

    @property
    def purities(self) -> np.ndarray:
        """Share of each component's most frequent class (K,), NaN for empty components."""
        totals = self.counts.sum(1)
        largest = self.counts.max(1, initial=0)
        return np.where(totals > 0, largest / np.maximum(totals, 1), np.nan)

    @property
    def majorities(self) -> np.ndarray:
        """Most frequent class of each component (K,), -1 for empty components."""
        return np.where(self.counts.sum(1) > 0, self.counts.argmax(1), -1)

    @property
    def shares(self) -> np.ndarray:
        """Counts as shares of their component (K, L), 0 in empty components."""
        return self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)


def cluster_matrix(
    assignments: np.ndarray, labels: np.ndarray, components: int, classes: int = 0
) -> ClusterMatrix:
    """Count observations by component and class, and order both.

    Parameters
    ----------
    assignments : (N,) component of each observation
    labels : (N,) true classes, 0 and up
    components
        K.
    classes
        L at the least, where some classes are not among the labels.
    """
    counts = contingency(assignments, labels, components)
    counts = np.pad(counts, ((0, 0), (0, max(0, classes - counts.shape[1]))))
    rows, columns = linear_sum_assignment(counts, maximize=True)
    real = counts[rows, columns] > 0  # a match without a single observation says nothing
    matched = np.full(components, -1)
    matched[rows[real]] = columns[real]
    first = np.sort(matched[matched >= 0])
    column_order = np.concatenate([first, np.setdiff1d(np.arange(counts.shape[1]), first)])
    place = np.argsort(column_order)  # of each class
    home = np.where(matched >= 0, matched, counts.argmax(1))
    size = counts.sum(1)
    row_order = np.lexsort((-size, matched < 0, place[home], size == 0))
    return ClusterMatrix(counts, row_order, column_order, matched)


def purity(counts: np.ndarray) -> float:
    """Share of all observations that have the most frequent class of their component."""
    return float(counts.max(1, initial=0).sum() / max(counts.sum(), 1))
