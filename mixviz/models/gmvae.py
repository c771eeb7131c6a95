"""Gaussian-mixture VAE: the generative and recognition model that both versions of the paper share.

Dilokthanakul et al., arXiv:1611.02648. With the letters of this project:

    generative    w ~ N(0, I);  c ~ Cat(1/K);  z | c, w ~ N(mu_c(w), v_c(w));  x | z Bernoulli or Gaussian
    recognition   q(z|x), q(w|x) Gaussian; one trunk, one linear layer split into the streams
"""

import math
from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mixviz.models.base import Components, Terms
from mixviz.models.clusters import FITS
from mixviz.models.config import setting
from mixviz.models.latent_fit import MOST_FITTED, FittedMixture, as_array, fit_mixture, random_state
from mixviz.models.networks import architecture, initialise
from mixviz.models.objectives import (
    bernoulli_log_prob,
    check_unit_interval,
    full_precision,
    gaussian_log_prob,
    log_prob_and_kl,
    monte_carlo_density,
    reparameterise,
    standard_normal_kl,
)
from mixviz.models.start import (
    AT_ONCE,
    NOISE,
    StartedModel,
    fit_classifier,
    moments,
)
from mixviz.models.start_config import StartConfig


class GMVAEConfig(StartConfig):
    """Settings of both versions."""

    samples: int = setting(
        1,
        "Monte Carlo samples (S)",
        "Samples of (z, w) drawn for each observation; more make training steadier and slower.",
        paper="1 and 10",
        ge=1,
        le=100,
    )
    likelihood: Literal["auto", "bernoulli", "gaussian"] = setting(
        "auto",
        "Likelihood p(x|z)",
        "Bernoulli for values in [0, 1], Gaussian with learned variances for any others; "
        "auto takes Bernoulli for images.",
        paper="Gaussian for points, Bernoulli for images",
    )
    network: Literal["auto", "points", "small", "strided", "conv28", "conv32"] = setting(
        "auto",
        "Network",
        "Row of tables A.1 to A.3, which auto takes where one fits the data, and small for the rest; "
        "strided has convolutions and a decoder of linear layers, cheap on processors.",
    )
    latent_size: int | None = setting(
        None,
        "Latent size (D)",
        "Dimensions of z; empty takes the size the network's table gives.",
        paper="2 for points, 200 for images",
        ge=1,
        le=1000,
    )
    style_size: int | None = setting(
        None,
        "Style size",
        "Dimensions of w, the noise that shapes the mixture; empty takes the table's.",
        paper="2 for points, 150 for images",
        ge=1,
        le=1000,
    )
    component_spread: float = setting(
        0.0,
        "Initial spread of the components",
        "Standard deviation in which the component means start apart; at 0 they start almost together.",
        ge=0,
        le=10,
    )
    learning_rate: float = setting(
        1e-3,
        "Learning rate",
        "Step size of Adam; the papers take 1e-4 and many more steps.",
        paper="1e-4",
        live=True,
        gt=0,
        le=0.1,
    )


class Recognition(NamedTuple):
    """Output streams of the recognition network."""

    z_mean: Tensor  # (B, D)
    z_log_variance: Tensor  # (B, D)
    w_mean: Tensor  # (B, W)
    w_log_variance: Tensor  # (B, W)
    component_logits: Tensor | None  # (B, K), version 1 only


class Draws(NamedTuple):
    """Everything that S samples of (z, w) give, from which either objective is put together."""

    reconstruction: Tensor  # (), E log p(x|z)
    z_kl: Tensor  # (S, B, K), KL( q(z|x) || N(mu_c(w_s), v_c(w_s)) )
    w_prior: Tensor  # (), KL( q(w|x) || N(0, I) )
    log_posterior: Tensor  # (S, B, K), log p(c | z_s, w_s)


class GMVAE(StartedModel):
    """What both versions share; a version adds its recognition of c and its objective."""

    terms: ClassVar[tuple[str, ...]] = (
        "reconstruction",
        "conditional_prior",
        "w_prior",
        "z_prior",
        "consistency_violation",
        "objective",
    )
    classifier_head: ClassVar[bool] = False
    config: GMVAEConfig
    epochs: Tensor  # that are done, (); only where there is a start that counts them

    def __init__(self, config: GMVAEConfig, shape: tuple[int, ...], generator: torch.Generator):
        """Build the networks for data of `shape`, their weights drawn from `generator`."""
        super().__init__()
        self.config, self.shape = config, shape
        rows = architecture(config.network, shape)
        self.latent_size = config.latent_size or rows.latent_size
        self.style_size = config.style_size or rows.style_size
        self.likelihood = config.likelihood
        if self.likelihood == "auto":
            self.likelihood = "bernoulli" if len(shape) == 3 else "gaussian"

        self.trunk, features = rows.trunk(shape)
        head = config.components if self.classifier_head else 0
        self._streams = [self.latent_size] * 2 + [self.style_size] * 2 + [head]
        self.streams = nn.Linear(features, sum(self._streams))
        self.mixture = nn.Sequential(
            nn.Linear(self.style_size, rows.component_units),
            nn.Tanh(),
            nn.Linear(rows.component_units, 2 * config.components * self.latent_size),
        )
        outputs = 2 if self.likelihood == "gaussian" else 1
        self.decoder = rows.decoder(shape, self.latent_size, outputs)
        initialise(self, generator)
        with torch.no_grad():
            means = self.mixture.get_parameter("2.bias")[: config.components * self.latent_size]
            means += config.component_spread * torch.randn(len(means), generator=generator)
        self.expect_teacher()
        if config.start != "random":
            self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))

    # ---- start -----------------------------------------------------------------------------

    def check_data(self, x: Tensor) -> None:
        """Refuse data that the likelihood cannot have."""
        if self.likelihood == "bernoulli":
            check_unit_interval(x)

    @property
    def epochs_over(self) -> int:
        """Epochs that are done, those of pretraining included; 0 where nothing depends on them."""
        return 0 if self.config.start == "random" else self.counted(self.epochs)

    def end_epoch(self, epoch: int, x: Tensor, generator: torch.Generator) -> None:
        """Count the epochs of a start; after the last of pretraining, start from clusters."""
        if self.config.start == "random":
            return
        pretraining = self.pretraining
        self.epochs.fill_(epoch)
        if pretraining and not self.pretraining:
            self.eval()
            self._start_from_clusters(x, generator)
            self.train()
            self.optimizer.state.clear()  # moments of another objective
        self.teach_no_longer()

    def _autoencoder(self, x: Tensor) -> tuple[Tensor, Terms]:
        """Squared error, or Bernoulli log-likelihood, of decoding the mean of q(z|x)."""
        output = full_precision(self.decoder(self.recognise(x).z_mean))
        if self.likelihood == "bernoulli":
            objective = bernoulli_log_prob(x.flatten(1), output).mean()
        else:
            objective = -(output.chunk(2, dim=-1)[0] - x.flatten(1)).square().sum(-1).mean()
        return objective, {"autoencoder_error": -objective.detach()}

    @torch.no_grad()
    def _start_from_clusters(self, x: Tensor, generator: torch.Generator) -> None:
        """Put p(z|c,w) at w = 0 on clusters of the codes, q(z|x) within them, and q(c|x) on them.

        Codes that are not finite leave everything as it is; the terms show that training has diverged.
        """
        features = torch.cat([full_precision(self.trunk(part)) for part in x.split(AT_ONCE)])
        codes = full_precision(self.streams(features))[:, : self.latent_size]
        if not bool(codes.isfinite().all()):
            return
        order = torch.randperm(len(x), generator=generator, device=x.device)[:MOST_FITTED]
        points = as_array(codes[order])
        if self.config.teaches:
            self.find_clusters(x, generator, codes)
            fitted = moments(points, as_array(self.responsibilities[order]))
        else:
            fitted = fit_mixture(
                points,
                self.config.components,
                random_state=random_state(generator),
                full=True,
                restarts=FITS,
            )
            if self.classifier_head:
                self._start_classifier(features[order], fitted, points)
        means, covariances, weights = map(torch.from_numpy, fitted)
        variances = covariances.diagonal(dim1=1, dim2=2)  # (K, D)
        wanted = torch.cat([means, variances.log()]).flatten()
        bias = self.mixture.get_parameter("2.bias")
        bias.add_(wanted.to(bias) - self.mixture(bias.new_zeros(self.style_size)))
        within = weights @ variances  # (D,)
        start, end = self.latent_size, 2 * self.latent_size
        self.streams.weight[start:end] = 0
        self.streams.bias[start:end] = (NOISE * within).log()

    def _start_classifier(
        self, features: Tensor, fitted: FittedMixture, points: np.ndarray
    ) -> None:
        """Let q(c|x) be the responsibilities of a mixture fitted to points (N, D)."""
        classifier = nn.Linear(features.shape[1], self.config.components).to(features)
        head = slice(-self.config.components, None)
        classifier.weight.copy_(self.streams.weight[head])
        classifier.bias.copy_(self.streams.bias[head])
        found = torch.from_numpy(fitted.responsibilities(points))
        fit_classifier(classifier, features, found.to(features))
        self.streams.weight[head] = classifier.weight
        self.streams.bias[head] = classifier.bias

    # ---- objective -------------------------------------------------------------------------

    def recognise(self, x: Tensor) -> Recognition:
        """Parameters of q(z|x), q(w|x) and, in version 1, q(c|x)."""
        streams = full_precision(self.streams(self.trunk(x)))
        z_mean, z_log_variance, w_mean, w_log_variance, logits = streams.split(
            self._streams, dim=-1
        )
        return Recognition(
            z_mean, z_log_variance, w_mean, w_log_variance, logits if self.classifier_head else None
        )

    def mixture_at(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of all components at w (..., W): each (..., K, D)."""
        both = full_precision(self.mixture(w)).unflatten(
            -1, (2, self.config.components, self.latent_size)
        )
        return both.select(-3, 0), both.select(-3, 1)

    def log_posterior(self, z: Tensor, w: Tensor) -> Tensor:
        """log p(c | z, w) by Bayes' rule with p(c) = 1/K, for z (..., D), w (..., W): (..., K)."""
        means, log_variances = self.mixture_at(w)
        log_joint = gaussian_log_prob(z.unsqueeze(-2), means, log_variances)
        return log_joint.log_softmax(-1)

    def draw(self, x: Tensor, q: Recognition, generator: torch.Generator) -> Draws:
        """Draw S samples of (z, w) and evaluate every closed-form piece at them."""
        samples = self.config.samples
        z = reparameterise(q.z_mean, q.z_log_variance, samples, generator)  # (S, B, D)
        w = reparameterise(q.w_mean, q.w_log_variance, samples, generator)  # (S, B, W)
        means, log_variances = self.mixture_at(w)  # (S, B, K, D)
        log_joint, z_kl = log_prob_and_kl(z, q.z_mean, q.z_log_variance, means, log_variances)
        return Draws(
            reconstruction=self.log_likelihood(x, z).mean(),
            z_kl=z_kl,
            w_prior=standard_normal_kl(q.w_mean, q.w_log_variance).mean(),
            log_posterior=log_joint.log_softmax(-1),
        )

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of observations (B, *shape) at latents (S, B, D): (S, B)."""
        flat = x.flatten(1)
        output = full_precision(self.decoder(z.flatten(0, 1))).unflatten(
            0, z.shape[:2]
        )  # (S, B, ...)
        if self.likelihood == "bernoulli":
            return bernoulli_log_prob(flat.expand(len(z), -1, -1), output)
        mean, log_variance = output.chunk(2, dim=-1)
        return gaussian_log_prob(flat, mean, log_variance)

    @abstractmethod
    def bound(
        self, x: Tensor, q: Recognition, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the objective, and the conditional-prior, z-prior and consistency terms, batch means."""

    def objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return the version's bound and its terms; in pretraining, the autoencoder's."""
        if self.pretraining:
            return self._autoencoder(x)
        q = self.recognise(x)
        draws = self.draw(x, q, generator)
        objective, conditional_prior, z_prior, violation = self.bound(x, q, draws)
        values = (
            draws.reconstruction,
            conditional_prior,
            draws.w_prior,
            z_prior,
            violation,
            objective,
        )
        return objective, {
            name: value.detach() for name, value in zip(self.terms, values, strict=True)
        }

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, D)."""
        q = self.recognise(x)
        return q.z_mean, q.z_log_variance

    def components(self, w: Tensor | None = None) -> Components:
        """Return the mixture at w (W,), or at w = 0 as in the papers' figures."""
        if w is None:
            w = self.streams.weight.new_zeros(self.style_size)
        means, log_variances = self.mixture_at(w)
        count = self.config.components
        return Components(means, log_variances.exp(), means.new_full((count,), 1 / count))

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Mean of p(x|z) for latents (B, D): (B, *shape)."""
        output = full_precision(self.decoder(z))
        mean = output.sigmoid() if self.likelihood == "bernoulli" else output.chunk(2, dim=-1)[0]
        return mean.unflatten(-1, self.shape)

    def sample(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Draw z from component c_i at w = 0 (figure 5a) and return the mean of p(x|z)."""
        mixture = self.components()
        noise = torch.randn((len(c), self.latent_size), generator=generator, device=c.device)
        return self.decode(mixture.means[c] + noise * mixture.variances[c].sqrt())

    def log_density(self, x: Tensor, generator: torch.Generator, draws: int = 500) -> Tensor | None:
        """Estimate log p(x) for a Gaussian likelihood by averaging p(x|z) over ancestral samples.

        Every component gives the same number of draws, `draws` in all, at w from its prior. None
        for Bernoulli likelihoods, and above two dimensions, where plain Monte Carlo says nothing.
        """
        if self.likelihood == "bernoulli" or math.prod(self.shape) > 2:
            return None
        each = max(1, draws // self.config.components)
        w = torch.randn((each, self.style_size), generator=generator, device=x.device)
        means, log_variances = self.mixture_at(w)  # (each, K, D)
        noise = torch.randn(means.shape, generator=generator, device=x.device)
        z = means + noise * torch.exp(0.5 * log_variances)
        mean, log_variance = full_precision(self.decoder(z.flatten(0, 1))).chunk(2, dim=-1)
        return monte_carlo_density(x.flatten(1), mean, log_variance)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means of q(z|x) and log-responsibilities, from one pass of the recognition network."""
        q = self.recognise(x)
        return q.z_mean, self.log_responsibilities_of(q)

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """Log-probability of each component given x: (B, K)."""
        return self.log_responsibilities_of(self.recognise(x))

    @abstractmethod
    def log_responsibilities_of(self, q: Recognition) -> Tensor:
        """Log-probability of each component given the recognition network's output: (B, K)."""
