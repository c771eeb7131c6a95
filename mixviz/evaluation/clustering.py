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
    probabilities : (N, K) of the components, or their logarithms, which tell more of them apart
        near 0 and 1; each point is in its most probable one
    labels : (N,) true classes, 0 and up

    Returns
    -------
    dict
        `hungarian`: one-to-one, the best assignment (NVISA; AMM with K = number of classes).
        `majority`: each component takes its most frequent label (MPCC).
        `most_confident`: each component takes the label of the point with the highest probability
        of it, whichever component that point is in (GMVAE, after Makhzani et al. 2015). Of several
        whose probability is rounded to the same number, it is the one that is least probably elsewhere.
    """
    assignments = probabilities.argmax(1)
    table = contingency(assignments, labels, probabilities.shape[1])
    rows, columns = linear_sum_assignment(table, maximize=True)
    chosen = labels[_most_confident(probabilities)]  # (K,)
    total = len(labels)
    return {
        "hungarian": float(table[rows, columns].sum() / total),
        "majority": float(table.max(axis=1).sum() / total),
        "most_confident": float((chosen[assignments] == labels).mean()),
    }


def _most_confident(probabilities: np.ndarray) -> np.ndarray:
    """Row with the highest probability of each component: (K,).

    Near 1 probabilities are far apart in what they leave to the others, down to the smallest number.
    """
    if probabilities.shape[1] == 1:
        return probabilities.argmax(0)
    runner_up = np.partition(probabilities, -2, axis=1)[:, -2]  # (N,)
    highest = probabilities == probabilities.max(0)
    best: np.ndarray = np.where(highest, runner_up[:, None], np.inf).argmin(0)
    return best


def clustering_scores(assignments: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Normalised mutual information (arithmetic mean) and adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score  # a second

    return {
        "nmi": float(normalized_mutual_info_score(labels, assignments)),
        "ari": float(adjusted_rand_score(labels, assignments)),
    }
