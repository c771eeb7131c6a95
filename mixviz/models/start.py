"""Starts: clusters that are found before a model's own training, and that its q(c|x) first learns.

`ae-gmm` is the start of NVISA and VaDE: an autoencoder of the model's own networks, then a Gaussian
mixture on its codes, which is copied. The starts with UMAP look for the mixture among coordinates that
keep neighbours together. Those coordinates are no latent space of the model, nor are the codes of an autoencoder that
is not part of it, so such clusters cannot be copied into it: their responsibilities r teach q(c|x)
through a term that fades away,

    objective - weight * E[ -sum_c r_c log q(c|x) ]

after which nothing is left but the objective of the model's paper.
"""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from mixviz.models.base import GradientModel, MixtureModel, Terms
from mixviz.models.clusters import coded_clusters, mapped_clusters
from mixviz.models.codes import learned_codes
from mixviz.models.latent_fit import FittedMixture, enough, random_state
from mixviz.models.shares import random_values
from mixviz.models.start_config import StartConfig, TeacherConfig

NOISE = 0.1  # share of the components' variance in which a q(z|x) starts
AT_ONCE = 1_000  # observations in one pass between epochs
_MOST_TAUGHT = 70_000  # observations; the others have no teacher
_FULL = 2 / 3  # share of its epochs in which the teacher has all its weight
_SHIFT, _TURN, _SCALE = 1 / 14, 12.0, 0.12  # of the side, degrees, share
_HEAD_DECAY = 1e-4  # keeps q(c|x) from certainty where the mixture is sure


class Lesson(NamedTuple):
    """What the teacher says of one batch."""

    weight: float  # of its cross-entropy
    x: Tensor  # (B, *shape), perhaps moved
    target: Tensor  # (B, K), responsibilities of the clusters

    def cross_entropy(self, log_c: Tensor) -> Tensor:
        """-E sum_c r_c log q(c|x) for log-probabilities (B, K), in nats."""
        return -(self.target * log_c).sum(-1).mean()


class TaughtModel(MixtureModel):
    """A model whose q(c|x) may be taught clusters before it is left to its own objective.

    Attributes
    ----------
    teacher_strength
        What one nat of what the teacher minimises is worth at first, in units of what the model does.
    responsibilities
        Of the clusters that were found first, (N, K), while they teach; else (0, K). Only models
        whose config says so have it.
    """

    teacher_strength: ClassVar[float]
    responsibilities: Tensor

    @property
    def teacher(self) -> TeacherConfig | None:
        """The settings of the teacher, where the config asks for one."""
        config = self.config
        return config if isinstance(config, TeacherConfig) and config.teaches else None

    @property
    def start(self) -> str:
        """The start that the config means: `random`, `ae-gmm`, `umap-gmm` or `ae-umap-gmm`."""
        return self.config.start if isinstance(self.config, TeacherConfig) else "random"

    @property
    def starts_from_clusters(self) -> bool:
        """Whether clusters are looked for in all the data before the model's own training."""
        return self.start != "random"

    def expect_teacher(self) -> None:
        """Make room for the teacher, where the config asks for one."""
        if self.teacher:
            empty = torch.zeros(0, self.config.components)
            self.register_buffer("responsibilities", empty)

    @property
    @abstractmethod
    def epochs_over(self) -> int:
        """Epochs that are done, those of pretraining included."""

    @property
    def own_epochs(self) -> int:
        """Epochs done since pretraining, or since clusters were found."""
        before = self.config.autoencoder_epochs if isinstance(self.config, TeacherConfig) else 0
        return max(0, self.epochs_over - before)

    @property
    def teacher_weight(self) -> float:
        """What one nat of what the teacher minimises is worth in the present epoch."""
        teacher = self.teacher
        if not teacher or not teacher.teacher_epochs or not len(self.responsibilities):
            return 0.0
        left = 1 - self.own_epochs / teacher.teacher_epochs
        return self.teacher_strength * min(1.0, max(0.0, left) / (1 - _FULL))

    def lesson(self, x: Tensor, generator: torch.Generator) -> Lesson | None:
        """What the teacher has to say of a batch (B, *shape); None where there is none, or no more."""
        weight, teacher = self.teacher_weight, self.teacher
        if not weight or teacher is None or self.rows is None:
            return None
        seen = moved(x, generator) if teacher.teacher_augment and x.ndim == 4 else x
        return Lesson(weight, seen, self.responsibilities[self.rows])

    def teach_no_longer(self) -> None:
        """Forget the clusters once their weight is zero; called between epochs."""
        if self.teacher and self.own_epochs >= self.teacher.teacher_epochs:
            self.responsibilities = self.responsibilities[:0]

    def prepare(self, x: Tensor, generator: torch.Generator) -> None:
        """Check the data (N, *shape), and find the clusters among them that need no pretrained model.

        Raises
        ------
        MixvizError
            When there are fewer observations than components.
        """
        super().prepare(x, generator)
        if self.starts_from_clusters:
            enough(x, self.config.components)
        teacher = self.teacher
        if teacher is None or teacher.autoencoder_epochs:
            return
        codes = None
        if teacher.codes_epochs:
            codes = learned_codes(x, teacher.codes_epochs, generator, self.report)
        self.find_clusters(x, generator, codes)

    @torch.no_grad()
    def find_clusters(
        self, x: Tensor, generator: torch.Generator, codes: Tensor | None = None
    ) -> None:
        """Fit a Gaussian mixture to coordinates of data (N, *shape), whose responsibilities then teach.

        The coordinates are UMAP's of the data, UMAP's of their codes (N, D), or the codes, as the
        config says. Codes of the model itself that are not finite leave no teacher; the terms show that
        training has diverged.
        """
        teacher = self.teacher
        assert teacher is not None
        seeds = random_state(generator), random_state(generator)
        values = codes if codes is not None and teacher.among_codes else x
        chosen = torch.arange(len(x), device=x.device)
        if len(x) > _MOST_TAUGHT:
            chosen = torch.randperm(len(x), generator=generator, device=x.device)[:_MOST_TAUGHT]
        points = values[chosen].cpu().numpy()
        if not np.isfinite(points).all():
            return
        if teacher.map_blur and values.ndim == 4:
            deviations = (0, 0, teacher.map_blur, teacher.map_blur)
            points = gaussian_filter(points, deviations)
        points = points.reshape(len(points), -1)
        count = self.config.components
        if teacher.uses_umap:
            found = mapped_clusters(points, count, teacher, seeds, self.report)
        else:
            found = coded_clusters(points, count, seeds, self.report)
        everyone = x.new_zeros(len(x), count)
        everyone[chosen] = torch.from_numpy(found).to(everyone)
        self.responsibilities = everyone

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take as many responsibilities as a checkpoint has."""
        saved = state_dict.get(f"{prefix}responsibilities")
        if self.teacher and saved is not None and saved.ndim == 2:
            size = (len(saved), self.config.components)
            self.responsibilities = self.responsibilities.new_empty(size)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class StartedModel(TaughtModel, GradientModel):
    """A model of one objective that may start from clusters."""

    teacher_strength = 100.0
    config: StartConfig

    @property
    def pretraining(self) -> bool:
        """Whether the autoencoder is being trained."""
        wanted = self.config.autoencoder_epochs
        return wanted > 0 and self.epochs_over < wanted

    def training_objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return the objective, less the teacher's cross-entropy while there is one."""
        objective, terms = super().training_objective(x, generator)
        lesson = self.lesson(x, generator)
        if lesson is None:
            return objective, terms
        cross_entropy = lesson.cross_entropy(self.log_responsibilities(lesson.x))
        return objective - lesson.weight * cross_entropy, terms | {
            "teacher": cross_entropy.detach()
        }


def moments(points: np.ndarray, responsibilities: np.ndarray) -> FittedMixture:
    """Return the Gaussian mixture of points (N, D) that responsibilities (N, K) describe.

    A small share of the variance of all points keeps covariances regular, as in a fit.
    """
    totals = responsibilities.sum(0) + 1e-10  # (K,)
    means = responsibilities.T @ points / totals[:, None]
    floor = (1e-3 * points.var(0).mean() + 1e-10) * np.eye(points.shape[1])
    covariances = []
    for share, mean, total in zip(responsibilities.T, means, totals, strict=True):
        apart = points - mean  # (N, D)
        covariances.append((share * apart.T) @ apart / total + floor)
    return FittedMixture(means, np.stack(covariances), totals / totals.sum())


@torch.enable_grad()
def fit_classifier(head: nn.Linear, features: Tensor, responsibilities: Tensor) -> None:
    """Let softmax of a linear layer on features (N, F) be responsibilities (N, K)."""
    fitting = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        fitting.zero_grad()
        log_c = head(features).log_softmax(-1)
        value = -(responsibilities * log_c).sum(-1).mean()
        value = value + _HEAD_DECAY * head.weight.square().sum()
        value.backward()
        return value

    fitting.step(loss)


def moved(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to a 14th of the side, turn by up to 12 degrees and scale by up to 12 %.

    Parameters
    ----------
    x
        Images (B, channels, height, width); what comes in from outside is 0.
    """
    drawn = random_values(Tensor.uniform_, (4, len(x)), generator, x, batch=1) * 2 - 1
    angle, scale = drawn[0] * (_TURN * torch.pi / 180), 1 + drawn[1] * _SCALE
    cos, sin = scale * angle.cos(), scale * angle.sin()
    shift = 2 * _SHIFT * drawn[2:]  # in units of half the side
    matrices = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], dim=1).unflatten(1, (2, 3))
    grid = functional.affine_grid(matrices, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)
