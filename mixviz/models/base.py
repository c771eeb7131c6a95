"""What every mixture model offers to the trainer, the evaluation and the pictures."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mixviz.models.config import ModelConfig, Preset
from mixviz.models.shares import Share

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Components:
    """The mixture in latent space.

    Attributes
    ----------
    means : (K, D)
    variances : (K, D), diagonal covariances
    weights : (K,), sum to one
    covariances : (K, D, D), only where they are not diagonal
    """

    means: Tensor
    variances: Tensor
    weights: Tensor
    covariances: Tensor | None = None


class MixtureModel(nn.Module, ABC):
    """A mixture model over a latent space of D dimensions with K components.

    Terms are named scalars in `units`, means over a batch; a model that trains in stages may return
    only those of the present stage. Methods other than `prepare`, `training_step` and `end_epoch`
    are called in evaluation mode and without gradient. All that training changes is a parameter, a
    buffer, a live setting or the state of an optimiser, and no tensor is registered twice.
    """

    Config: ClassVar[type[ModelConfig]]
    title: ClassVar[str]
    presets: ClassVar[dict[str, Preset]] = {}
    terms: ClassVar[tuple[str, ...]]
    full_batch: ClassVar[bool] = False  # training_step wants all the data at once
    on_host: ClassVar[bool] = False  # computes with NumPy, so it stays on the processor
    units: ClassVar[str] = "nats"  # of the terms
    # Whether `supervise` is called; the config then has `labelled` and `labelled_choice`.
    semi_supervised: ClassVar[bool] = False
    parallel: ClassVar[bool] = False  # several processes can share its batches
    exact_density: ClassVar[bool] = False  # `log_density` is no estimate

    config: ModelConfig
    shape: tuple[int, ...]
    rows: Tensor | None = None  # where the batch of the next step stands in the training data
    # Is told what takes long between the steps, and which share of it is done.
    report: Callable[[str, float], None] = staticmethod(lambda task, share: None)

    _counted: tuple[Tensor | None, int, int] = (None, -1, 0)  # buffer, its version, its value

    def counted(self, count: Tensor) -> int:
        """Value of a counting buffer (), read only when it has changed: reading waits for the device."""
        buffer, version, value = self._counted
        if buffer is not count or version != count._version:
            value = int(count)
            self._counted = (count, count._version, value)
        return value

    def check_data(self, x: Tensor) -> None:
        """Raise `MixvizError` for data (N, *shape) that the model cannot make."""

    def prepare(self, x: Tensor, generator: torch.Generator) -> None:
        """Check all the data (N, *shape), and start from them where the model needs it.

        Called once, before the first step.
        """
        self.check_data(x)

    def supervise(self, x: Tensor, labels: Tensor) -> None:
        """Take the labelled observations (n, *shape) with their classes (n,), before anything else.

        Called again when a run is resumed; only models with `semi_supervised` are shown labels.
        """

    def end_epoch(self, epoch: int, x: Tensor, generator: torch.Generator) -> None:
        """Do what is done between epochs, `epoch` of them being over: targets, schedules, stages.

        x is all the data (N, *shape). Whatever this changes must be a parameter or buffer, so that a
        resumed run has it.
        """

    def converged(self) -> bool:
        """Whether further steps change nothing."""
        return False

    @abstractmethod
    def training_step(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Do one full update on a batch (B, *shape) and return the terms it saw, detached."""

    @abstractmethod
    def evaluate_terms(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Return the terms on a batch (B, *shape) without an update."""

    @abstractmethod
    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, D)."""

    @abstractmethod
    def log_responsibilities(self, x: Tensor) -> Tensor:
        """Log-probability of each component given x: (B, K)."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latent means (B, D) and log-responsibilities (B, K); a model may share their work."""
        return self.posterior(x)[0], self.log_responsibilities(x)

    def classifiers(self, x: Tensor) -> dict[str, Tensor]:
        """log p(c|x) (B, K) by each classifier's name; empty for models that have one."""
        return {}

    @abstractmethod
    def components(self) -> Components:
        """Return the mixture in latent space (GMVAE: at w = 0)."""

    @abstractmethod
    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Mean of p(x|z, c) for latents (B, D) and components (B,): (B, *shape).

        Most models have p(x|z) and ignore c; the others take the most probable c of each z where
        none is given.
        """

    @abstractmethod
    def sample(self, c: Tensor, generator: torch.Generator) -> Tensor:
        """Draw z from component c_i for each i and return the mean of p(x|z): (B, *shape)."""

    def log_density(self, x: Tensor, generator: torch.Generator) -> Tensor | None:
        """log p(x) of data points (B, *shape): (B,); None where the model defines no density."""
        return None

    def set_live(self, name: str, value: float) -> None:
        """Change a live setting from the next step on."""
        setattr(self.config, name, value)

    def make_optimizers(self) -> None:
        """Make the optimisers over the parameters, which are on their device by now."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers by name; their state is part of a checkpoint."""
        return {}


def halved(rate: float, epochs: float, every: float | None) -> float:
    """Return a learning rate after `epochs`, halved each time `every` of them are over."""
    return rate * 0.5 ** math.floor(epochs / every) if every else rate


class GradientModel(MixtureModel):
    """A model that maximises one objective with Adam.

    Attributes
    ----------
    share
        Which part of every batch `training_step` is given, and what the other processes compute.
    """

    parallel = True
    optimizer: torch.optim.Adam
    share = Share()

    def mean_of_batch(self, mean: Tensor) -> Tensor:
        """Mean over the whole batch of a mean over this process's share, while training."""
        return self.share.mean(mean) if self.training else mean

    def make_optimizers(self) -> None:
        """Make the one optimiser."""
        rate = self.config.learning_rate  # type: ignore[attr-defined]
        self.optimizer = torch.optim.Adam(self.parameters(), lr=rate, fused=True)

    @abstractmethod
    def objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return the objective to maximise, a scalar in nats per observation, and its terms."""

    def training_objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return what a step maximises: the objective, and what helps only in training."""
        return self.objective(x, generator)

    def training_step(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Take one Adam step up the objective."""
        objective, terms = self.training_objective(x, generator)
        self.optimizer.zero_grad(set_to_none=True)
        (-objective).backward()
        self.share.average_gradients(self.parameters())
        self.optimizer.step()
        return terms

    def evaluate_terms(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Return the terms of the objective."""
        return self.objective(x, generator)[1]

    def set_live(self, name: str, value: float) -> None:
        """Change a live setting; the learning rate reaches the optimiser."""
        super().set_live(name, value)
        if name == "learning_rate":
            for group in self.optimizer.param_groups:
                group["lr"] = value

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the one optimiser."""
        return {"adam": self.optimizer}
