"""VaDE: variational deep embedding, a VAE whose prior is a Gaussian mixture.

Jiang et al., arXiv:1611.05148. With the letters of this project:

    generative    c ~ Cat(pi);  z | c ~ N(mu_c, v_c);  x | z Bernoulli or Gaussian
    recognition   q(z|x) Gaussian;  gamma_c = q(c|x) = E_q(z|x) p(c|z)                 equation 16

    ELBO =  E_q(z|x) log p(x|z)                                              reconstruction
          - sum_c gamma_c KL( q(z|x) || N(mu_c, v_c) )                       conditional prior
          - KL( gamma || pi )                                                component prior

which is equation 12 with its terms gathered. mu_c, v_c and pi_c are free. They start from a Gaussian
mixture fitted to the latents of the pretrained autoencoder (section 3.2), with init=random of the
untrained one.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from mixviz.models.autoencoder import AutoencoderModel, PretrainedConfig, fitted_rows
from mixviz.models.base import Components, Terms
from mixviz.models.config import ModelConfig, Preset, setting
from mixviz.models.latent_fit import FittedMixture, as_array, fit_mixture, random_state
from mixviz.models.objectives import (
    categorical_uniform_kl,
    gaussian_kl,
    gaussian_log_prob,
    reparameterise,
)
from mixviz.models.start import NOISE, StartedModel, moments
from mixviz.models.start_config import StartConfig


class VaDEConfig(PretrainedConfig, StartConfig):
    """Settings of VaDE."""

    samples: int = setting(
        1,
        "Monte Carlo samples (S)",
        "Samples of z drawn for each observation; more make training steadier and slower.",
        paper="1",
        ge=1,
        le=100,
    )
    decay: float = setting(
        0.9,
        "Decay of the learning rate",
        "What the learning rate is multiplied by every ten epochs after pretraining.",
        paper="0.9",
        live=True,
        gt=0,
        le=1,
    )


class VaDE(StartedModel, AutoencoderModel):
    """A VAE with a mixture of Gaussians as prior, its responsibilities by Bayes' rule."""

    Config: ClassVar[type[ModelConfig]] = VaDEConfig
    title = "VaDE"
    variational = True
    terms = ("reconstruction", "conditional_prior", "component_prior", "z_prior", "objective")
    config: VaDEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "vade-arcs-laptop": Preset(
            "VaDE on arcs, K=5",
            "arcs",
            {"components": 5, "pretrain_epochs": 15, "epochs": 60, "batch_size": 200},
            "Two hidden layers of 120 units and D=2: the points have two dimensions.",
        ),
        "vade-digits-laptop": Preset(
            "VaDE on 8x8 digits, K=10",
            "digits",
            {
                "components": 10,
                "latent_size": 20,
                "init": "umap-gmm",
                "pretrain_epochs": 60,
                "teacher_epochs": 40,
                "learning_rate": 2e-3,
                "decay": 0.5,
                "epochs": 160,
                "batch_size": 50,
            },
            "A small network on 1,797 images, with twice the paper's D; clusters among UMAP coordinates "
            "teach for 40 epochs after the autoencoder, and the steps shrink faster.",
        ),
        "vade-mnist-laptop": Preset(
            "VaDE on MNIST in minutes, K=10",
            "mnist",
            {
                "components": 10,
                "init": "umap-gmm",
                "pretrain_epochs": 10,
                "teacher_epochs": 12,
                "decay": 0.1,
                "epochs": 30,
                "batch_size": 256,
            },
            "Two hidden layers of 256 units instead of 500-500-2000. After the autoencoder, clusters "
            "among UMAP coordinates teach for twelve epochs; eight more are on the bound alone, with "
            "small steps: with large ones it leaves the clusters.",
        ),
        "vade-mnist-paper": Preset(
            "VaDE, table 2: MNIST",
            "mnist",
            {
                "components": 10,
                "network": "paper",
                "pretrain_epochs": 50,
                "learning_rate": 2e-3,
                "decay": 0.9,
                "epochs": 350,
                "batch_size": 100,
            },
            "The paper pretrains layer by layer; here the whole autoencoder is trained at once. The "
            "numbers of epochs are ours.",
        ),
    }

    def __init__(self, config: VaDEConfig, shape: tuple[int, ...], generator: torch.Generator):
        """Build the networks; `prepare` places the components."""
        super().__init__(config, shape, generator)
        size = (config.components, self.latent_size)
        self.means = nn.Parameter(torch.zeros(size))
        self.log_variances = nn.Parameter(torch.zeros(size))
        self.logits = nn.Parameter(torch.zeros(config.components))
        self.expect_teacher()

    def prepare(self, x: Tensor, generator: torch.Generator) -> None:
        """Place the components among the latents; `refit` finds the clusters that teach."""
        AutoencoderModel.prepare(self, x, generator)

    def log_posterior(self, z: Tensor) -> Tensor:
        """log p(c|z) by Bayes' rule for latents (..., D): (..., K)."""
        log_joint = self.logits.log_softmax(-1) + gaussian_log_prob(
            z.unsqueeze(-2), self.means, self.log_variances
        )
        return log_joint.log_softmax(-1)

    def objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return the ELBO and its terms; while pretraining, the autoencoder's reconstruction.

        `z_prior` is KL(gamma || 1/K): how many nats the clusters tell, whatever pi is. The
        conditional prior waits for the end of pretraining, which trains no variance of q(z|x).
        """
        mean, log_variance = self.encoded(x)
        if self.pretraining:
            reconstruction = objective = self.reconstruction(x, mean).mean()
            with torch.no_grad():
                log_gamma = self.log_posterior(mean)
            terms = {"reconstruction": reconstruction}
        else:
            z = reparameterise(mean, log_variance, self.config.samples, generator)  # (S, B, D)
            reconstruction = self.log_likelihood(x, z).mean()
            log_gamma = self.log_posterior(z).logsumexp(0) - math.log(len(z))  # (B, K)
            z_kl = gaussian_kl(
                mean.unsqueeze(-2), log_variance.unsqueeze(-2), self.means, self.log_variances
            )  # (B, K)
            conditional_prior = (log_gamma.exp() * z_kl).sum(-1).mean()
            objective = reconstruction - conditional_prior - self.component_prior(log_gamma)
            terms = {"reconstruction": reconstruction, "conditional_prior": conditional_prior}
        terms |= {
            "component_prior": self.component_prior(log_gamma),
            "z_prior": categorical_uniform_kl(log_gamma).mean(),
            "objective": objective,
        }
        return objective, {name: value.detach() for name, value in terms.items()}

    def component_prior(self, log_gamma: Tensor) -> Tensor:
        """KL(gamma || pi), mean over the batch, for log-responsibilities (B, K)."""
        log_pi = self.logits.log_softmax(-1)
        return (log_gamma.exp() * (log_gamma - log_pi)).sum(-1).mean()

    @property
    def epochs_over(self) -> int:
        """Epochs that are done, those of pretraining included."""
        return self.counted(self.epochs_done)

    def rate(self) -> float:
        """Step size: after pretraining it decays every ten epochs (section 4.3)."""
        return super().rate() * self.config.decay ** (self.own_epochs // 10)

    def end_epoch(self, epoch: int, x: Tensor, generator: torch.Generator) -> None:
        """Refit while pretraining; when it is over, give the variances a start too."""
        before = self.pretraining
        super().end_epoch(epoch, x, generator)
        if before and not self.pretraining:
            self.start_variances(x[fitted_rows(x, generator)], generator)
        self.teach_no_longer()

    @torch.no_grad()
    def start_variances(self, x: Tensor, generator: torch.Generator) -> None:
        """Start q(z|x) narrower than the components, and p(x|z) as wide as its errors are.

        The autoencoder has trained neither. Variances that have nothing to do with the scale of
        the latents and the data would blur the clusters before they are learned.
        """
        mixture = self.components()
        within = mixture.weights @ mixture.variances  # (D,)
        _start_output(self.encoder, (NOISE * within).log())
        if self.likelihood == "gaussian":
            mean, log_variance = self.encoded(x)
            z = reparameterise(mean, log_variance, 1, generator)[0]
            errors = (self.decode(z) - x).flatten(1).square().mean(0)
            _start_output(self.decoder, errors.clamp(min=1e-6).log())

    @torch.no_grad()
    def refit(self, x: Tensor, generator: torch.Generator, restarts: int = 1) -> None:
        """Put the components where a Gaussian mixture finds the latents, or the teacher's clusters."""
        if self.config.teaches and not self.pretraining:
            codes = self.latents(x)
            self.find_clusters(x, generator, codes)
            if len(self.responsibilities) and bool(codes.isfinite().all()):
                rows = fitted_rows(x, generator)
                self._place(moments(as_array(codes[rows]), as_array(self.responsibilities[rows])))
            return
        latents = self.fitted_latents(x, generator)
        seed = random_state(generator)
        if latents is None:
            return
        mixture = self.components()
        state = (mixture.means, mixture.variances.diag_embed(), mixture.weights)
        # With full covariances the fit finds far better clusters; their diagonals are the start.
        fitted = fit_mixture(
            latents,
            self.config.components,
            random_state=seed,
            before=FittedMixture(*map(as_array, state)) if self.fitted else None,
            full=True,
            restarts=restarts,
        )
        self._place(fitted)

    def _place(self, fitted: FittedMixture) -> None:
        """Take over a fitted mixture, of its covariances the diagonals."""
        means, covariances, weights = map(torch.from_numpy, fitted)
        variances = covariances.diagonal(dim1=1, dim2=2)
        self.means.copy_(means)
        self.log_variances.copy_(variances.log())
        self.logits.copy_(weights.log())

    def components(self) -> Components:
        """Return the prior of z."""
        values = (self.means, self.log_variances.exp(), self.logits.softmax(-1))
        return Components(*(value.detach() for value in values))


def _start_output(network: nn.Module, log_variances: Tensor) -> None:
    """Let the second stream of a network's last layer be the same for all its inputs."""
    last = list(network.children())[-1]
    assert isinstance(last, nn.Linear)
    count = len(log_variances)
    last.weight[count:] = 0
    last.bias[count:] = log_variances
