"""How good a clustering is without labels: separation, and agreement with that of another seed."""

import numpy as np

MOST = 3_000  # observations whose pairwise distances are computed


def silhouette(latents: np.ndarray, assignments: np.ndarray, seed: int = 0) -> float | None:
    """Mean silhouette coefficient in [-1, 1] of latents (N, D) under assignments (N,).

    Of at most 3,000 observations drawn at random. None where fewer than two clusters are in use,
    or every observation has its own.
    """
    from sklearn.metrics import silhouette_score  # two seconds

    if len(latents) > MOST:
        chosen = np.random.default_rng(seed).choice(len(latents), MOST, replace=False)
        latents, assignments = latents[chosen], assignments[chosen]
    used = len(np.unique(assignments))
    if not 2 <= used < len(latents) or not np.isfinite(latents).all():
        return None
    return float(silhouette_score(latents, assignments))


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Adjusted Rand index of two assignments (N,) of the same observations: 1 if they agree."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(first, second))
