"""Matching Priors and Conditionals for Clustering (MPCC): a GAN with a mixture prior and an encoder.

Astorga et al., ECCV 2020. With the letters of this project:

    generation  p(c) p(z|c) p(x|z, c),  p(c) = 1/K,  p(z|c) = N(mu_c, s_c^2), learned
    inference   q(c|z) q(z|x) q(x),  q(z|x) Gaussian,  q(c|z) = softmax_c log N(z; mu_c, s_c^2)

The reverse divergence between the two joints, equation 5, has three parts:

    loss I    p(x) against q(x), a hinge game, equation 6:
              discriminator  E relu(1 - D(x)) + E relu(1 + D(x~));  generator  -E D(x~)
    loss II   -E log q(z|x~), equation 7, over the size of x, and -E log q(c|z), equations 8 and 9
    loss III  lambda_p 1/(K D) sum_cd -1/2 (1 + log 2 pi s_cd^2), equation 10

One training step is one iteration of algorithm 1. Its batch is cut into one part for each of the
discriminator's steps: the batch size of the run is the paper's times `d_steps`. As in the authors'
program s = exp(l/2) + 0.5 with l = 1 at the start, and, against line 26 of algorithm 1, the first step
of the encoder reaches the prior through z in -log q(z|x~) too, but not through x~.
"""

from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mixviz.models.base import Components, Terms, halved
from mixviz.models.config import ModelConfig, Preset
from mixviz.models.mpcc_config import MPCC_PRESETS, AIMConfig, MPCCConfig
from mixviz.models.mpcc_prior import LearnedPrior, Prior
from mixviz.models.networks.mpcc import (
    Critic,
    EncoderHead,
    GeneratorNetwork,
    average,
    averaged,
    forget_standing_statistics,
    plan_for,
    shared_blocks,
    start,
    use_standing_statistics,
)
from mixviz.models.objectives import (
    check_pixels,
    full_precision,
    gaussian_kl,
    gaussian_log_prob,
    reparameterise,
)
from mixviz.models.start import Lesson, TaughtModel

_LESSON_DEVIATION = 0.5  # of x around the generator's, in a range of 2
_LESSON_WEIGHT = 10.0  # of the cross-entropy beside the bound
_STANDING_BATCH = 50  # latents in a pass for standing statistics, the paper's batch


class MPCC(TaughtModel):
    """A GAN whose prior is a mixture, with an encoder that inverts it."""

    Config: ClassVar[type[ModelConfig]] = MPCCConfig
    title: ClassVar[str] = "MPCC"
    terms: ClassVar[tuple[str, ...]] = (
        "discriminator_loss",
        "generator_loss",
        "latent_reconstruction",
        "cross_entropy",
        "prior_entropy",
    )
    presets: ClassVar[dict[str, Preset]] = MPCC_PRESETS
    teacher_strength = 1.0
    conditional: ClassVar[bool] = True  # on c, in p(x|z, c)
    config: AIMConfig

    def __init__(self, config: AIMConfig, shape: tuple[int, ...], generator: Generator):
        """Build the networks for data of `shape`, their weights drawn from `generator`."""
        super().__init__()
        self.config, self.shape = config, shape
        self.image = len(shape) == 3
        plan = self.plan = plan_for(config.network, config.width, shape)
        self.latent_size = config.latent_size or plan.latent_size(shape)
        rows = config.components if self.conditional else 1
        self.generator = GeneratorNetwork(
            plan, self.latent_size, rows, config.conditioning, blocks=2
        )
        self.shared = shared_blocks(plan)
        self.critic = Critic(plan)
        self.own = nn.Sequential() if config.share_blocks else shared_blocks(plan)
        self.encoder = EncoderHead(plan, self.latent_size)
        start(self, generator)
        self.prior = self.make_prior(generator)
        self.average = averaged(self.generator)
        self.iterations = nn.Buffer(torch.zeros((), dtype=torch.int64))
        self.epochs = nn.Buffer(torch.zeros((), dtype=torch.int64))
        passes = (config.standing_passes, _STANDING_BATCH, self.latent_size)
        self.standing_noise = nn.Buffer(torch.randn(passes, generator=generator))
        size = (1,) if self.image else shape
        self.offset = nn.Buffer(torch.full(size, 0.5 if self.image else 0.0))
        self.scale = nn.Buffer(torch.full(size, 0.5 if self.image else 1.0))
        self._standing = False
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        self.expect_teacher()
        self.register_load_state_dict_post_hook(_loaded)

    def make_prior(self, generator: Generator) -> Prior:
        """Return p(z|c), its start drawn from `generator`."""
        return LearnedPrior(self.config, self.latent_size, generator)  # type: ignore[arg-type]

    def check_data(self, x: Tensor) -> None:
        """Refuse images that the generator, which ends in a hyperbolic tangent, cannot make."""
        if self.image:
            check_pixels(x)

    def prepare(self, x: Tensor, generator: Generator) -> None:
        """Take mean and deviation of each feature, by which vectors are standardised.

        Then find the clusters that teach.
        """
        if not self.image:
            deviation = x.std(0, correction=0)
            self.offset.copy_(x.mean(0))
            self.scale.copy_(torch.where(deviation > 0, deviation, 1.0))
        super().prepare(x, generator)

    # ---- data as the networks see them -------------------------------------------------------

    def _inward(self, x: Tensor) -> Tensor:
        """Pixels from [0, 1] to [-1, 1] and padded with black, vectors standardised."""
        x = (x - self.offset) / self.scale
        if self.plan.side is None:
            return x.flatten(1)
        return functional.pad(x, self.plan.margins(self.shape), value=-1.0)

    def _outward(self, x: Tensor) -> Tensor:
        """Undo `_inward`: (B, *shape)."""
        if self.plan.side is None:
            x = x.unflatten(1, self.shape)
        else:
            margins = self.plan.margins(self.shape)
            x = functional.pad(x, [-margin for margin in margins])
        return x * self.scale + self.offset

    # ---- the networks ------------------------------------------------------------------------

    def generate(self, network: GeneratorNetwork, z: Tensor, c: Tensor) -> Tensor:
        """x~ of p(x|z, c), as the networks see it, for z (B, D) and c (B,)."""
        x = full_precision(network(z, c))
        return x.tanh() if self.image else x

    def discriminate(self, x: Tensor) -> Tensor:
        """D(x), positive for data: (B,)."""
        return full_precision(self.critic(self.shared(x)))

    def infer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, D), for x as the networks see it."""
        trunk = self.shared if self.config.share_blocks else self.own
        mean, log_variance = self.encoder(trunk(x))
        return full_precision(mean), full_precision(log_variance)

    def draw(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw `count` pairs of z (count, D) and c (count,) from the prior."""
        device = self.standing_noise.device
        c = torch.randint(self.config.components, (count,), generator=generator, device=device)
        return self.prior.draw(c, generator), c

    # ---- the losses --------------------------------------------------------------------------

    def discriminator_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Loss I for the discriminator, on x (B, ...) as the networks see it."""
        with torch.no_grad():
            z, c = self.draw(len(x), generator)
            fake = self.generate(self.generator, z, c)
        real_output, fake_output = self.discriminate(torch.cat([x, fake])).chunk(2)
        return functional.relu(1 - real_output).mean() + functional.relu(1 + fake_output).mean()

    def generator_loss(self, count: int, generator: Generator) -> Tensor:
        """Loss I for generator and prior."""
        return -self.discriminate(
            self.generate(self.generator, *self.draw(count, generator))
        ).mean()

    def latent_loss(self, z: Tensor, c: Tensor) -> Tensor:
        """-E log q(z|x~), equation 7, in nats; x~ is made without gradient, z is not."""
        with torch.no_grad():
            x = self.generate(self.generator, z, c)
        return -gaussian_log_prob(z, *self.infer(x)).mean()

    def cross_entropy(self, z: Tensor, c: Tensor) -> Tensor:
        """-E log q(c|z), equation 8, in nats."""
        return functional.nll_loss(self.prior.log_posterior(z), c)

    # ---- training ----------------------------------------------------------------------------

    def training_step(self, x: Tensor, generator: Generator) -> Terms:
        """Do one iteration of algorithm 1, a part of the batch for each discriminator step."""
        count = max(2, len(x) // self.config.d_steps)  # batch norm needs two
        rows = torch.arange(self.config.d_steps * count, device=x.device) % len(x)
        discriminator_losses = []
        for part in self._inward(x)[rows].split(count):
            loss = self.discriminator_loss(part, generator)
            self._descend(loss, "discriminator")
            discriminator_losses.append(loss.detach())
        generator_loss = self.generator_loss(count, generator)
        self._descend(generator_loss, "generator")
        latent_losses, prior_terms = self._encoder_steps(count, generator)
        taught = self._learn(x, generator)
        self.iterations.add_(1)
        averaging = self.iterations >= self.config.ema_start
        average(self.average, self.generator, 1 - self.config.ema_decay * averaging)
        self.forget_standing()
        values = (
            torch.stack(discriminator_losses).mean(),
            generator_loss.detach(),
            torch.stack(latent_losses).mean(),
            *prior_terms,
        )
        return dict(zip(self.terms, values, strict=True)) | taught

    def _learn(self, x: Tensor, generator: Generator) -> Terms:
        """Take a step up the bound of x and its cluster, while there is a teacher.

        The generator has no loss in which q(c|z) of data shows: teaching q(c|x) alone would leave it as
        it is. Here it learns to decode each component as the data of one cluster.
        """
        lesson = self.lesson(x, generator)
        if lesson is None:
            return {}
        loss, cross_entropy = self.lesson_loss(lesson._replace(x=self._inward(lesson.x)), generator)
        self._descend(lesson.weight * loss / self.plan.size, "generator", "encoder")
        return {"teacher": cross_entropy.detach()}

    def lesson_loss(self, lesson: Lesson, generator: Generator) -> tuple[Tensor, Tensor]:
        """Negative bound of log p(x, c), and -E log q(c|z), in nats, for x as the networks see it.

        x has a Gaussian likelihood around the generator's.
        """
        _, x, target = lesson
        mean, log_variance = self.infer(x)
        z = reparameterise(mean, log_variance, 1, generator)[0]
        made = self.generate(self.generator, z, target.argmax(1))
        error = (x - made).square().flatten(1).sum(1) / (2 * _LESSON_DEVIATION**2)
        spread = 2 * self.prior.deviations().log()
        apart = gaussian_kl(mean.unsqueeze(1), log_variance.unsqueeze(1), self.prior.means, spread)
        cross_entropy = lesson.cross_entropy(self.prior.log_posterior(mean))
        known = target.sum(-1)  # 0 for observations that have no teacher
        loss = (known * error + (target * apart).sum(-1)).mean() + _LESSON_WEIGHT * cross_entropy
        return loss, cross_entropy

    def _encoder_steps(
        self, count: int, generator: Generator
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Loss II of each step of the encoder, and the terms of the prior, which has one step."""
        losses = []
        terms: tuple[Tensor, ...] = ()
        for step in range(self.config.e_steps):
            with torch.set_grad_enabled(step == 0):
                z, c = self.draw(count, generator)
            latent = self.latent_loss(z, c)
            losses.append(latent.detach())
            loss = latent / self.plan.size
            if step == 0:
                prior_loss, terms = self.prior_loss(z, c)
                self._descend(loss + prior_loss, "encoder", "prior")
            else:
                self._descend(loss, "encoder")
        return losses, terms

    def prior_loss(self, z: Tensor, c: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What only the prior minimises, and its terms, detached."""
        config = self.config
        assert isinstance(config, MPCCConfig)
        cross_entropy, entropy = self.cross_entropy(z, c), self.prior.negative_entropy()
        loss = cross_entropy + config.prior_weight * entropy
        return loss, (cross_entropy.detach(), -entropy.detach())

    def _descend(self, loss: Tensor, *names: str) -> None:
        """Take a step of the named optimisers, where there are such, down the loss."""
        chosen = [self._optimizers[name] for name in names if name in self._optimizers]
        parameters = [p for o in chosen for group in o.param_groups for p in group["params"]]
        for optimizer in chosen:
            optimizer.zero_grad()
        # Not torch.autograd.grad, whose gradients may lie otherwise in memory than their parameters:
        # the fused Adam then takes each number for another's.
        loss.backward(inputs=parameters)
        for optimizer in chosen:
            optimizer.step()

    def end_epoch(self, epoch: int, x: Tensor, generator: Generator) -> None:
        """Set the learning rates of the next epoch."""
        self.epochs.fill_(epoch)
        self.set_rates()
        self.teach_no_longer()

    @property
    def epochs_over(self) -> int:
        """Epochs that are done."""
        return self.counted(self.epochs)

    def evaluate_terms(self, x: Tensor, generator: Generator) -> Terms:
        """Return the terms; the generator that trains makes x~, not the averaged one."""
        rows = torch.arange(max(2, len(x)), device=x.device) % len(x)
        x = self._inward(x)[rows]
        adversarial = self.discriminator_loss(x, generator), self.generator_loss(len(x), generator)
        z, c = self.draw(len(x), generator)
        values = *adversarial, self.latent_loss(z, c), *self.prior_loss(z, c)[1]
        return dict(zip(self.terms, values, strict=True))

    # ---- answers -----------------------------------------------------------------------------

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, D)."""
        return self.infer(self._inward(x))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means of q(z|x) and log q(c|z) at them."""
        mean, _ = self.posterior(x)
        return mean, self.prior.log_posterior(mean)

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """log q(c|z) at the mean of q(z|x): (B, K)."""
        return self.encode(x)[1]

    def components(self) -> Components:
        """Return the prior."""
        means = self.prior.means.detach()
        count = self.config.components
        variances = self.prior.deviations().detach().square()
        return Components(means, variances, means.new_full((count,), 1 / count))

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """x of the averaged generator; c, where not given, is the most probable under q(c|z)."""
        if not self._standing:
            use_standing_statistics(self.average, self.prior.standing(self.standing_noise))
            self._standing = True
        if c is None:
            c = self.prior.log_posterior(z).argmax(1)
        return self._outward(self.generate(self.average, z, c))

    def sample(self, c: Tensor, generator: Generator) -> Tensor:
        """Draw z from component c_i and return x of the averaged generator."""
        return self.decode(self.prior.draw(c, generator), c)

    def forget_standing(self) -> None:
        """Have the standing statistics taken anew before the next answer."""
        self._standing = False
        forget_standing_statistics(self.average)

    def train(self, mode: bool = True) -> "MPCC":
        """Set the mode of the networks that train; the averaged generator stays in evaluation."""
        super().train(mode)
        self.average.eval()
        self.forget_standing()
        return self

    # ---- optimisers --------------------------------------------------------------------------

    def make_optimizers(self) -> None:
        """Make the four optimisers; blocks that are shared belong to two, the prior to two."""
        trunk = self.shared if self.config.share_blocks else self.own
        prior = list(self.prior.parameters())
        owned = {
            "discriminator": [*self.shared.parameters(), *self.critic.parameters()],
            "generator": [*self.generator.parameters(), *prior],
            "encoder": [*trunk.parameters(), *self.encoder.parameters()],
            "prior": prior,
        }
        self._optimizers = {
            name: torch.optim.Adam(
                parameters,
                betas=(self.config.first_moment, 0.999),
                fused=True,
            )
            for name, parameters in owned.items()
            if parameters
        }
        self.set_rates()

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers by name."""
        return dict(self._optimizers)

    def set_live(self, name: str, value: float) -> None:
        """Change a live setting; learning rates reach their optimisers."""
        super().set_live(name, value)
        self.set_rates()

    def set_rates(self) -> None:
        """Give every optimiser its learning rate, halved as often as the epochs ask for."""
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                setting = "prior_learning_rate" if name == "prior" else "learning_rate"
                rate = getattr(self.config, setting)
                group["lr"] = halved(rate, self.counted(self.epochs), self.config.halve_every)


def _loaded(model: nn.Module, _: object) -> None:
    """Bring what follows from the state up to date."""
    assert isinstance(model, MPCC)
    model.forget_standing()
    model.set_rates()
