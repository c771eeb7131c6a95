"""What models on top of an autoencoder share: networks, stages, and mixtures fitted to latents.

VaDE (arXiv:1611.05148) and DEC (arXiv:1511.06335) first train the autoencoder alone for
`pretrain_epochs` epochs of the run, the mixture being fitted to the latents again after each; then
they start from the last fit. AE+GMM and VAE+GMM never leave the first stage.
"""

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mixviz.models.base import GradientModel, Terms
from mixviz.models.config import ModelConfig, setting
from mixviz.models.latent_fit import MOST_FITTED, as_array, enough
from mixviz.models.networks import initialise
from mixviz.models.networks.autoencoder import NetworkName, autoencoder, layers
from mixviz.models.objectives import (
    bernoulli_log_prob,
    check_unit_interval,
    full_precision,
    gaussian_log_prob,
    monte_carlo_density,
)

RESTARTS = 20  # of the fit from which clusters start; as many as DEC's k-means in the paper
_AT_ONCE = 2_000  # observations encoded in one pass
_DRAWS = 500  # of z, for a density


class AutoencoderConfig(ModelConfig):
    """Settings of every model with an autoencoder."""

    likelihood: Literal["auto", "bernoulli", "gaussian"] = setting(
        "auto",
        "Likelihood p(x|z)",
        "Bernoulli for values in [0, 1], Gaussian for any others; auto takes Bernoulli for images.",
        paper="VaDE's: Bernoulli for MNIST, Gaussian for features; DEC's: least squares",
    )
    network: NetworkName = setting(
        "auto",
        "Network",
        "Hidden units of the encoder, the decoder mirrors them: points 120-120, small 256-256, paper "
        "500-500-2000; auto takes points in the plane and small elsewhere.",
        paper="500-500-2000",
    )
    latent_size: int | None = setting(
        None,
        "Latent size (D)",
        "Dimensions of z; empty takes 2 for the network of points and 10 for the others.",
        paper="10",
        ge=1,
        le=1000,
    )
    learning_rate: float = setting(
        1e-3,
        "Learning rate",
        "Step size of Adam.",
        paper="VaDE's: 2e-3; DEC's, of SGD: 0.1, then 0.01",
        live=True,
        gt=0,
        le=0.1,
    )


class PretrainedConfig(AutoencoderConfig):
    """Settings of the models that train the autoencoder first."""

    pretrain_epochs: int = setting(
        20,
        "Pretraining epochs",
        "Epochs of the run in which only the autoencoder is trained, before its clusters are.",
        ge=0,
        le=10_000,
    )
    pretrain_learning_rate: float = setting(
        1e-3,
        "Learning rate of pretraining",
        "Step size of Adam while only the autoencoder is trained.",
        live=True,
        gt=0,
        le=0.1,
    )


class AutoencoderModel(GradientModel):
    """An autoencoder with linear latents, and the stages of its training.

    Attributes
    ----------
    variational
        Whether the encoder gives a log-variance beside the mean, and the decoder of a Gaussian
        likelihood too.
    epochs_done
        Epochs that are over, (), from which the stage and the learning rate follow.
    """

    variational: ClassVar[bool] = False
    config: AutoencoderConfig
    epochs_done: Tensor

    def __init__(
        self, config: AutoencoderConfig, shape: tuple[int, ...], generator: torch.Generator
    ):
        """Build the networks for data of `shape`, their weights drawn from `generator`."""
        super().__init__()
        self.config, self.shape = config, shape
        self.likelihood = config.likelihood
        if self.likelihood == "auto":
            self.likelihood = "bernoulli" if len(shape) == 3 else "gaussian"
        chosen = layers(config.network, shape)
        self.latent_size = config.latent_size or chosen.latent_size
        self.encoder, self.decoder = autoencoder(
            chosen.units,
            shape,
            self.latent_size,
            latent_streams=1 + self.variational,
            data_streams=1 + (self.variational and self.likelihood == "gaussian"),
        )
        self.register_buffer("epochs_done", torch.zeros((), dtype=torch.int64))
        initialise(self, generator)

    # ---- stages ----------------------------------------------------------------------------

    @property
    def pretraining(self) -> bool:
        """Whether the autoencoder is still trained alone."""
        return isinstance(self.config, PretrainedConfig) and (
            self.counted(self.epochs_done) < self.config.pretrain_epochs
        )

    @property
    def fitted(self) -> bool:
        """Whether there is a mixture to start the next fit from."""
        return self.counted(self.epochs_done) > 0

    def check_data(self, x: Tensor) -> None:
        """Refuse data that the likelihood cannot have."""
        if self.likelihood == "bernoulli":
            check_unit_interval(x)

    def prepare(self, x: Tensor, generator: torch.Generator) -> None:
        """Fit the mixture to the latents of the untrained encoder, to have one from the start."""
        super().prepare(x, generator)
        enough(x, self.config.components)
        self.refit(x, generator)

    def end_epoch(self, epoch: int, x: Tensor, generator: torch.Generator) -> None:
        """Refit the mixture while the autoencoder is trained alone, and start the next stage."""
        pretraining = self.pretraining
        self.epochs_done.fill_(epoch)
        if pretraining:
            self.refit(x, generator, restarts=1 if self.pretraining else RESTARTS)
            if not self.pretraining:
                # The moments are those of another objective.
                self.optimizer.state.clear()

    @abstractmethod
    def refit(self, x: Tensor, generator: torch.Generator, restarts: int = 1) -> None:
        """Fit the mixture to the latents of all the data (N, *shape), from where it is and afresh.

        The best of `restarts` fresh starts is compared with the one from where it is.
        """

    def rate(self) -> float:
        """Step size of Adam for the next step."""
        if self.pretraining and isinstance(self.config, PretrainedConfig):
            return self.config.pretrain_learning_rate
        return self.config.learning_rate

    def training_step(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Take one Adam step up the objective of the present stage."""
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return super().training_step(x, generator)

    # ---- networks --------------------------------------------------------------------------

    def encoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, D); minus infinity where z is certain."""
        output = full_precision(self.encoder(x))
        if self.variational:
            mean, log_variance = output.chunk(2, dim=-1)
            return mean, log_variance
        return output, torch.full_like(output, -math.inf)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of observations (B, *shape) at latents (..., B, D): (..., B).

        Gaussian: with the learned variances of a variational model, else with unit variance.
        """
        flat = x.flatten(1)
        output = full_precision(self.decoder(z))
        if self.likelihood == "bernoulli":
            return bernoulli_log_prob(flat.expand(output.shape), output)
        if not self.variational:
            return gaussian_log_prob(flat, output, torch.zeros_like(output))
        mean, log_variance = output.chunk(2, dim=-1)
        return gaussian_log_prob(flat, mean, log_variance)

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of an autoencoder: (B,), like `log_likelihood` but with unit variance.

        Without noise in z, learned variances shrink without end.
        """
        if self.likelihood == "bernoulli":
            return self.log_likelihood(x, z)
        mean = full_precision(self.decoder(z))[..., : math.prod(self.shape)]
        return gaussian_log_prob(x.flatten(1), mean, torch.zeros_like(mean))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, D); minus infinity where z is certain."""
        return self.encoded(x)

    @abstractmethod
    def log_posterior(self, z: Tensor) -> Tensor:
        """log p(c|z) of latents (..., D): (..., K)."""

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """log p(c|z) at the mean of q(z|x): (B, K)."""
        return self.log_posterior(self.encoded(x)[0])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latent means (B, D) and log p(c|z) there (B, K), from one pass of the encoder."""
        mean = self.encoded(x)[0]
        return mean, self.log_posterior(mean)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Mean of p(x|z) for latents (B, D): (B, *shape)."""
        output = full_precision(self.decoder(z))[..., : math.prod(self.shape)]
        mean = output.sigmoid() if self.likelihood == "bernoulli" else output
        return mean.unflatten(-1, self.shape)

    def draw_latents(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Draw z from component c_i for each i: (B, D)."""
        mixture = self.components()
        noise = torch.randn((len(c), self.latent_size), generator=generator, device=c.device)
        if mixture.covariances is None:
            return mixture.means[c] + noise * mixture.variances[c].sqrt()
        factors = torch.linalg.cholesky(mixture.covariances)[c]  # (B, D, D)
        return mixture.means[c] + (factors @ noise[..., None])[..., 0]

    def sample(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Draw z from component c_i for each i and return the mean of p(x|z): (B, *shape)."""
        return self.decode(self.draw_latents(c, generator))

    def log_density(self, x: Tensor, generator: torch.Generator) -> Tensor | None:
        """Estimate log p(x) by averaging p(x|z) over draws from the mixture: (B,).

        None without learned variances, for Bernoulli likelihoods, and above two dimensions, where
        plain Monte Carlo says nothing.
        """
        if not self.variational or self.likelihood == "bernoulli" or math.prod(self.shape) > 2:
            return None
        c = self.components().weights.multinomial(_DRAWS, replacement=True, generator=generator)
        output = full_precision(
            self.decoder(self.draw_latents(c, generator))
        )  # (draws, 2 * size of x)
        return monte_carlo_density(x.flatten(1), *output.chunk(2, dim=-1))

    @torch.no_grad()
    def latents(self, x: Tensor) -> Tensor:
        """Means of q(z|x) of all the data (N, *shape): (N, D)."""
        return torch.cat([self.encoded(part)[0] for part in x.split(_AT_ONCE)])

    def fitted_latents(self, x: Tensor, generator: torch.Generator) -> np.ndarray | None:
        """Latents of at most 10,000 observations for scikit-learn; None if some are not finite.

        Then the mixture stays as it is, and the terms show that training has diverged.
        """
        latents = as_array(self.latents(x[fitted_rows(x, generator)]))
        return latents if np.isfinite(latents).all() else None


def fitted_rows(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of at most 10,000 of the observations (N, *shape), drawn where there are more."""
    if len(x) <= MOST_FITTED:
        return torch.arange(len(x), device=x.device)
    order = torch.randperm(len(x), generator=generator, device=generator.device)
    return order[:MOST_FITTED].to(x.device)
