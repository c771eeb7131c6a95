"""Fits of scikit-learn to the latents of a network, from fresh starts and from the last fit.

SciPy's statistics and scikit-learn are imported where they are used: they take two seconds.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import softmax
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from mixviz.errors import MixvizError

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

MOST_FITTED = 10_000  # latents; more change a mixture little and take longer than an epoch
_FLOOR = 1e-3  # of the latents' mean variance, added to the variances of a fitted mixture


class FittedMixture(NamedTuple):
    """A Gaussian mixture of scikit-learn, in double precision."""

    means: np.ndarray  # (K, D)
    covariances: np.ndarray  # (K, D), diagonals, or (K, D, D)
    weights: np.ndarray  # (K,)

    def responsibilities(self, points: np.ndarray) -> np.ndarray:
        """p(c | point) by Bayes' rule for points (N, D) and full covariances: (N, K)."""
        from scipy.stats import multivariate_normal

        each = zip(self.means, self.covariances, strict=True)
        log_densities = np.stack([multivariate_normal(*part).logpdf(points) for part in each], -1)
        return softmax(np.log(self.weights) + log_densities.reshape(len(points), -1), axis=-1)


def fit_mixture(
    latents: np.ndarray,
    components: int,
    *,
    random_state: int,
    before: FittedMixture | None = None,
    full: bool = False,
    restarts: int = 1,
) -> FittedMixture:
    """Fit a Gaussian mixture to latents (N, D) by expectation-maximisation.

    Of the fits from `restarts` starts by k-means and, if given, the one from `before`, that of the
    highest likelihood is taken. Components keep their places in the order, as far as means tell.
    """
    from sklearn.mixture import GaussianMixture

    floor = _FLOOR * latents.var(0).mean() + 1e-10

    def fit(**start: Any) -> "GaussianMixture":
        return GaussianMixture(
            components,
            covariance_type="full" if full else "diag",
            reg_covar=floor,
            random_state=random_state,
            **start,
        ).fit(latents)

    with quiet():
        fits = [fit(n_init=restarts)]
        if before is not None:
            precisions = np.linalg.inv(before.covariances) if full else 1 / before.covariances
            weights = before.weights / before.weights.sum()  # exact again in double precision
            fits.append(
                fit(means_init=before.means, precisions_init=precisions, weights_init=weights)
            )
    best = max(fits, key=lambda fitted: fitted.lower_bound_)
    found = FittedMixture(best.means_, best.covariances_, best.weights_)
    if before is None:
        return found
    order = matching(before.means, found.means)
    return FittedMixture(*(values[order] for values in found))


def fit_centres(
    latents: np.ndarray,
    components: int,
    *,
    random_state: int,
    before: np.ndarray | None = None,
    restarts: int = 1,
) -> np.ndarray:
    """Find centres (K, D) of latents (N, D) by k-means, as `fit_mixture` does for mixtures."""
    from sklearn.cluster import KMeans

    with quiet():
        fits = [KMeans(components, n_init=restarts, random_state=random_state).fit(latents)]
        if before is not None:
            fits.append(KMeans(components, init=before, n_init=1).fit(latents))
    centres: np.ndarray = min(fits, key=lambda fitted: fitted.inertia_).cluster_centers_
    return centres if before is None else centres[matching(before, centres)]


def as_array(value: Tensor) -> np.ndarray:
    """Return values in double precision, for scikit-learn."""
    return value.detach().cpu().double().numpy()


def enough(x: Tensor, components: int) -> None:
    """Raise `MixvizError` where there are fewer observations (N, ...) than clusters are wanted."""
    if len(x) < components:
        raise MixvizError(
            f"{len(x)} observations cannot be {components} clusters; "
            f"take components={len(x)} or less."
        )


def random_state(generator: torch.Generator) -> int:
    """Draw a seed for scikit-learn."""
    return int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))


@contextmanager
def quiet() -> Iterator[None]:
    """Let scikit-learn stop early without a word, on one thread: on several, sums vary in the last bit."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(), threadpool_limits(1, user_api="openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def matching(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Order of `after` (K, D) in which each row lies near the one of `before`: (K,)."""
    order: np.ndarray = linear_sum_assignment(cdist(before, after, "sqeuclidean"))[1]
    return order
