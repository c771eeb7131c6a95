"""Agreement of a clustering with labels; every accuracy carries the name of its mapping."""

import numpy as np
from scipy.optimize import linear_sum_assignment

MAPPINGS = ("hungarian", "majority", "most_confident")


def contingency(assignments: np.ndarray, labels: np.ndarray, components: int) -> np.ndarray:
    """Count points by component and class: (K, classes), with a row for every component."""
    classes = int(labels.max()) + 1
    cells = assignments.astype(np.int64) * classes + labels
    return np.bincount(cells, minlength=components * classes).reshape(components, classes)


def accuracies(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Clustering accuracy in [0, 1] under each of the three mappings of components to classes.

    Parameters
    ----------
    probabilities : (N, K) of the components; each point is in its most probable one
    labels : (N,) true classes, 0 and up

    Returns
    -------
    dict
        `hungarian`: one-to-one, the best assignment (NVISA; AMM with K = number of classes).
        `majority`: each component takes its most frequent label (MPCC).
        `most_confident`: each component takes the label of the point with the highest probability
        of it, whichever component that point is in (GMVAE, after Makhzani et al. 2015).
    """
    assignments = probabilities.argmax(1)
    table = contingency(assignments, labels, probabilities.shape[1])
    rows, columns = linear_sum_assignment(table, maximize=True)
    chosen = labels[probabilities.argmax(0)]  # (K,)
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
