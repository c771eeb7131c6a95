"""k-means and the Gaussian mixture of scikit-learn, one iteration a step, on the common interface.

Their latent space is the data space itself: z = x, without noise. scikit-learn is imported where it is
used, because it takes two seconds and every process that trains reads this file.
"""

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mixviz.models.base import Components, MixtureModel, Terms
from mixviz.models.config import ModelConfig, Preset, setting
from mixviz.models.latent_fit import enough, quiet

if TYPE_CHECKING:
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

COMPARED = 10_000


class ClassicalModel(MixtureModel):
    """Parameters are float64 buffers; a step hands them to scikit-learn and takes them back."""

    full_batch = True
    on_host = True
    means: Tensor
    weights: Tensor
    done: Tensor

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], generator: torch.Generator):
        super().__init__()
        self.config, self.shape = config, shape
        count, size = config.components, math.prod(shape)
        self.register_buffer("means", torch.zeros(count, size, dtype=torch.float64))
        self.register_buffer("weights", torch.full((count,), 1 / count, dtype=torch.float64))
        self.register_buffer("done", torch.zeros((), dtype=torch.bool))

    def converged(self) -> bool:
        """Whether the last iteration changed nothing that matters."""
        return bool(self.done)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z = x with certainty: mean x, log-variance minus infinity, each (B, D)."""
        flat = x.flatten(1)
        return flat, torch.full_like(flat, -math.inf)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Data are their own latents: (B, *shape)."""
        return z.unflatten(-1, self.shape)

    def evaluate_terms(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Return the terms of the current parameters."""
        return self._measure(_array(x))

    def _measure(self, x: np.ndarray) -> Terms:
        raise NotImplementedError

    def _store(self, **values: np.ndarray) -> None:
        for name, value in values.items():
            getattr(self, name).copy_(torch.from_numpy(np.asarray(value)))


class KMeansConfig(ModelConfig):
    """Settings of Lloyd's algorithm."""

    starts: int = setting(
        10,
        "Starts",
        "k-means++ starts of which the one that ends with the least inertia is shown.",
        ge=1,
        le=100,
    )


class KMeansModel(ClassicalModel):
    """Lloyd's algorithm from a k-means++ start; `inertia` is the mean squared distance."""

    Config: ClassVar[type[ModelConfig]] = KMeansConfig
    title = "k-means"
    units = "squared distance"
    config: KMeansConfig
    variances: Tensor
    terms = ("inertia",)
    presets: ClassVar[dict[str, Preset]] = {
        "k-means-digits": Preset("8x8 digits, K=10", "digits", {"components": 10, "epochs": 100}),
    }

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], generator: torch.Generator):
        """Make empty centres; `prepare` places them."""
        super().__init__(config, shape, generator)
        self.register_buffer("variances", torch.ones(config.components, dtype=torch.float64))

    def prepare(self, x: Tensor, generator: torch.Generator) -> None:
        """Choose the first centres by k-means++: of several starts, the one that ends best.

        The ends are compared on at most 10,000 points.
        """
        from sklearn.cluster import kmeans_plusplus

        enough(x, self.config.components)
        data = _array(x)
        some = data[:: -(-len(data) // COMPARED)]
        count = self.config.components
        starts = [
            kmeans_plusplus(some, count, random_state=_random_state(generator))[0]
            for _ in range(self.config.starts)
        ]
        if len(starts) > 1:
            starts.sort(key=lambda centres: _lloyd(some, centres).inertia_)
        self._store(means=starts[0])
        self._spread(data)

    def training_step(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Assign every point, then move every centre to the mean of its points."""
        data = _array(x)
        before = self.means.numpy().copy()
        fitted = _lloyd(data, before, max_iter=1)
        self._store(means=fitted.cluster_centers_)
        self._spread(data)
        self.done.fill_(np.allclose(before, fitted.cluster_centers_, rtol=0, atol=1e-9))
        return self._measure(data)

    def _squared_distances(self, x: np.ndarray) -> np.ndarray:
        means = self.means.numpy()
        squared = (x**2).sum(1)[:, None] - 2 * x @ means.T + (means**2).sum(1)
        return np.maximum(squared, 0)

    def _spread(self, x: np.ndarray) -> None:
        squared = self._squared_distances(x)
        nearest = squared.argmin(1)
        count = np.bincount(nearest, minlength=self.config.components)
        total = np.bincount(nearest, squared.min(1), minlength=self.config.components)
        variance = total / np.maximum(count, 1) / x.shape[1]
        self._store(weights=count / len(x), variances=np.maximum(variance, 1e-12))

    def _measure(self, x: np.ndarray) -> Terms:
        return {"inertia": torch.tensor(self._squared_distances(x).min(1).mean())}

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """Zero for the nearest centre, minus infinity for all others: (B, K)."""
        nearest = torch.from_numpy(self._squared_distances(_array(x)).argmin(1))
        hard = torch.full((len(x), self.config.components), -math.inf)
        return hard.scatter_(1, nearest[:, None], 0.0)

    def components(self) -> Components:
        """Centres, with the spread of their points around them as isotropic variance."""
        variances = self.variances[:, None].expand_as(self.means)
        return Components(self.means.float(), variances.float(), self.weights.float())

    def sample(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a point around centre c_i for each i: (B, *shape)."""
        noise = torch.randn((len(c), self.means.shape[1]), generator=generator)
        return self.decode(
            self.means[c].float() + noise * self.variances[c].sqrt().float()[:, None]
        )


class GMMConfig(ModelConfig):
    """Settings of scikit-learn's GaussianMixture."""

    covariance_type: Literal["full", "diag"] = setting(
        "full", "Covariances", "Full covariance matrices, or diagonal ones for many features."
    )
    regularisation: float = setting(
        1e-6,
        "Covariance floor",
        "Added to the diagonal of every covariance, so that none collapses onto a point.",
        ge=0,
        le=1,
    )
    starts: int = setting(
        1,
        "Starts",
        "Starts by k-means of which the one that ends with the highest likelihood is shown.",
        ge=1,
        le=100,
    )


class GMMModel(ClassicalModel):
    """Expectation-maximisation for a Gaussian mixture in data space (GMVAE, figure 2c)."""

    Config: ClassVar[type[ModelConfig]] = GMMConfig
    title = "Gaussian mixture"
    exact_density = True
    covariances: Tensor
    terms = ("log_likelihood",)
    config: GMMConfig
    presets: ClassVar[dict[str, Preset]] = {
        "gmm-figure-2c": Preset(
            "v2 figure 2c: a GMM's density on arcs",
            "arcs",
            {"components": 5, "epochs": 100},
            "One Gaussian for each arc cannot bend. The paper prints no K.",
        ),
    }

    def __init__(self, config: GMMConfig, shape: tuple[int, ...], generator: torch.Generator):
        """Make empty parameters; `prepare` fills them."""
        super().__init__(config, shape, generator)
        count, size = config.components, math.prod(shape)
        square = (size,) if config.covariance_type == "diag" else (size, size)
        self.register_buffer("covariances", torch.zeros((count, *square), dtype=torch.float64))

    def prepare(self, x: Tensor, generator: torch.Generator) -> None:
        """Start from k-means, as scikit-learn does: of several starts, the one that ends best.

        The ends are compared on at most 10,000 points.
        """
        enough(x, self.config.components)
        data = _array(x)
        seeds = [_random_state(generator) for _ in range(self.config.starts)]
        if len(seeds) > 1:
            data = data[:: -(-len(data) // COMPARED)]
            seeds.sort(key=lambda seed: -self._ended(data, seed))
        self._step(data, random_state=seeds[0])

    def _ended(self, x: np.ndarray, seed: int) -> float:
        """Mean log-likelihood of x where expectation-maximisation ends from a start."""
        with quiet():
            return float(self._mixture(random_state=seed).fit(x).lower_bound_)

    def training_step(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Do one iteration of expectation-maximisation."""
        data = _array(x)
        before = self._log_likelihood(data).mean()
        self._step(
            data,
            weights_init=self.weights.numpy(),
            means_init=self.means.numpy(),
            precisions_init=self._precisions(),
        )
        terms = self._measure(data)
        self.done.fill_(abs(float(terms["log_likelihood"]) - before) < 1e-6)
        return terms

    def _step(self, x: np.ndarray, **start: Any) -> None:
        with quiet():
            fitted = self._mixture(max_iter=1, **start).fit(x)
        self._store(means=fitted.means_, weights=fitted.weights_, covariances=fitted.covariances_)

    def _mixture(self, **settings: Any) -> "GaussianMixture":
        from sklearn.mixture import GaussianMixture

        return GaussianMixture(
            self.config.components,
            covariance_type=self.config.covariance_type,
            reg_covar=self.config.regularisation,
            **settings,
        )

    def _precisions(self) -> np.ndarray:
        covariances = self.covariances.numpy()
        diagonal = self.config.covariance_type == "diag"
        return 1 / covariances if diagonal else np.linalg.inv(covariances)

    def _fitted(self) -> "GaussianMixture":
        """Return scikit-learn's estimator at the current parameters."""
        mixture = self._mixture()
        mixture.weights_, mixture.means_ = self.weights.numpy(), self.means.numpy()
        mixture.covariances_ = self.covariances.numpy()
        precisions = self._precisions()
        mixture.precisions_cholesky_ = (
            np.sqrt(precisions)
            if self.config.covariance_type == "diag"
            else np.linalg.cholesky(precisions)
        )
        return mixture

    def _log_likelihood(self, x: np.ndarray) -> np.ndarray:
        return self._fitted().score_samples(x)

    def _measure(self, x: np.ndarray) -> Terms:
        return {"log_likelihood": torch.tensor(self._log_likelihood(x).mean())}

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """log p(c|x): (B, K)."""
        data, whole = _array(x), self._fitted()
        log_joint = self.weights.log() + torch.from_numpy(
            np.stack([_component(whole, k).score_samples(data) for k in range(len(self.means))], 1)
        )
        return log_joint.log_softmax(-1).float()

    def components(self) -> Components:
        """Return the mixture in data space; full covariances stay in double precision.

        Rounded, one whose smallest variance is the floor's may have no root.
        """
        variances = self.covariances
        if self.config.covariance_type == "diag":
            return Components(self.means.float(), variances.float(), self.weights.float())
        variances = variances.diagonal(dim1=1, dim2=2).float()
        return Components(self.means.float(), variances, self.weights.float(), self.covariances)

    def sample(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a point of component c_i for each i: (B, *shape)."""
        noise = torch.randn((len(c), self.means.shape[1]), generator=generator)
        if self.config.covariance_type == "diag":
            spread = noise * self.covariances[c].sqrt().float()
        else:
            factors = torch.linalg.cholesky(self.covariances).float()
            # Not factors[c] @ noise: a copy of the matrix for every draw is too much for images.
            spread = torch.stack([factors[k] @ draw for k, draw in zip(c, noise, strict=True)])
        return self.decode(self.means[c].float() + spread)

    def log_density(self, x: Tensor, generator: torch.Generator) -> Tensor | None:
        """log p(x), exact: (B,)."""
        return torch.from_numpy(self._log_likelihood(_array(x))).float()


def _component(mixture: "GaussianMixture", k: int) -> "GaussianMixture":
    """Return one Gaussian of a mixture as a mixture of its own."""
    from sklearn.base import clone

    alone = clone(mixture).set_params(n_components=1)
    alone.weights_ = np.ones(1)
    for name in ("means_", "covariances_", "precisions_cholesky_"):
        setattr(alone, name, getattr(mixture, name)[k : k + 1])
    return alone


def _lloyd(x: np.ndarray, centres: np.ndarray, max_iter: int = 300) -> "KMeans":
    """Fit from given centres."""
    from sklearn.cluster import KMeans

    with quiet():
        return KMeans(len(centres), init=centres, n_init=1, max_iter=max_iter).fit(x)


def _array(x: Tensor) -> np.ndarray:
    return x.flatten(1).cpu().double().numpy()


def _random_state(generator: torch.Generator) -> int:
    return int(torch.randint(2**31 - 1, (), generator=generator))
