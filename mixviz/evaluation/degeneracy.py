"""How many components a mixture really has, and the sentence that says so."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse.csgraph import connected_components

CONFIDENT = 0.9
SAME_PLACE = 0.8  # Bhattacharyya coefficient from which two components count as one
DEAD = 0.1  # of an even share of the points


def bhattacharyya(means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Bhattacharyya coefficient of each pair of Gaussians, 1 where they coincide: (K, K).

    Parameters
    ----------
    means : (K, D)
    covariances : (K, D) diagonals, or (K, D, D)
    """
    means, covariances = means.astype(np.float64), covariances.astype(np.float64)
    diagonal = covariances.ndim == 2
    mahalanobis, pooled_log = np.empty((2, len(means), len(means)))
    for i, covariance in enumerate(covariances):  # of all pairs at once they are too many
        pooled, difference = (covariance + covariances) / 2, means[i] - means  # (K, D)
        if diagonal:
            solved = difference / pooled
            pooled_log[i] = np.log(pooled).sum(-1)
        else:
            solved = np.linalg.solve(pooled, difference[..., None])[..., 0]
            pooled_log[i] = np.linalg.slogdet(pooled)[1]
        mahalanobis[i] = (difference * solved).sum(-1)
    log_determinants = pooled_log.diagonal()
    distance = mahalanobis / 8 + pooled_log / 2 - (log_determinants[:, None] + log_determinants) / 4
    return np.exp(-np.maximum(distance, 0)).astype(np.float32)


def effective_components(mean_responsibilities: np.ndarray) -> float:
    """exp(H(p)) of the mean responsibilities (K,): K if all are used alike, 1 if one takes all.

    A mixture whose components coincide has even responsibilities and scores K here: look at the
    z-prior and at `distinct_components` with it.
    """
    p = mean_responsibilities / mean_responsibilities.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def occupied(usage: np.ndarray) -> np.ndarray:
    """Tell of each component whether it has a tenth of an even share of the points: (K,) bool.

    The others are idle.
    """
    return np.nan_to_num(usage) >= DEAD / max(len(usage), 1)


def dead_components(usage: np.ndarray) -> int:
    """Count the idle components."""
    return int((~occupied(usage)).sum())


def distinct_components(usage: np.ndarray, overlap: np.ndarray) -> int:
    """Count the components in use: those in one place count as one, idle ones do not count."""
    alive = occupied(usage)
    same = overlap[np.ix_(alive, alive)] > SAME_PLACE
    return int(connected_components(same, directed=False, return_labels=False)) if same.size else 0


def degeneracy(
    responsibilities: np.ndarray, usage: np.ndarray, overlap: np.ndarray
) -> dict[str, float]:
    """Figures of degeneracy.

    Parameters
    ----------
    responsibilities : (N, K)
    usage : (K,) share of points assigned to each component
    overlap : (K, K) Bhattacharyya coefficients

    Returns
    -------
    dict
        `effective_components`, `distinct_components`, `dead_components`, `confident_share` (share
        of points whose component has a probability above 0.9) and `information` (mean KL of the
        responsibilities from uniform, nats, in [0, log K]).
    """
    clipped = np.maximum(responsibilities, 1e-30)
    entropy = -(clipped * np.log(clipped)).sum(1)
    return {
        "effective_components": effective_components(responsibilities.mean(0)),
        "distinct_components": distinct_components(usage, overlap),
        "dead_components": dead_components(usage),
        "confident_share": float((responsibilities.max(1) > CONFIDENT).mean()),
        "information": float(np.log(responsibilities.shape[1]) - entropy.mean()),
    }


def verdict(components: int, history: Sequence[tuple[int, dict[str, float]]]) -> str:
    """Say in one sentence what became of the mixture, and since when.

    Parameters
    ----------
    components
        K.
    history
        (step, figures of `degeneracy`) of every snapshot so far, the present one last.
    """
    state, detail = _state(components, history[-1][1])
    since = history[-1][0]
    for step, metrics in reversed(history):
        if _state(components, metrics) != (state, detail):
            break
        since = step
    when = f" since step {since:,}"
    if since == history[0][0]:
        when = " from the start" if since == 0 and len(history) > 1 else ""
    return f"{components} component{'s' * (components != 1)}, {detail}: {state}{when}"


def _state(components: int, metrics: dict[str, float]) -> tuple[str, str]:
    distinct = int(metrics["distinct_components"])
    dead = int(metrics["dead_components"])
    blurred = metrics["information"] < 0.1 * math.log(components) if components > 1 else False
    detail = f"{distinct} in use"
    if components == 1:
        return "a single Gaussian", detail
    if distinct == 1 and dead >= components - 1 and not blurred:
        return "everything in one cluster", detail
    if distinct <= 1 or blurred:
        return "merged, no clusters", detail
    if metrics["confident_share"] < 0.5 and metrics["information"] < 0.5 * math.log(components):
        return "overlapping", detail
    return ("spread" if not dead else f"spread, {dead} idle"), detail
