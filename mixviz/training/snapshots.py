"""Takes a run's snapshots: between two steps, or beside them where a processor is free."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from mixviz.models import MixtureModel
from mixviz.runs import RunStore
from mixviz.training.checkpoints import all_finite
from mixviz.training.config import RunConfig
from mixviz.training.device import PROCESSORS
from mixviz.training.observe import Diverged, Observer
from mixviz.training.schedule import SnapshotClock, superfluous

if TYPE_CHECKING:
    from mixviz.training.lightning import Fabric


class SnapshotTaker:
    """Decides when a snapshot is due, takes it, writes it, and thins those there are.

    Taken beside the training it is of a copy of the weights, so that it shows one step and no
    other, and the training goes on as if nobody looked.

    Parameters
    ----------
    total
        Steps of the whole run.
    twin
        Makes a model of the same configuration, for the copy.
    """

    def __init__(
        self,
        store: RunStore,
        run: str,
        config: RunConfig,
        observer: Observer,
        fabric: "Fabric",
        total: int,
        twin: Callable[[], MixtureModel],
    ):
        self._store, self._run, self._config, self._observer = store, run, config, observer
        self._fabric, self._total, self._make_twin = fabric, total, twin
        self._clock = SnapshotClock()
        self._twin: MixtureModel | None = None
        self._pending: Future[float] | None = None
        # As many threads as the training has: one.
        self._beside = (
            ThreadPoolExecutor(1, "snapshots", torch.set_num_threads, (1,))
            if fabric.device.type == "cpu" and torch.get_num_threads() == 1 < PROCESSORS
            else None
        )

    def take(self, model: MixtureModel, step: int, epoch: float, seconds: float) -> None:
        """Take a snapshot now, unless this step has one, and wait until it is written.

        Raises
        ------
        Diverged
            When a weight or a latent is not finite.
        """
        self.wait()
        if step in self._store.snapshot_steps(self._run):
            return
        check_weights(model, step)
        self._clock.taken(step, seconds, self._write(model, step, epoch, seconds))

    def take_if_due(
        self, model: MixtureModel, step: int, epoch: float, seconds: float, watched: bool
    ) -> None:
        """Take a snapshot if it is time for one and none is on its way.

        Raises
        ------
        Diverged
            When a weight or a latent is not finite, at this step or at that of the last snapshot.
        """
        if self._pending is not None:
            if not self._pending.done():
                return
            self.wait()
        if not self._clock.due(step, seconds, watched):
            return
        if self._beside is None:
            self.take(model, step, epoch, seconds)
            return
        check_weights(model, step)
        twin = self._copied(model)
        self._clock.taken(step, seconds, 0.0)
        self._pending = self._beside.submit(self._write, twin, step, epoch, seconds)

    def wait(self) -> None:
        """Wait for the snapshot that is on its way, if there is one; its failure is raised here."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._clock.spent(pending.result())

    def close(self) -> None:
        """Let the snapshot that is on its way be written, and end."""
        if self._beside is not None:
            self._beside.shutdown()

    def _write(self, model: MixtureModel, step: int, epoch: float, seconds: float) -> float:
        """Take a snapshot and write it; returns the seconds this took."""
        began = time.perf_counter()
        with self._fabric.autocast():
            snapshot = self._observer.snapshot(model, step, epoch, seconds)
        self._store.write_snapshot(self._run, snapshot)
        steps = self._store.snapshot_steps(self._run)
        if len(steps) > self._config.snapshot_count:
            keep = int(0.9 * self._config.snapshot_count)
            self._store.delete_snapshots(self._run, superfluous(steps, keep, self._total))
        return time.perf_counter() - began

    def _copied(self, model: MixtureModel) -> MixtureModel:
        """Copy weights and live settings; all else that a model computes with is fixed."""
        if self._twin is None:
            self._twin = self._make_twin()
        self._twin.load_state_dict(model.state_dict())
        for name in model.config.live_fields():
            setattr(self._twin.config, name, getattr(model.config, name))
        return self._twin


def check_weights(model: MixtureModel, step: int) -> None:
    """Raise `Diverged` where a weight is not finite."""
    if not all_finite(model):
        raise Diverged(f"a weight was not finite at step {step:,}")
