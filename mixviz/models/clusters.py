"""Clusters that a start looks for: Gaussian mixtures among UMAP's coordinates, or among codes.

UMAP (arXiv:1802.03426) places observations so that neighbours stay together. Its maps differ with the
seed, and so do the mixtures among their coordinates: what several maps agree on depends on it less.
"""

from collections.abc import Callable

import numpy as np

from mixviz.embedding import UMAPSettings, fit_map
from mixviz.models.latent_fit import MOST_FITTED, fit_mixture, quiet
from mixviz.models.start_config import TeacherConfig

Report = Callable[[str, float], None]  # is told the task and the share of it that is done
Seeds = tuple[int, int]  # of the map, or of a choice among the codes, and of the mixtures

FITS = 5  # of a mixture among an autoencoder's codes, of which the most likely is taken
_PRINCIPAL = 50  # components of the data that UMAP sees
_COORDINATES = 10
_RESTARTS = 20  # of a mixture, or of k-means: one in three finds the digits of MNIST
_BALANCE = 2.0  # worth of a nat by which the weights of a fit diverge from equal ones


def mapped_clusters(
    points: np.ndarray, components: int, teacher: TeacherConfig, seeds: Seeds, report: Report
) -> np.ndarray:
    """Responsibilities (N, K) of a mixture among UMAP's coordinates of points (N, d).

    Of several maps, each has a seed and a mixture of its own, and what they agree on is returned.
    """
    draws = np.random.RandomState(seeds[1])
    maps = teacher.map_count
    found = []
    for number, seed in enumerate([seeds[0], *draws.randint(2**31 - 1, size=maps - 1)]):
        which = f" {number + 1} of {maps}," if maps > 1 else ""
        what = "codes" if teacher.among_codes else "observations"
        task = f"UMAP{which} of {len(points):,} {what}, then a Gaussian mixture"

        def told(share: float, number: int = number, task: str = task) -> None:
            report(task, (number + share) / maps)

        coordinates = _coordinates(points, teacher.map_neighbours, int(seed), told)
        found.append(_best_mixture(coordinates, components, draws, told))
    return found[0] if maps == 1 else consensus(found, random_state=draws)


def coded_clusters(codes: np.ndarray, components: int, seeds: Seeds, report: Report) -> np.ndarray:
    """Responsibilities (N, K) of a mixture fitted to at most 10,000 of the codes (N, D)."""
    task = f"A Gaussian mixture among {len(codes):,} codes"
    report(task, 0.0)
    order = np.random.default_rng(seeds[0]).permutation(len(codes))
    codes = codes.astype(np.float64)
    mixture = fit_mixture(
        codes[order[:MOST_FITTED]], components, random_state=seeds[1], full=True, restarts=FITS
    )
    report(task, 1.0)
    return mixture.responsibilities(codes)


def _coordinates(
    points: np.ndarray, neighbours: int, seed: int, told: Callable[[float], None]
) -> np.ndarray:
    """UMAP's coordinates (N, at most 10) of points (N, d)."""
    from sklearn.decomposition import PCA  # two seconds

    told(0.0)
    if min(points.shape) > _PRINCIPAL:
        points = PCA(_PRINCIPAL, svd_solver="randomized", random_state=seed).fit_transform(points)
    settings = UMAPSettings(neighbours=neighbours, min_dist=0.0, seed=seed)
    count = min(_COORDINATES, len(points) - 2, points.shape[1])
    return fit_map("umap", points, settings, count, lambda share: told(0.9 * share))[0]


def _best_mixture(
    coordinates: np.ndarray,
    components: int,
    draws: np.random.RandomState,
    told: Callable[[float], None],
) -> np.ndarray:
    """Responsibilities (N, K) of the best of several mixtures among a map's coordinates (N, D).

    That is the likeliest with equal weights, where what its own weights lack of them counts too:
    mixtures that cut one island of the map in two and put others together are often as likely.
    """
    from scipy.stats import entropy  # two seconds, with the next
    from sklearn.mixture import GaussianMixture

    fits = []
    with quiet():
        for done in range(_RESTARTS):
            mixture = GaussianMixture(components, reg_covar=1e-4, random_state=draws)
            mixture.fit(coordinates)
            divergence = np.log(components) - entropy(mixture.weights_)
            mixture.weights_ = np.full(components, 1 / components)
            fits.append((mixture.score(coordinates) - _BALANCE * divergence, mixture))
            told(0.9 + 0.1 * (done + 1) / _RESTARTS)
    found: np.ndarray = max(fits, key=lambda fit: fit[0])[1].predict_proba(coordinates)
    return found


def consensus(found: list[np.ndarray], random_state: np.random.RandomState) -> np.ndarray:
    """Clusters (N, K), each row one-hot, that several clusterings (N, K) agree on.

    k-means among the rows of all their responsibilities (Topchy, Jain and Punch, "Clustering
    ensembles", PAMI 2005): where an observation lies in each says which lie together.
    """
    from sklearn.cluster import KMeans  # two seconds

    components = found[0].shape[1]
    means = KMeans(components, n_init=_RESTARTS, random_state=random_state)
    with quiet():
        labels = means.fit_predict(np.concatenate(found, 1))
    return np.eye(components)[labels]
