"""What becomes of a mixture with fewer components: which are merged first, and what remains."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

AFFINITIES = ("overlap", "confusion")


def confusion(responsibilities: np.ndarray) -> np.ndarray:
    """How alike the responsibilities (N, K) of two components are: cosine, in [0, 1], (K, K).

    It is 0 where no observation hesitates between the two, and 1 where their responsibilities are
    proportional. A component without any responsibility is unlike all others.
    """
    r = responsibilities.astype(np.float64)
    products = r.T @ r
    norms = np.sqrt(np.diag(products))
    alike = products / np.maximum(np.outer(norms, norms), 1e-300)
    np.fill_diagonal(alike, 1.0)
    return np.clip(alike, 0, 1)


def merge_tree(affinity: np.ndarray) -> np.ndarray:
    """Agglomerate K components by average linkage of 1 - affinity.

    Parameters
    ----------
    affinity : (K, K) symmetric, in [0, 1]

    Returns
    -------
    (K - 1, 4)
        A tree as `scipy.cluster.hierarchy` writes it; empty for one component.
    """
    if len(affinity) < 2:
        return np.empty((0, 4))
    distance = 1 - np.clip((affinity + affinity.T) / 2, 0, 1).astype(np.float64)
    np.fill_diagonal(distance, 0)
    tree: np.ndarray = linkage(squareform(distance, checks=False), "average")
    return tree


def groups_at(tree: np.ndarray, count: int) -> np.ndarray:
    """Group of each component (K,) when the tree is cut into `count` groups.

    Groups are numbered in the order of their first components.
    """
    components = len(tree) + 1
    if count >= components:
        return np.arange(components)
    cut = cut_tree(tree, n_clusters=max(count, 1))[:, 0]
    _, first, inverse = np.unique(cut, return_index=True, return_inverse=True)
    renumbered: np.ndarray = np.argsort(np.argsort(first))[inverse]
    return renumbered


@dataclass(frozen=True, eq=False)
class Clustering:
    """Observations in G groups of components; without merging, each component is a group.

    Attributes
    ----------
    log_responsibilities : (N, K) log q(c|x)
    groups : (K,) group of each component, 0 to G - 1
    """

    log_responsibilities: np.ndarray
    groups: np.ndarray

    @cached_property
    def count(self) -> int:
        """Number of groups G."""
        return int(self.groups.max()) + 1

    @cached_property
    def members(self) -> list[list[int]]:
        """Components of each group."""
        return [np.flatnonzero(self.groups == g).tolist() for g in range(self.count)]

    @cached_property
    def merged(self) -> bool:
        """Whether any two components are in one group."""
        return self.count < len(self.groups)

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """Log-probability of each group (N, G): responsibilities add up."""
        if not self.merged:
            return self.log_responsibilities
        columns = [
            np.logaddexp.reduce(self.log_responsibilities[:, parts], axis=1)
            for parts in self.members
        ]
        # Rounding takes sums near 1 above it, by chance one row more than another.
        return np.minimum(np.stack(columns, axis=1), 0)

    @cached_property
    def assignments(self) -> np.ndarray:
        """Most probable group (N,)."""
        return self.log_probabilities.argmax(1)

    @cached_property
    def confidences(self) -> np.ndarray:
        """Probability of the most probable group (N,)."""
        return np.exp(self.log_probabilities.max(1))

    @cached_property
    def usage(self) -> np.ndarray:
        """Share of the observations in each group (G,)."""
        counts = np.bincount(self.assignments, minlength=self.count)
        return counts / max(len(self.assignments), 1)

    def between(self, affinity: np.ndarray) -> np.ndarray:
        """Mean affinity of the components of each pair of groups, 1 on the diagonal: (G, G)."""
        member = np.eye(self.count)[self.groups]  # (K, G)
        sizes = member.sum(0)
        means = member.T @ affinity @ member / np.outer(sizes, sizes)
        np.fill_diagonal(means, 1.0)
        return means

    def names(self, components: Sequence[str]) -> list[str]:
        """Name the groups after their components."""
        return [" + ".join(components[k] for k in parts) for parts in self.members]

    def ranked(self, group: int, chosen: np.ndarray | None = None) -> np.ndarray:
        """Indices of a group's observations, the most confident first.

        Parameters
        ----------
        chosen : (N,) bool, optional
            Which observations count, as those of one class.
        """
        inside = self.assignments == group
        if chosen is not None:
            inside &= chosen
        indices = np.flatnonzero(inside)
        return indices[np.argsort(-self.log_probabilities[indices, group], kind="stable")]
