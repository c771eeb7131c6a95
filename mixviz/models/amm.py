"""Adversarially learned mixture model (AMM): two joints of (x, c, z), matched by one discriminator.

Anonymous, "Adversarially Learned Mixture Model" (ICLR 2019 submission), sections 2.2 and 4:

    inference   q(x) q(c|x) q(z|x, c)   (equation 6)   or   q(x) q(z|x) q(c|x, z)   (equation 7)
    synthesis   p(c) p(z|c) p(x|c, z)   (equation 11)

    discriminator   -E_q log D(x, c, z) - E_p log(1 - D(x, c, z)) + lambda penalty
    p(z|c), p(x|c, z)                                          -E_p log D(x, c, z)
    encoder                                              -E_q log(1 - D(x, c, z))

The penalty, equation 18, is E (|grad_(x, c, z) logit D| - 1)^2 at points on straight lines between
samples of the two joints. All three are updated at once from the same samples, as in algorithm 1.
"""

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mixviz.models.amm_config import PRESETS, AMMConfig
from mixviz.models.base import Components, Terms, halved
from mixviz.models.config import ModelConfig, Preset
from mixviz.models.networks.amm import (
    ComponentNetwork,
    Decoder,
    Discriminator,
    Encoder,
    initialise_normal,
)
from mixviz.models.networks.amm_tables import amm_architecture
from mixviz.models.objectives import (
    check_pixels,
    full_precision,
    gaussian_draw,
    gaussian_log_prob,
    reparameterise,
)
from mixviz.models.start import Lesson, TaughtModel

_LEAST_LOG_C = -1e4  # of what a lesson says of p(c|z)


class Inference(NamedTuple):
    """What the encoder makes of observations."""

    c_mean: Tensor  # (B, K), of the Gaussian logits
    c_log_variance: Tensor  # (B, K)
    c: Tensor  # (B, K), on the simplex
    z_mean: Tensor  # (B, D)
    z_log_variance: Tensor  # (B, D)
    z: Tensor  # (B, D)


class Joint(NamedTuple):
    """Samples of one of the joint distributions."""

    x: Tensor  # (B, *shape)
    c: Tensor  # (B, K)
    z: Tensor  # (B, D)


class Game(NamedTuple):
    """Samples of the inference and of the synthesis joint, and who tells them apart."""

    q: Joint
    p: Joint
    discriminator: Discriminator


class AMM(TaughtModel):
    """Encoder, components, decoder and discriminator, each updated by its own player."""

    Config: ClassVar[type[ModelConfig]] = AMMConfig
    title: ClassVar[str] = "AMM"
    terms: ClassVar[tuple[str, ...]] = (
        "discriminator_loss",
        "generator_loss",
        "encoder_loss",
        "gradient_penalty",
        "d_inference",
        "d_synthesis",
        "bayes_agreement",
    )
    presets: ClassVar[dict[str, Preset]] = PRESETS
    teacher_strength = 10.0
    config: AMMConfig
    class_frequencies: Tensor  # (K,), p(c)
    fixed_means: Tensor  # (K, D), where the components are not learned
    mixture: ComponentNetwork  # where they are

    def __init__(self, config: AMMConfig, shape: tuple[int, ...], generator: Generator):
        """Build the networks for data of `shape`, their weights drawn from `generator`."""
        super().__init__()
        self.config, self.shape = config, shape
        rows = amm_architecture(config.network, shape)
        self.latent_size = config.latent_size or rows.latent_size
        sizes = (shape, config.components, self.latent_size)
        self.z_given_c = config.factorisation == "z_given_c"
        self.encoder = Encoder(rows, *sizes, self.z_given_c, embed=self.semi_supervised)
        self.decoder = Decoder(rows, *sizes)
        self.discriminator = self.make_discriminator()
        if config.mixture == "learned":
            self.mixture = ComponentNetwork(rows, config.components, self.latent_size)
        else:
            self.register_buffer("fixed_means", torch.zeros(config.components, self.latent_size))
        uniform = torch.full((config.components,), 1 / config.components)
        self.register_buffer("class_frequencies", uniform)
        counted = config.teaches or config.halve_every is not None
        self.epochs = nn.Buffer(torch.zeros((), dtype=torch.int64), persistent=counted)
        self.expect_teacher()
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        self.register_load_state_dict_post_hook(_loaded)
        initialise_normal(self, config.weight_deviation, generator)
        with torch.no_grad():
            log_variances = self.encoder.c_head.bias[config.components :]
            log_variances.fill_(2 * math.log(config.logit_deviation))
        self._spread_components(generator)

    def make_discriminator(self) -> Discriminator:
        """Return a discriminator for the model's (x, c, z)."""
        rows = amm_architecture(self.config.network, self.shape)
        return Discriminator(rows, self.shape, self.config.components, self.latent_size)

    @torch.no_grad()
    def _spread_components(self, generator: Generator) -> None:
        spread = self.config.component_spread
        if self.config.mixture == "fixed":
            self.fixed_means.normal_(0.0, spread, generator=generator)
        elif spread:
            units = 1 if self.mixture.log_variance is not None else self.mixture.mean.in_features
            self.mixture.mean.weight.normal_(0.0, spread / math.sqrt(units), generator=generator)

    def check_data(self, x: Tensor) -> None:
        """Refuse images that the decoder, which ends in a sigmoid, cannot make."""
        if len(self.shape) == 3:
            check_pixels(x)

    # ---- inference joint -------------------------------------------------------------------

    def infer(self, x: Tensor, generator: Generator | None) -> Inference:
        """Draw c and z given x (B, *shape); without a generator, take the means instead.

        c is the softmax of Gaussian logits, equations 8 and 9; z is Gaussian, equation 10, where it sees
        c it is in place of the logits.
        """
        encoder, columns = self.encoder, self.encoder.columns
        shared = encoder.shared(x, generator)
        first, outputs = columns.lead(shared, generator)
        if self.z_given_c:
            c_mean, c_log_variance, logits = gaussian_draw(
                encoder.c_head(first.flatten(1)), generator
            )
            c = logits.softmax(-1)
            last = columns.follow(shared, outputs, generator, encoder.shift(c))
            z_mean, z_log_variance, z = gaussian_draw(encoder.z_head(last.flatten(1)), generator)
        else:
            z_mean, z_log_variance, z = gaussian_draw(encoder.z_head(first.flatten(1)), generator)
            last = columns.follow(shared, outputs, generator)
            c_mean, c_log_variance, logits = gaussian_draw(
                encoder.c_head(last.flatten(1)), generator
            )
            c = logits.softmax(-1)
        return Inference(c_mean, c_log_variance, c, z_mean, z_log_variance, z)

    def inference(self, x: Tensor, generator: Generator) -> Joint:
        """Sample the inference joint for observations (B, *shape)."""
        q = self.infer(x, generator)
        return Joint(x, q.c, q.z)

    # ---- synthesis joint -------------------------------------------------------------------

    def component_parameters(self, c: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(z|c) for one-hot c (B, K), each (B, D); equation 12."""
        if self.config.mixture == "learned":
            mean, log_variance = self.mixture(c, generator)
            return full_precision(mean), full_precision(log_variance)
        mean = c @ self.fixed_means
        return mean, torch.zeros_like(mean)

    def synthesise(self, c: Tensor, generator: Generator) -> Joint:
        """Sample p(z|c) p(x|c, z) for components (B,)."""
        one_hot = functional.one_hot(c, self.config.components).to(self.class_frequencies.dtype)
        mean, log_variance = self.component_parameters(one_hot, generator)
        z = reparameterise(mean, log_variance, 1, generator)[0]
        return Joint(full_precision(self.decoder(one_hot, z, generator)), one_hot, z)

    def synthesis(self, count: int, generator: Generator) -> Joint:
        """Sample the synthesis joint, `count` times."""
        c = torch.multinomial(self.class_frequencies, count, replacement=True, generator=generator)
        return self.synthesise(c, generator)

    # ---- the game --------------------------------------------------------------------------

    def games(self, x: Tensor, generator: Generator) -> list[Game]:
        """Sample the games that are played for observations (B, *shape): here there is one."""
        q = self.inference(x, generator)
        return [Game(q, self.synthesis(len(x), generator), self.discriminator)]

    def play(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Terms]:
        """Return the loss of the discriminator, that of all others, and the terms.

        Of several games each counts alike: losses and terms are their means.
        """
        games = self.games(x, generator)
        values = torch.stack([self._values(game, generator) for game in games]).mean(0)
        discriminator, generators, encoder, penalty = values[:4]
        seen = (*values.detach(), self.bayes_agreement(x))
        weighted = self.config.penalty_weight * penalty
        return (
            discriminator + weighted,
            generators + encoder,
            dict(zip(AMM.terms, seen, strict=True)),
        )

    def _values(self, game: Game, generator: Generator) -> Tensor:
        """The terms of one game, without the agreement of the classifiers: (6,)."""
        both = Joint(*(torch.cat(pair) for pair in zip(game.q, game.p, strict=True)))
        logits_q, logits_p = game.discriminator(*both, generator).split(len(game.q.x))
        # softplus(-a) is -log D and softplus(a) is -log(1 - D) at the logit a.
        discriminator = functional.softplus(-logits_q).mean() + functional.softplus(logits_p).mean()
        # One backward pass serves both: p does not depend on the encoder, nor q on the others.
        generators = functional.softplus(-logits_p).mean()
        encoder = functional.softplus(logits_q).mean()
        penalty = gradient_penalty(game, generator)
        d_inference, d_synthesis = logits_q.sigmoid().mean(), logits_p.sigmoid().mean()
        return torch.stack([discriminator, generators, encoder, penalty, d_inference, d_synthesis])

    def training_step(self, x: Tensor, generator: Generator) -> Terms:
        """Update all players at once from the same samples (algorithm 1)."""
        discriminator_loss, other_loss, terms = self.play(x, generator)
        if lesson := self.lesson(x, generator):
            taught = self.lesson_loss(lesson)
            other_loss = other_loss + lesson.weight * taught
            terms["teacher"] = taught.detach()
        parameters = {
            name: [p for group in optimizer.param_groups for p in group["params"]]
            for name, optimizer in self._optimizers.items()
        }
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        discriminator_loss.backward(inputs=parameters["discriminator"], retain_graph=True)
        other_loss.backward(inputs=parameters["generators"] + parameters["encoder"])
        for optimizer in self._optimizers.values():
            optimizer.step()
        return terms

    def lesson_loss(self, lesson: Lesson) -> Tensor:
        """Mean cross-entropy of the head and of p(c|z), in nats; it reaches the encoder alone.

        Taught to the head alone, z lies in any component; q(c|x) follows it once the teacher is gone.
        """
        q = self.infer(lesson.x, None)
        with torch.no_grad():
            components = self._all_components()
        head = lesson.cross_entropy(q.c_mean.log_softmax(-1))
        # A component that no label was seen of has p(c) = 0.
        bayes = self._log_posterior(q.z_mean, components).clamp(min=_LEAST_LOG_C)
        return (head + lesson.cross_entropy(bayes)) / 2

    def evaluate_terms(self, x: Tensor, generator: Generator) -> Terms:
        """Return the terms of the game without an update."""
        return self.play(x, generator)[2]

    # ---- answers ---------------------------------------------------------------------------

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z given x, each (B, D); equation 6 at the most likely logits."""
        q = self.infer(x, None)
        return q.z_mean, q.z_log_variance

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """log p(c|x) by the classifier of `assignment`: (B, K)."""
        return self.encode(x)[1]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latent means and log-responsibilities from one pass of the encoder."""
        q = self.infer(x, None)
        bayes = self.config.assignment == "bayes"
        return q.z_mean, self._log_posterior(q.z_mean) if bayes else q.c_mean.log_softmax(-1)

    def classifiers(self, x: Tensor) -> dict[str, Tensor]:
        """Both classifiers, each (B, K): the head, and p(c|z) at the mean of z (equation 19)."""
        q = self.infer(x, None)
        return {"head": q.c_mean.log_softmax(-1), "bayes": self._log_posterior(q.z_mean)}

    @torch.no_grad()
    def bayes_agreement(self, x: Tensor) -> Tensor:
        """Share of observations (B, *shape) that both classifiers assign alike, as they answer."""
        training = self.training
        self.eval()
        q = self.infer(x, None)
        same = q.c_mean.argmax(1) == self._log_posterior(q.z_mean).argmax(1)
        self.train(training)
        return same.float().mean()

    def _log_posterior(self, z: Tensor, components: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """log p(c|z) for z (B, D), under means and log-variances each (K, D): (B, K)."""
        means, log_variances = components or self._all_components()
        log_joint = gaussian_log_prob(z.unsqueeze(-2), means, log_variances)
        return (log_joint + self.class_frequencies.log()).log_softmax(-1)

    def _all_components(self) -> tuple[Tensor, Tensor]:
        """Means and log-variances of p(z|c) as a trained model has them, each (K, D).

        In training too: K one-hot rows are no batch, by which batch norms should be moved.
        """
        training = self.training
        self.eval()
        one_hot = torch.eye(self.config.components, device=self.class_frequencies.device)
        found = self.component_parameters(one_hot, None)
        self.train(training)
        return found

    def components(self) -> Components:
        """Return p(z|c) and p(c)."""
        means, log_variances = self._all_components()
        return Components(means, log_variances.exp(), self.class_frequencies)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """x at latents (B, D) and components (B,), the most probable of p(c|z) if not given."""
        if c is None:
            c = self._log_posterior(z).argmax(1)
        one_hot = functional.one_hot(c, self.config.components).to(z.dtype)
        return full_precision(self.decoder(one_hot, z, None))

    def sample(self, c: Tensor, generator: Generator) -> Tensor:
        """Draw z from component c_i for each i and return x: (B, *shape)."""
        return self.synthesise(c, generator).x

    # ---- optimisers ------------------------------------------------------------------------

    def make_optimizers(self) -> None:
        """Make one Adam for each player."""
        self._optimizers = {
            name: torch.optim.Adam(
                [p for part in parts for p in part.parameters()],
                betas=(0.5, 0.999),
                fused=True,
            )
            for name, parts in self._players().items()
        }
        self.set_rate()

    def _players(self) -> dict[str, list[torch.nn.Module]]:
        learned = [self.mixture] if self.config.mixture == "learned" else []
        return {
            "discriminator": [self.discriminator],
            "generators": [self.decoder, *learned],
            "encoder": [self.encoder],
        }

    def set_live(self, name: str, value: float) -> None:
        """Change a live setting; the learning rate reaches the optimisers."""
        super().set_live(name, value)
        self.set_rate()

    def set_rate(self) -> None:
        """Give every optimiser the learning rate, halved as often as the epochs ask for."""
        config = self.config
        rate = halved(config.learning_rate, self.counted(self.epochs), config.halve_every)
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def end_epoch(self, epoch: int, x: Tensor, generator: Generator) -> None:
        """Set the learning rate of the next epoch."""
        self.epochs.fill_(epoch)
        self.set_rate()
        self.teach_no_longer()

    @property
    def epochs_over(self) -> int:
        """Epochs that are done."""
        return self.counted(self.epochs)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the three optimisers."""
        return dict(self._optimizers)


def _loaded(model: nn.Module, _: object) -> None:
    """Bring the learning rate up to date with the epochs that were loaded."""
    assert isinstance(model, AMM)
    model.set_rate()


@torch.enable_grad()
def gradient_penalty(game: Game, generator: Generator) -> Tensor:
    """Return E (|grad logit D| - 1)^2 between pairs of samples: (), equation 18."""
    q, p, discriminator = game
    at = torch.rand(len(q.x), generator=generator, device=q.x.device)
    points = []
    for one, other in zip(q, p, strict=True):
        share = at.view(-1, *[1] * (one.ndim - 1))
        points.append(torch.lerp(one.detach(), other.detach(), share).requires_grad_())
    logits = discriminator(*points, generator)
    slopes = torch.autograd.grad(logits.sum(), points, create_graph=True)
    slope = torch.cat([part.flatten(1) for part in slopes], dim=1)
    return (torch.linalg.vector_norm(slope, dim=1) - 1).square().mean()
