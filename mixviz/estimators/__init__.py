"""The models as scikit-learn estimators.

Where a model gives a bound on log p(x), `score_samples` and `score` return it, without the weights
and thresholds of what is trained, so that fits with different ones can be compared. Adversarial
models and DEC have neither method.
"""

from collections.abc import Mapping
from typing import ClassVar

from mixviz.estimators.base import MixtureEstimator

__all__ = ["AMM", "DEC", "GMVAE", "MPCC", "NVISA", "MixtureEstimator", "VaDE"]


class GMVAE(MixtureEstimator, models={2: "gmvae-v2", 1: "gmvae-v1"}):
    """Gaussian-mixture variational autoencoder (Dilokthanakul et al., arXiv:1611.02648)."""

    _bound: ClassVar[Mapping[str, int]] = {
        "reconstruction": 1,
        "conditional_prior": -1,
        "w_prior": -1,
        "z_prior": -1,
    }


class NVISA(MixtureEstimator, models={1: "nvisa"}):
    """Gaussian-mixture variational autoencoder without mean field (Li et al.), learned by VIMCO."""

    _bound: ClassVar[Mapping[str, int]] = {"bound": 1}


class AMM(MixtureEstimator, models={1: "amm"}):
    """Adversarially learned mixture model (ICLR 2019 submission)."""


class MPCC(MixtureEstimator, models={1: "mpcc"}):
    """Matching priors and conditionals for clustering (Astorga et al., ECCV 2020)."""


class VaDE(MixtureEstimator, models={1: "vade"}):
    """Variational deep embedding (Jiang et al., arXiv:1611.05148)."""

    _bound: ClassVar[Mapping[str, int]] = {
        "reconstruction": 1,
        "conditional_prior": -1,
        "component_prior": -1,
    }
    _by_parts = False  # the mixture is fitted to all latents at once


class DEC(MixtureEstimator, models={1: "dec"}):
    """Deep embedded clustering (Xie et al., arXiv:1511.06335)."""

    _by_parts = False  # the targets are of all the data
