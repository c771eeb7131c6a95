"""The steps of a run: what every process that trains it does, and nothing that is written of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixviz.data import labelled_subset
from mixviz.models import MixtureModel, Terms, create, model_class
from mixviz.models.base import GradientModel
from mixviz.models.shares import Share, SharedStream
from mixviz.runs import Event, RunStore, Status
from mixviz.training import checkpoints
from mixviz.training.config import Plan
from mixviz.training.device import make_fabric, place, stream, stream_seed, use_threads
from mixviz.training.epochs import mean_of_steps, shuffled_batches
from mixviz.training.requests import stored_plan
from mixviz.training.schedule import SLOW_STEPS
from mixviz.training.team import Team, check_shares, share_batch_norms

ROWS = 1000  # rows of terms to aim for
MOST_STEPS_PER_ROW = 10


class Loop(ABC):
    """Computes one run from its start or its last checkpoint.

    Parameters
    ----------
    team
        The processes that share each batch, where there are several.
    """

    def __init__(self, store: RunStore, run: str, team: Team | None = None):
        """Read nothing before `set_up`."""
        self.store, self.run = store, store.get(run).id
        self.team = team
        self.folder = store.checkpoint_folder(self.run)
        self.step = 0
        self._pending: list[Terms] = []
        self._replayed: list[Event] = []
        self._shared: SharedStream | None = None

    # ---- start -----------------------------------------------------------------------------

    def set_up(self) -> None:
        """Load the data and make model, optimisers and random streams as before the first step."""
        # A team has been put together as the plan says, by the process that asked for it.
        plan = (
            Plan.from_json(self.store.get(self.run).config)
            if self.team
            else stored_plan(self.store, self.run)
        )
        self.plan, self.config = plan, plan.run
        self.data = plan.load(self.config.split)
        use_threads(self.config, self.data.shape)
        on_host = model_class(plan.model).on_host
        self.fabric = self.team.fabric if self.team else make_fabric(self.config, on_host)
        self.x: Tensor = self.fabric.to_device(torch.from_numpy(self.data.x))
        self.model = self.make_model()
        count = len(self.data)
        self.batch_size = count if self.model.full_batch else min(self.config.batch_size, count)
        self.noise = stream(self.config.seed, "noise", device=self.fabric.device)
        if self.team:
            self._join(self.team)
        self.model.train()
        self.model.make_optimizers()
        self.steps_per_epoch = max(1, count // self.batch_size)
        self.total = self.steps_per_epoch * self.config.epochs
        self.steps_per_row = min(MOST_STEPS_PER_ROW, max(1, self.total // ROWS))

    def make_model(self) -> MixtureModel:
        """Make a model as it is before the first step; it shares nothing with another."""
        settings, shape = self.plan.settings.model_copy(), self.data.shape
        model = create(self.plan.model, settings, shape, stream(self.config.seed, "start"))
        place(model, self.fabric.device)
        if model.semi_supervised:
            self._supervise(model)
        return model

    def _supervise(self, model: MixtureModel) -> None:
        """Show a model its labelled observations, and no other label."""
        config: Any = model.config
        seed = stream_seed(self.config.seed, "labels")
        chosen = labelled_subset(self.data, config.labelled, seed, config.labelled_choice)
        labels = torch.from_numpy(chosen.labels)
        model.supervise(
            self.fabric.to_device(torch.from_numpy(chosen.x)), self.fabric.to_device(labels)
        )

    def _join(self, team: Team) -> None:
        """Let the model compute this process's share of each batch; raise `MixvizError` if it cannot."""
        check_shares(type(self.model), self.batch_size, team.count)
        assert isinstance(self.model, GradientModel)
        share_batch_norms(self.model, team)
        self.model.share = team
        self._shared = SharedStream(self.fabric.device)
        self._shared.manual_seed(stream_seed(self.config.seed, "noise"))
        self.noise = self._shared

    def begin(self) -> None:
        """Do what the model does with all the data before its first step."""
        self.seconds_before = 0.0
        self.model.prepare(self.x, self.noise)
        if self.team:
            self.team.match(self.model)

    def restore(self) -> None:
        """Go to the last checkpoint."""
        state = checkpoints.load_state(self.folder)
        self.step, self.seconds_before = state["step"], state["seconds"]
        checkpoints.load_weights(self.folder, self.model)
        checkpoints.restore_live(state, self.model)
        if self.step < self.total and not self.model.converged():
            goes_on = checkpoints.load_optimizers(self.folder, self.model, self.noise)
            if not goes_on:
                self.noise.manual_seed(stream_seed(self.config.seed, "noise", self.step))
        self._replayed = [e for e in self.store.events(self.run) if e.step >= self.step]

    # ---- loop ------------------------------------------------------------------------------

    def loop(self) -> Status:
        """Take the steps that are left; returns how it ended, finished or stopped."""
        while self.step < self.total and not self.model.converged():
            order = self._order(self.step // self.steps_per_epoch)
            for batch in order[self.step % self.steps_per_epoch :]:
                while self._replayed and self._replayed[0].step <= self.step:
                    # Made after the last checkpoint, by a process that died: made again here.
                    event = self._replayed.pop(0)
                    self.model.set_live(event.field, event.value)
                self._pending.append(self._step(batch))
                self.step += 1
                if self.step % self.steps_per_epoch == 0:
                    self.end_epoch(self.step // self.steps_per_epoch)
                last = self.step == self.total or self.model.converged()
                slow = self.config.slow_start and self.step < SLOW_STEPS
                if self.step % (1 if slow else self.steps_per_row) and not last:
                    continue
                if self.between(self._mean()):
                    return Status.STOPPED
                if self.model.converged():
                    break
        return Status.FINISHED

    def _step(self, batch: Tensor) -> Terms:
        """Take one step on the rows of a batch (B,), or on this process's share of them."""
        rows = self.team.part(batch) if self.team else batch
        self.model.rows = rows
        if self._shared:
            self._shared.share = self.team or Share()
        with self.fabric.autocast():
            terms = self.model.training_step(self.x[rows], self.noise)
        if self._shared:
            self._shared.share = Share()  # between steps all processes do the same
        return terms

    def _order(self, epoch: int) -> Sequence[Tensor]:
        """Shuffled batches of one epoch; the order depends on the seed and the epoch alone."""
        if self.model.full_batch:
            return [torch.arange(len(self.x), device=self.x.device)]
        return shuffled_batches(
            len(self.x), self.batch_size, self.config.seed, epoch, self.x.device
        )

    def _mean(self) -> dict[str, float]:
        """Mean terms of the steps since the last; the only place that waits for the device."""
        terms = mean_of_steps(self._pending)
        self._pending.clear()
        return self.team.mean_terms(terms) if self.team else terms

    def change(self, field: str, value: float) -> None:
        """Change a live setting from the next step on; raises `ValueError` out of bounds."""
        self.model.set_live(field, value)
        self._replayed = [event for event in self._replayed if event.field != field]

    def end_epoch(self, epoch: int) -> None:
        """Do what is done between epochs, `epoch` of them being over."""
        self.model.end_epoch(epoch, self.x, self.noise)
        if self.team:
            self.team.match(self.model)

    @abstractmethod
    def between(self, terms: dict[str, Any]) -> bool:
        """Take the mean terms of the last steps and do what is due; returns whether the run is to stop."""


class Follower(Loop):
    """Computes its share of every batch and does as the process that leads says."""

    def train(self) -> None:
        """Train until the one that leads ends."""
        assert self.team is not None
        self.set_up()
        if self.team.agree(None):
            self.restore()
        else:
            self.begin()
        self.team.wait()
        self.loop()

    def between(self, terms: dict[str, Any]) -> bool:
        """Carry out what the leader has been told."""
        assert self.team is not None
        stop, changes = self.team.agree(None)
        for field, value in changes:
            self.change(field, value)
        return bool(stop)
