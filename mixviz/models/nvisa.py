"""NVISA: q(z|c,x) without mean field, learned by VIMCO, with annealed standard deviations.

Li et al., "Unsupervised Clustering through Gaussian Mixture Variational AutoEncoder with
Non-Reparameterized Variational Inference and Std Annealing". With the letters of this project:

    generative    c ~ Cat(1/K);  z | c ~ N(mu_c, s_c^2), s_c = softplus(.) + 1, both free   equation 2
                  x | z ~ N(mu(z), (softplus(.) + eps)^2), or Bernoulli
    recognition   q(c|x) q(z|c,x);  z | c, x ~ N(mu(x,c), (softplus(.) + eps)^2)            equation 4
    annealing     eps = start * factor^floor(epochs / period), at least the floor           section II-D
                  (a trained model answers with the eps of its last step)

and with f = log p(x,c,z) - log q(c|x) - log q(z|c,x), one of three bounds is maximised:

    enumerate     sum_c q(c|x) E_q(z|c,x)[f], z reparameterised                             equation 5
    nvil          E_q(c,z|x)[f] by score functions                                          equation 6
    vimco         E[log 1/S sum_s exp f_s] by score functions                               equation 7
"""

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mixviz.models.base import Components, Terms, halved
from mixviz.models.clusters import FITS
from mixviz.models.config import ModelConfig, Preset
from mixviz.models.latent_fit import MOST_FITTED, FittedMixture, quiet, random_state
from mixviz.models.networks import architecture, initialise
from mixviz.models.networks.nvisa import ComponentEncoder, baseline
from mixviz.models.nvisa_config import PRESETS, NVISAConfig
from mixviz.models.nvisa_estimators import monte_carlo_bound, nvil, vimco
from mixviz.models.objectives import (
    bernoulli_log_prob,
    categorical_uniform_kl,
    check_unit_interval,
    full_precision,
    gaussian_kl,
    gaussian_log_prob,
    monte_carlo_density,
    reparameterise,
)
from mixviz.models.shares import random_values
from mixviz.models.start import AT_ONCE, StartedModel, fit_classifier, moments

_LATENT_SIZE = 10  # section III-A, MNIST; the tables of the GMVAE papers have 200 for images
_FITTED_STD = 1.5  # of the latents within a component: the prior's are more than 1
_SMALLEST_STD = 1e-6  # of a code that the autoencoder leaves unused


class Recognition(NamedTuple):
    """Output of the recognition network."""

    log_c: Tensor  # (B, K), log q(c|x)
    mean: Tensor  # (B, K, D), of q(z|c,x)
    log_variance: Tensor  # (B, K, D)


class NVISA(StartedModel):
    """Gaussian-mixture VAE whose q(z|c,x) sees the component."""

    Config: ClassVar[type[ModelConfig]] = NVISAConfig
    title = "NVISA"
    config: NVISAConfig
    presets: ClassVar[dict[str, Preset]] = PRESETS
    terms = ("reconstruction", "conditional_prior", "z_prior", "bound", "eps")
    epochs: Tensor
    last_eps: Tensor

    def __init__(self, config: NVISAConfig, shape: tuple[int, ...], generator: torch.Generator):
        """Build the networks for data of `shape`, their weights drawn from `generator`."""
        super().__init__()
        self.config, self.shape = config, shape
        rows = architecture(config.network, shape)
        self.latent_size = config.latent_size or min(rows.latent_size, _LATENT_SIZE)
        self.likelihood = config.likelihood
        if self.likelihood == "auto":
            self.likelihood = "bernoulli" if len(shape) == 3 else "gaussian"
        count = config.components
        self.trunk, features = rows.trunk(shape)
        self.component_head = nn.Linear(features, count)
        self.latent_head = ComponentEncoder(features, count, self.latent_size, config.mean_field)
        self.decoder = rows.decoder(shape, self.latent_size, 2 if self._gaussian else 1)
        self.baseline = baseline(shape) if config.estimator == "nvil" else None
        initialise(self, generator)
        means = torch.randn((count, self.latent_size), generator=generator)
        self.prior_means = nn.Parameter(config.component_spread * means)
        self.prior_raw_stds = nn.Parameter(torch.zeros(count, self.latent_size))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        self.register_buffer("last_eps", torch.zeros(()))  # of the last step; 0 before the first
        self.expect_teacher()
        if config.autoencoder_epochs and self.latent_head.from_component is not None:
            # All q(z|c,x) are the autoencoder's code until there are components to tell apart.
            nn.init.zeros_(self.latent_head.from_component.weight)

    @property
    def _gaussian(self) -> bool:
        return self.likelihood == "gaussian"

    def check_data(self, x: Tensor) -> None:
        """Refuse data that the likelihood cannot have."""
        if not self._gaussian:
            check_unit_interval(x)

    # ---- schedules ---------------------------------------------------------------------------

    @property
    def epochs_over(self) -> int:
        """Epochs that are done, those of pretraining included."""
        return self.counted(self.epochs)

    @property
    def eps(self) -> float:
        """Lower bound of the standard deviations of p(x|z) and q(z|c,x), section II-D.

        Out of training it is that of the last step: the schedule may take its next step after it.
        """
        if not self.training and (last := float(self.last_eps)):
            return last
        config = self.config
        steps = math.floor(self.own_epochs / config.std_period)
        return max(config.std_floor, config.std_start * config.std_factor**steps)

    @property
    def rate(self) -> float:
        """Learning rate of the present epoch."""
        config = self.config
        return halved(config.learning_rate, self.own_epochs, config.halving_period)

    # ---- generative model and recognition ----------------------------------------------------

    def prior(self) -> tuple[Tensor, Tensor]:
        """Means and log-variances of p(z|c), each (K, D)."""
        return self.prior_means, 2 * (functional.softplus(self.prior_raw_stds) + 1).log()

    def recognise(self, x: Tensor) -> Recognition:
        """Parameters of q(c|x) and, for every c, of q(z|c,x)."""
        features = self.trunk(x)
        mean, raw_std = full_precision(self.latent_head(features)).chunk(
            2, dim=-1
        )  # (B, K, D) each
        log_c = full_precision(self.component_head(features)).log_softmax(-1)
        return Recognition(log_c, mean, self._log_variance(raw_std))

    def _log_variance(self, raw_std: Tensor) -> Tensor:
        return 2 * (functional.softplus(raw_std) + self.eps).log()

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of observations (B, *shape) at latents (..., B, D): (..., B)."""
        flat = x.flatten(1)
        output = full_precision(self.decoder(z.flatten(0, -2))).unflatten(0, z.shape[:-1])
        if not self._gaussian:
            return bernoulli_log_prob(flat.expand(*z.shape[:-1], -1), output)
        mean, raw_std = output.chunk(2, dim=-1)
        return gaussian_log_prob(flat, mean, self._log_variance(raw_std))

    # ---- objective ---------------------------------------------------------------------------

    def objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return what is maximised, whose gradient is the bound's, and the terms."""
        x = self._dequantised(x, generator)
        if self.pretraining:
            return self._autoencoder(x)
        q = self.recognise(x)
        kl = gaussian_kl(q.mean, q.log_variance, *self.prior())  # (B, K)
        if self.config.estimator == "enumerate":
            objective, bound, reconstruction = self._enumerated(x, q, kl, generator)
        else:
            objective, bound, reconstruction = self._sampled(x, q, generator)
        values = (
            reconstruction.mean(),
            (q.log_c.exp() * kl).sum(-1).mean(),
            categorical_uniform_kl(q.log_c).mean(),
            bound.mean(),
            bound.new_tensor(self.eps),
        )
        return objective.mean(), {
            name: value.detach() for name, value in zip(self.terms, values, strict=True)
        }

    def _enumerated(
        self, x: Tensor, q: Recognition, kl: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Equation 5, its divergences in closed form: objective, bound, reconstruction, each (B,)."""
        z = reparameterise(q.mean, q.log_variance, self.config.samples, generator)  # (S, B, K, D)
        each = self.log_likelihood(x, z.transpose(1, 2)).mean(0).T  # (B, K)
        weights = q.log_c.exp()
        reconstruction = (weights * each).sum(-1)
        divergences = (weights * kl).sum(-1) + categorical_uniform_kl(q.log_c)
        bound = reconstruction - divergences
        return bound, bound, reconstruction

    def _sampled(
        self, x: Tensor, q: Recognition, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Equation 6 or 7 with S samples of (c, z): objective, bound, reconstruction, each (B,)."""
        c = draw_components(q.log_c, self.config.samples, generator)  # (S, B)
        rows = torch.arange(len(x), device=x.device)
        mean, log_variance = q.mean[rows, c], q.log_variance[rows, c]  # (S, B, D)
        noise = random_values(Tensor.normal_, mean.shape, generator, mean, batch=1)
        z = mean + noise * torch.exp(0.5 * log_variance)
        path = self.config.estimator == "vimco" and self.config.reparameterise_z
        if not path:
            z = z.detach()
        prior_means, prior_log_variances = self.prior()
        log_q_c = q.log_c[rows, c]  # (S, B)
        log_q_z = gaussian_log_prob(z, mean, log_variance)
        log_likelihood = self.log_likelihood(x, z)
        log_p_z = gaussian_log_prob(z, prior_means[c], prior_log_variances[c])
        f = log_likelihood + log_p_z - math.log(self.config.components) - log_q_c - log_q_z
        if self.baseline is not None:
            objective = nvil(f, log_q_c + log_q_z, full_precision(self.baseline(x))[:, 0])
            return objective, f.mean(0), log_likelihood.mean(0)
        objective = vimco(f, log_q_c if path else log_q_c + log_q_z)
        return objective, monte_carlo_bound(f), log_likelihood.mean(0)

    def _dequantised(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images with uniform noise between their grey levels; without a generator, its mean."""
        levels = self.config.noise_levels
        if len(self.shape) != 3 or not levels:
            return x
        if generator is None:
            return (x * (levels - 1) + 0.5) / levels
        noise = random_values(Tensor.uniform_, x.shape, generator, x)
        return (x * (levels - 1) + noise) / levels

    def training_step(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Take one Adam step at the present learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.last_eps.fill_(0.0 if self.pretraining else self.eps)
        return super().training_step(x, generator)

    # ---- pretraining -------------------------------------------------------------------------

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take a checkpoint from before the last eps was kept."""
        state_dict.setdefault(f"{prefix}last_eps", torch.zeros_like(self.last_eps))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _autoencoder(self, x: Tensor) -> tuple[Tensor, Terms]:
        """Squared error, or Bernoulli log-likelihood, of decoding the code without noise."""
        code = full_precision(self.latent_head.without_component(self.trunk(x))).chunk(2, dim=-1)[0]
        output = full_precision(self.decoder(code))
        if self._gaussian:
            objective = -(output.chunk(2, dim=-1)[0] - x.flatten(1)).square().sum(-1).mean()
        else:
            objective = bernoulli_log_prob(x.flatten(1), output).mean()
        return objective, {"autoencoder_error": -objective.detach()}

    def end_epoch(self, epoch: int, x: Tensor, generator: torch.Generator) -> None:
        """Count the epoch; after the last of pretraining, find clusters and start from them."""
        self.epochs += 1
        if self.counted(self.epochs) == self.config.autoencoder_epochs:
            self.eval()
            self._start_from_clusters(x, generator)
            self.train()
            self.optimizer.state.clear()  # moments of another objective, in another scale
        self.teach_no_longer()

    @torch.no_grad()
    def _start_from_clusters(self, x: Tensor, generator: torch.Generator) -> None:
        """Copy clusters among the codes into p(z|c) and q(c|x).

        Section III-B copies networks and means; q(c|x), axes and deviations are this project's.
        Encoder and decoder are first given latent axes in which the mean covariance of a component
        is spherical: p(z|c) is diagonal, with standard deviations of more than 1. Codes that are
        not finite leave everything as it is; the terms show that training has diverged.
        """
        from sklearn.mixture import GaussianMixture  # two seconds

        if self.config.teaches:
            self.find_clusters(x, generator, self._codes(x)[1] if self.config.among_codes else None)
        order = torch.randperm(len(x), generator=generator, device=x.device)[:MOST_FITTED]
        seed = random_state(generator)
        features, codes = self._codes(x[order])
        points = codes.double().cpu().numpy()
        taught = not self.config.teaches or len(self.responsibilities)
        if not taught or not np.isfinite(points).all():
            return
        spread = points.std(0) + _SMALLEST_STD  # (D,)
        if self.config.teaches:
            responsibilities = self.responsibilities[order].double().cpu().numpy()
            mixture = moments(points / spread, responsibilities)
        else:
            with quiet():
                fitted = GaussianMixture(
                    self.config.components, n_init=FITS, reg_covar=1e-4, random_state=seed
                ).fit(points / spread)
            responsibilities = fitted.predict_proba(points / spread)
            mixture = FittedMixture(fitted.means_, fitted.covariances_, fitted.weights_)
        means, covariances, weights = map(torch.from_numpy, mixture)
        within = torch.einsum("k,kde->de", weights, covariances)
        axes = _FITTED_STD * torch.linalg.inv(torch.linalg.cholesky(within))  # (D, D)
        variances = torch.einsum("ed,kdf,ef->ke", axes, covariances, axes)

        scale = torch.from_numpy(spread)
        self.latent_head.change_axes((axes / scale).to(features))
        first = self.decoder.get_parameter("0.weight")
        first.copy_(first.double() @ (scale[:, None] * torch.linalg.inv(axes)).to(first.device))
        self.prior_means.copy_(means @ axes.T)
        # The inverse of softplus(.) + 1, for standard deviations of at least 1.01.
        self.prior_raw_stds.copy_((variances.sqrt() - 1).clamp(min=0.01).expm1().log())
        # Otherwise q(c|x) starts anywhere.
        fit_classifier(
            self.component_head, features, torch.from_numpy(responsibilities).to(features)
        )

    def _codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, F) and the autoencoder's codes (N, D) of observations (N, *shape)."""
        parts = [self.trunk(self._dequantised(part)) for part in x.split(AT_ONCE)]
        features = full_precision(torch.cat(parts))
        return features, self.latent_head.without_component(features).chunk(2, dim=-1)[0]

    # ---- answers -----------------------------------------------------------------------------

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means of q(z|c,x) at the most probable c, and log q(c|x)."""
        mean, _, log_c = self._answer(x)
        return mean, log_c

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|c,x) at the most probable c, each (B, D)."""
        mean, log_variance, _ = self._answer(x)
        return mean, log_variance

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """log q(c|x), whose largest is the assignment (section III-A): (B, K)."""
        return self._answer(x)[2]

    def _answer(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = self.recognise(self._dequantised(x))
        rows, c = torch.arange(len(x), device=x.device), q.log_c.argmax(-1)
        return q.mean[rows, c], q.log_variance[rows, c], q.log_c

    def components(self) -> Components:
        """Return p(z|c) for every c."""
        means, log_variances = (values.detach() for values in self.prior())
        return Components(means, log_variances.exp(), means.new_full((len(means),), 1 / len(means)))

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Mean of p(x|z) for latents (B, D): (B, *shape)."""
        output = full_precision(self.decoder(z))
        mean = output.chunk(2, dim=-1)[0] if self._gaussian else output.sigmoid()
        return mean.unflatten(-1, self.shape)

    def sample(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Draw z from p(z|c_i) for each i and return the mean of p(x|z): (B, *shape)."""
        means, log_variances = self.prior()
        noise = torch.randn((len(c), self.latent_size), generator=generator, device=c.device)
        return self.decode(means[c] + noise * torch.exp(0.5 * log_variances[c]))

    def log_density(
        self, x: Tensor, generator: torch.Generator, draws: int = 1000
    ) -> Tensor | None:
        """Estimate log p(x) for a Gaussian likelihood by averaging p(x|z) over ancestral samples.

        Every component gives the same number of draws, `draws` in all. None for Bernoulli
        likelihoods, and above two dimensions, where plain Monte Carlo says nothing.
        """
        if not self._gaussian or math.prod(self.shape) > 2:
            return None
        each = max(1, draws // self.config.components)
        z = reparameterise(*self.prior(), each, generator).flatten(0, 1)  # (draws, D)
        mean, raw_std = full_precision(self.decoder(z)).chunk(2, dim=-1)
        return monte_carlo_density(x.flatten(1), mean, self._log_variance(raw_std))


def draw_components(log_c: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Draw c from log-probabilities (B, K): (samples, B).

    The largest of log-probabilities with Gumbel noise: unlike `torch.multinomial` it does not raise
    where a model has diverged, so that the terms of the step can show it.
    """
    shape = (samples, *log_c.shape)
    gumbel = -random_values(Tensor.exponential_, shape, generator, log_c, batch=1).log()
    return (log_c.detach() + gumbel).argmax(-1)
