"""One run on several devices: processes that compute a share of every batch and stay equal.

The first leads: it alone writes to the store and listens to commands. Gradients and the statistics of
batch normalisation are averaged at every step, so that the run is, to rounding, that of one process.
"""

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessException
from torch.nn.modules.batchnorm import _BatchNorm

from mixviz.errors import MixvizError
from mixviz.models import MixtureModel
from mixviz.models.objectives import full_precision
from mixviz.models.shares import Share
from mixviz.runs import RunStore
from mixviz.training.beside import beside

if TYPE_CHECKING:
    from mixviz.training.lightning import Fabric

LOOK = 0.5  # seconds between looks at how far the run is
_GRACE = 10.0  # seconds that a process has to end by itself


def check_shares(model: type[MixtureModel], batch_size: int, devices: int) -> None:
    """Raise `MixvizError` where so many devices cannot share the batches of a class of models."""
    if not model.parallel:
        raise MixvizError(f"{model.title} trains on one device; take devices=1.")
    if batch_size % devices:
        raise MixvizError(
            f"Batches of {batch_size} observations cannot be shared evenly by {devices} devices; "
            f"take batch_size={batch_size // devices * devices or devices}."
        )


class Team(Share):
    """The processes of one run, seen from one of them."""

    def __init__(self, fabric: "Fabric"):
        """Join the others, which Lightning has connected."""
        self.fabric = fabric
        self.index, self.count = fabric.global_rank, fabric.world_size

    @property
    def leads(self) -> bool:
        """Whether this process writes to the store."""
        return self.index == 0

    def match(self, model: nn.Module) -> None:
        """Give every process the leader's weights, after what each of them computed by itself."""
        for value in model.state_dict().values():
            torch.distributed.broadcast(value, 0)

    def part(self, batch: Tensor) -> Tensor:
        """Rows of a batch (B,) that are this process's: (B / count,)."""
        return batch.chunk(self.count)[self.index]

    def mean(self, mean: Tensor) -> Tensor:
        """Mean over all processes, with the gradient of this one's."""
        return mean + (self.average(mean.detach().clone()) - mean.detach())

    def mean_of_parts(self, mean: Tensor) -> Tensor:
        """Mean over all processes, with the gradient that reaches each of them from all."""
        return _MeanOfParts.apply(mean, self)

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Give every process the mean of all processes' gradients, sent as one vector."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = self.average(torch.cat([gradient.flatten() for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, together.split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean_terms(self, terms: dict[str, float]) -> dict[str, float]:
        """Means of the terms over all processes."""
        means = self.average(torch.tensor(list(terms.values()), device=self.fabric.device)).tolist()
        return dict(zip(terms, means, strict=True))

    def agree(self, what: Any) -> Any:
        """What the leader says, in every process."""
        return self.fabric.broadcast(what)

    def wait(self) -> None:
        """Wait until every process is here."""
        self.fabric.barrier()

    def average(self, value: Tensor) -> Tensor:
        """Mean of a value over all processes, in place and without a gradient."""
        return self.fabric.all_reduce(value, reduce_op="mean")  # type: ignore[return-value]


class _MeanOfParts(torch.autograd.Function):
    """A mean over the processes that is part of what each of them computes.

    A gradient is that of the sum of all processes' objectives: `Team.average_gradients` makes the mean.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, team: Team) -> Tensor:
        ctx.team = team
        return team.average(mean.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.team.average(gradient.clone(memory_format=torch.contiguous_format)), None


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation by the statistics of the whole batch (PyTorch's own is for GPUs alone)."""

    team: Team

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept all that the layer in whose place this is accepts."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise values (B, channels, ...)."""
        if not self.training:
            return super().forward(input)
        dtype, input = input.dtype, full_precision(input)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1, *(1 for _ in axes[1:])]
        mean = self.team.mean_of_parts(input.mean(axes)).view(shape)
        centred = input - mean
        variance = self.team.mean_of_parts(centred.square().mean(axes)).view(shape)
        with torch.no_grad():
            count = self.team.count * input.numel() / input.shape[1]
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_(variance.flatten() * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        normal = centred * (variance + self.eps).rsqrt()
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(dtype)


def share_batch_norms(model: nn.Module, team: Team) -> None:
    """Put shared batch normalisation in the place of every other, with the same parameters."""
    for name, layer in list(model.named_children()):
        if isinstance(layer, _BatchNorm):
            shared = SharedBatchNorm(
                layer.num_features,
                layer.eps,
                layer.momentum,
                layer.affine,
                layer.track_running_stats,
            )
            shared.weight, shared.bias = layer.weight, layer.bias
            for buffer, value in layer.named_buffers():
                setattr(shared, buffer, value)
            shared.team = team
            setattr(model, name, shared)
        else:
            share_batch_norms(layer, team)


def train_together(
    fabric: "Fabric", store: RunStore, run: str, owner: str, progress: Callable[[int, int], None]
) -> None:
    """Train a run in as many new processes as the Fabric has; what becomes of it is in the store.

    Parameters
    ----------
    owner
        In whose name the run has been claimed.
    progress
        Is told the steps done and those of the whole run, twice a second.

    Raises
    ------
    MixvizError
        When a process died.
    """

    def look(ended: threading.Event) -> None:
        while not ended.wait(LOOK):
            found = store.get(run)
            progress(found.step, found.total_steps)

    try:
        with beside(look):
            launch(fabric, partial(_member, home=store.home, run=run, owner=owner))
    except ProcessException as error:
        said = str(error).strip().splitlines()[-1]
        raise MixvizError(f"One of the run's processes has died ({said}).") from error


def launch(fabric: "Fabric", work: Callable[["Fabric"], None]) -> None:
    """Do a work in as many new processes as the Fabric has, and wait for all of them."""
    from mixviz.training.lightning import TeamStrategy

    assert isinstance(fabric.strategy, TeamStrategy)
    try:
        fabric.launch(work)
    finally:
        fabric.strategy.meeting.unlink(missing_ok=True)


def _member(fabric: "Fabric", home: Path, run: str, owner: str) -> None:
    """Train a run as one of its processes."""
    from mixviz.training.device import forget_forks
    from mixviz.training.loop import Follower
    from mixviz.training.trainer import Trainer

    forget_forks()
    store, team = RunStore(home), Team(fabric)
    if team.leads:
        # Ctrl-C at a terminal reaches all its processes, and the end of the one that asked for these
        # is told by the same signal: either way the run is to stop with a checkpoint.
        signal.signal(signal.SIGINT, lambda *_: store.send(run, "stop"))
        Trainer(store, run, team=team, owner=owner).lead()
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with _no_longer_than(store, run, owner):
        try:
            Follower(store, run, team).train()
        except MixvizError:
            pass  # what the leader meets too, and says
        except RuntimeError:
            if store.get(run).owner == owner:
                raise
            # The connection is lost because the leader has ended; it has said why.


@contextmanager
def _no_longer_than(store: RunStore, run: str, owner: str) -> Iterator[None]:
    """End this process some time after the run has: it may wait for the leader for ever."""

    def watch(ended: threading.Event) -> None:
        while not ended.wait(LOOK):
            with suppress(sqlite3.Error):  # the next look may find the database free
                if store.get(run).owner != owner:
                    break
        if not ended.wait(_GRACE):
            os._exit(0)

    with beside(watch):
        yield
