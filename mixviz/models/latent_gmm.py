"""AE+GMM and VAE+GMM: a Gaussian mixture on the latents of a network that knows nothing of it.

The baselines of VaDE's table 2 (arXiv:1611.05148). The network is trained on its own objective; after
every epoch the mixture is fitted again to the latents (posterior means) of the data, from the last fit
and from a fresh start, whichever ends better.

    ae-gmm    log p(x|z) at z = encoder(x)
    vae-gmm   E_q(z|x) log p(x|z) - KL( q(z|x) || N(0, I) )
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from mixviz.models.autoencoder import AutoencoderConfig, AutoencoderModel
from mixviz.models.base import Components, Terms
from mixviz.models.config import ModelConfig, Preset, setting
from mixviz.models.latent_fit import FittedMixture, as_array, fit_mixture, random_state
from mixviz.models.objectives import (
    LOG_2PI,
    categorical_uniform_kl,
    reparameterise,
    standard_normal_kl,
)


class LatentGMMConfig(AutoencoderConfig):
    """Settings of both models."""

    covariance_type: Literal["full", "diag"] = setting(
        "full", "Covariances", "Full covariance matrices in latent space, or diagonal ones."
    )


class LatentGMM(AutoencoderModel):
    """What both share: the mixture, in buffers, and its fit."""

    Config: ClassVar[type[ModelConfig]] = LatentGMMConfig
    config: LatentGMMConfig
    means: Tensor
    covariances: Tensor
    weights: Tensor

    def __init__(self, config: LatentGMMConfig, shape: tuple[int, ...], generator: torch.Generator):
        """Build the networks; `prepare` fits the mixture."""
        super().__init__(config, shape, generator)
        count, size = config.components, self.latent_size
        self.register_buffer("means", torch.zeros(count, size))
        spread = torch.eye(size) if config.covariance_type == "full" else torch.ones(size)
        self.register_buffer("covariances", spread.expand(count, *spread.shape).clone())
        self.register_buffer("weights", torch.full((count,), 1 / count))

    def end_epoch(self, epoch: int, x: Tensor, generator: torch.Generator) -> None:
        """Fit the mixture to the present latents."""
        super().end_epoch(epoch, x, generator)
        self.refit(x, generator)

    @torch.no_grad()
    def refit(self, x: Tensor, generator: torch.Generator, restarts: int = 1) -> None:
        """Fit the mixture by expectation-maximisation."""
        latents = self.fitted_latents(x, generator)
        seed = random_state(generator)
        if latents is None:
            return
        state = (self.means, self.covariances, self.weights)
        fitted = fit_mixture(
            latents,
            self.config.components,
            random_state=seed,
            before=FittedMixture(*map(as_array, state)) if self.fitted else None,
            full=self.config.covariance_type == "full",
            restarts=restarts,
        )
        for buffer, value in zip(state, fitted, strict=True):
            buffer.copy_(torch.from_numpy(value))

    def log_posterior(self, z: Tensor) -> Tensor:
        """log p(c|z) by Bayes' rule for latents (B, D): (B, K)."""
        difference = z.unsqueeze(-2) - self.means  # (B, K, D)
        if self.config.covariance_type == "full":
            factors = torch.linalg.cholesky(self.covariances)  # (K, D, D)
            white = torch.linalg.solve_triangular(
                factors, difference.permute(1, 2, 0), upper=False
            ).permute(2, 0, 1)  # (B, K, D)
            log_determinants = 2 * factors.diagonal(dim1=1, dim2=2).log().sum(-1)
        else:
            white = difference * self.covariances.rsqrt()
            log_determinants = self.covariances.log().sum(-1)
        constant = self.latent_size * LOG_2PI + log_determinants  # (K,)
        log_joint = self.weights.log() - 0.5 * (constant + white.square().sum(-1))
        return log_joint.log_softmax(-1)

    def components(self) -> Components:
        """Return the fitted mixture."""
        if self.config.covariance_type == "diag":
            return Components(self.means, self.covariances, self.weights)
        variances = self.covariances.diagonal(dim1=1, dim2=2)
        return Components(self.means, variances, self.weights, self.covariances)

    @torch.no_grad()
    def z_prior(self, mean: Tensor) -> Tensor:
        """KL( p(c|z) || 1/K ) at latents (B, D), batch mean."""
        return categorical_uniform_kl(self.log_posterior(mean)).mean()


class AEGMM(LatentGMM):
    """Autoencoder, then a Gaussian mixture."""

    title = "AE + Gaussian mixture"
    terms = ("reconstruction", "z_prior", "objective")
    presets: ClassVar[dict[str, Preset]] = {
        "ae-gmm-arcs-laptop": Preset(
            "AE+GMM on arcs, K=5",
            "arcs",
            {"components": 5, "epochs": 10, "batch_size": 200},
            "Two hidden layers of 120 units and D=2: the points have two dimensions.",
        ),
        "ae-gmm-digits-laptop": Preset(
            "AE+GMM on 8x8 digits, K=10",
            "digits",
            {"components": 10, "epochs": 100, "batch_size": 50},
            "A small network on 1,797 images.",
        ),
        "ae-gmm-mnist-laptop": Preset(
            "AE+GMM on MNIST in minutes, K=10",
            "mnist",
            {"components": 10, "epochs": 15, "batch_size": 256},
            "Two hidden layers of 256 units instead of 500-500-2000.",
        ),
        "ae-gmm-mnist-paper": Preset(
            "AE+GMM, VaDE's table 2: MNIST",
            "mnist",
            {"components": 10, "network": "paper", "epochs": 100, "batch_size": 100},
            "The network of VaDE; the paper gives no other numbers of its baselines. The figure beside it "
            "in the results is NVISA's (table I), whose network is not printed.",
        ),
    }

    def objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return the reconstruction."""
        mean = self.encoded(x)[0]
        objective = self.reconstruction(x, mean).mean()
        return objective, {
            "reconstruction": objective.detach(),
            "z_prior": self.z_prior(mean),
            "objective": objective.detach(),
        }


class VAEGMM(LatentGMM):
    """Variational autoencoder with a standard normal prior, then a Gaussian mixture."""

    title = "VAE + Gaussian mixture"
    variational = True
    terms = ("reconstruction", "normal_prior", "z_prior", "objective")
    presets: ClassVar[dict[str, Preset]] = {
        "vae-gmm-arcs-laptop": Preset(
            "VAE+GMM on arcs, K=5",
            "arcs",
            {"components": 5, "epochs": 30, "batch_size": 200},
            "Two hidden layers of 120 units and D=2: the points have two dimensions.",
        ),
        "vae-gmm-digits-laptop": Preset(
            "VAE+GMM on 8x8 digits, K=10",
            "digits",
            {"components": 10, "epochs": 100, "batch_size": 50},
            "A small network on 1,797 images.",
        ),
        "vae-gmm-mnist-laptop": Preset(
            "VAE+GMM on MNIST in minutes, K=10",
            "mnist",
            {"components": 10, "epochs": 15, "batch_size": 256},
            "Two hidden layers of 256 units instead of 500-500-2000.",
        ),
        "vae-gmm-mnist-paper": Preset(
            "VAE+GMM, VaDE's table 2: MNIST",
            "mnist",
            {"components": 10, "network": "paper", "epochs": 100, "batch_size": 100},
            "The network of VaDE; the paper gives no other numbers of its baselines. The figure beside it "
            "in the results is NVISA's (table I), whose network is not printed.",
        ),
    }

    def objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return the ELBO of the VAE."""
        mean, log_variance = self.encoded(x)
        z = reparameterise(mean, log_variance, 1, generator)  # (1, B, D)
        reconstruction = self.log_likelihood(x, z).mean()
        normal_prior = standard_normal_kl(mean, log_variance).mean()
        objective = reconstruction - normal_prior
        return objective, {
            "reconstruction": reconstruction.detach(),
            "normal_prior": normal_prior.detach(),
            "z_prior": self.z_prior(mean),
            "objective": objective.detach(),
        }
