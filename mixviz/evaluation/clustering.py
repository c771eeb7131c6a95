"""Agreement of a clustering with labels; every accuracy carries the name of its mapping."""

import numpy as np
from scipy.optimize import linear_sum_assignment

MAPPINGS = ("hungarian", "majority", "most_confident")


def contingency(assignments: np.ndarray, labels: np.ndarray, components: int) -> np.ndarray:
    """Count points by component and class: (K, classes), with a row for every component."""
    classes = int(labels.max()) + 1
    cells = assignments.astype(np.int64) * classes + labels
    return np.bincount(cells, minlength=components * classes).reshape(components, classes)


def accuracies(
    assignments: np.ndarray, confidences: np.ndarray, labels: np.ndarray, components: int
) -> dict[str, float]:
    """Clustering accuracy in [0, 1] under each of the three mappings of components to classes.

    Parameters
    ----------
    assignments : (N,) component of each point
    confidences : (N,) probability of that component
    labels : (N,) true classes, 0 and up

    Returns
    -------
    dict
        `hungarian`: one-to-one, the best assignment (NVISA; AMM with K = number of classes).
        `majority`: each component takes its most frequent label (MPCC).
        `most_confident`: each component takes the label of its most confident point (GMVAE, after
        Makhzani et al. 2015).
    """
    table = contingency(assignments, labels, components)
    rows, columns = linear_sum_assignment(table, maximize=True)
    # Sorted by confidence, the last point written for a component is its most confident one.
    order = np.argsort(confidences, kind="stable")
    chosen = np.full(components, -1)
    chosen[assignments[order]] = labels[order]
    total = len(labels)
    return {
        "hungarian": float(table[rows, columns].sum() / total),
        "majority": float(table.max(axis=1).sum() / total),
        "most_confident": float((chosen[assignments] == labels).mean()),
    }


def clustering_scores(assignments: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Normalised mutual information (arithmetic mean) and adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score  # a second

    return {
        "nmi": float(normalized_mutual_info_score(labels, assignments)),
        "ari": float(adjusted_rand_score(labels, assignments)),
    }
