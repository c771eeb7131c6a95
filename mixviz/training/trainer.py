"""The loop: reads a run's configuration from the store, trains, and writes what happens back."""

import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

from mixviz.data import labelled_subset, load
from mixviz.errors import MixvizError
from mixviz.models import MixtureModel, Terms, create, model_class
from mixviz.runs import Command, Event, RunStore, Status
from mixviz.training import checkpoints
from mixviz.training.config import Plan
from mixviz.training.device import make_fabric, place, stream, stream_seed, use_threads
from mixviz.training.epochs import mean_of_steps, shuffled_batches
from mixviz.training.machine import commit, hardware
from mixviz.training.observe import Diverged, Observer, evaluate
from mixviz.training.schedule import SLOW_STEPS, slow_start_until
from mixviz.training.snapshots import SnapshotTaker, check_weights

POLL = 0.1  # seconds between looks at the store
BEAT = 0.5  # seconds between rows written to the store
PAUSED_POLL = 0.1
HEARTBEAT = 5.0  # seconds
ROWS = 1000  # rows of terms to aim for
MOST_STEPS_PER_ROW = 10

Progress = Callable[[int, int, dict[str, float]], None]


class Lost(Exception):
    """Another process took the run."""


class Trainer:
    """Trains one run from its start or its last checkpoint until it ends or is told to stop."""

    def __init__(self, store: RunStore, run: str, progress: Progress | None = None):
        """Prepare to train; nothing is read or claimed before `train`."""
        self.store, self.run = store, store.get(run).id
        self.owner = secrets.token_hex(8)
        self.progress = progress
        self.folder = store.checkpoint_folder(self.run)
        self.step = 0
        self._rows: list[tuple[int, float, dict[str, float]]] = []
        self._pending: list[Terms] = []
        self.snapshots: SnapshotTaker | None = None

    def train(self) -> Status:
        """Train to the end; every outcome, failures too, is written to the store and returned.

        Raises
        ------
        MixvizError
            When another process holds the run.
        """
        self.store.claim(self.run, self.owner)
        with self._heartbeat():
            return self._train()

    def _train(self) -> Status:
        try:
            self._set_up()
            status, message = self._loop(), ""
        except Lost:
            return self.store.get(self.run).status
        except Diverged as error:
            status, message = Status.DIVERGED, str(error)
        except MixvizError as error:
            status, message = Status.FAILED, str(error)
        except Exception as error:
            status, message = Status.FAILED, f"{type(error).__name__}: {error}"
        finally:
            if self.snapshots:
                self.snapshots.close()
        with suppress(Lost):
            if self._rows:
                self._beat()
        self.store.release(self.run, self.owner, status, message)
        return status

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Keep the run alive in the store while one piece of work takes long."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT):
                self.store.touch(self.run, self.owner)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    # ---- start -----------------------------------------------------------------------------

    def _set_up(self) -> None:
        run = self.store.get(self.run)
        self._speed_before = run.samples_per_second
        plan = Plan.from_json(run.config)
        self.plan, self.config = plan, plan.run
        self.data = train = load(plan.dataset, self.config.split)
        self.test = load(plan.dataset, self.config.scored_split)
        use_threads(self.config, train.shape)
        self.fabric = make_fabric(self.config, model_class(plan.model).on_host)
        self.x: Tensor = self.fabric.to_device(torch.from_numpy(train.x))
        self.model = self._make_model()
        self.model.train()
        self.model.make_optimizers()
        self.model.report = self._report
        self.noise = stream(self.config.seed, "noise", device=self.fabric.device)
        points = self.config.snapshot_points or (10_000 if train.kind == "vector" else 2_000)
        seed = stream_seed(self.config.seed, "snapshot")
        self.observer = Observer(self.test, points, seed, self.fabric.device)
        self.batch_size = (
            len(train) if self.model.full_batch else min(self.config.batch_size, len(train))
        )
        self.steps_per_epoch = max(1, len(train) // self.batch_size)
        self.total = self.steps_per_epoch * self.config.epochs
        self.steps_per_row = min(MOST_STEPS_PER_ROW, max(1, self.total // ROWS))
        self.store.update(self.run, total_steps=self.total, steps_per_epoch=self.steps_per_epoch)
        self.snapshots = SnapshotTaker(
            self.store,
            self.run,
            self.config,
            self.observer,
            self.fabric,
            self.total,
            self._make_model,
        )
        if checkpoints.has_checkpoint(self.folder):
            self._restore()
        else:
            self._begin()
        self._started, self._paused, self._first_step = time.perf_counter(), 0.0, self.step
        self._checkpointed = self._polled = self._started

    def _make_model(self) -> MixtureModel:
        """Make a model as it is before the first step; it shares nothing with another."""
        settings, shape = self.plan.settings.model_copy(), self.data.shape
        model = create(self.plan.model, settings, shape, stream(self.config.seed, "start"))
        place(model, self.fabric.device)
        if model.semi_supervised:
            self._supervise(model)
        return model

    def _supervise(self, model: MixtureModel) -> None:
        """Show a model its labelled observations, and no other label."""
        count = model.config.labelled  # type: ignore[attr-defined]
        chosen = labelled_subset(self.data, count, stream_seed(self.config.seed, "labels"))
        labels = torch.from_numpy(chosen.labels)
        model.supervise(
            self.fabric.to_device(torch.from_numpy(chosen.x)), self.fabric.to_device(labels)
        )

    def _begin(self) -> None:
        self.seconds_before = 0.0
        self.store.rewind(self.run, -1)
        self.model.prepare(self.x, self.noise)
        self._reported()
        self.store.write_subsample(self.run, self.observer.subsample)
        self._started = time.perf_counter()
        self._paused, self._first_step = 0.0, 0
        self._checkpoint()
        self._snapshot()

    def _restore(self) -> None:
        state = checkpoints.load_state(self.folder)
        self.step, self.seconds_before = state["step"], state["seconds"]
        checkpoints.load_weights(self.folder, self.model)
        checkpoints.restore_live(state, self.model)
        if self.step < self.total and not self.model.converged():
            checkpoints.load_optimizers(self.folder, self.model, self.noise)
        self.store.rewind(self.run, self.step)
        steps = self.store.snapshot_steps(self.run)
        last = self.store.snapshot(self.run, steps[-1]) if steps else None
        history = self.store.snapshot_metrics(self.run)
        self.observer.recall([(step, metrics) for step, _, metrics in history], last)

    # ---- loop ------------------------------------------------------------------------------

    def _loop(self) -> Status:
        self._replayed = [e for e in self.store.events(self.run) if e.step >= self.step]
        while self.step < self.total and not self.model.converged():
            order = self._order(self.step // self.steps_per_epoch)
            for batch in order[self.step % self.steps_per_epoch :]:
                while self._replayed and self._replayed[0].step <= self.step:
                    # Made after the last checkpoint, by a process that died: made again here.
                    event = self._replayed.pop(0)
                    self.model.set_live(event.field, event.value)
                self.model.rows = batch
                with self.fabric.autocast():
                    self._pending.append(self.model.training_step(self.x[batch], self.noise))
                self.step += 1
                if self.step % self.steps_per_epoch == 0:
                    epoch = self.step // self.steps_per_epoch
                    self.model.end_epoch(epoch, self.x, self.noise)
                    self._reported()
                last = self.step == self.total or self.model.converged()
                slow = self.config.slow_start and self.step < SLOW_STEPS
                if self.step % (1 if slow else self.steps_per_row) and not last:
                    continue
                self._flush()
                if self._tick():
                    return Status.STOPPED
                if self.model.converged():
                    break
        return self._finish()

    def _order(self, epoch: int) -> Sequence[Tensor]:
        """Shuffled batches of one epoch; the order depends on the seed and the epoch alone."""
        if self.model.full_batch:
            return [torch.arange(len(self.x), device=self.x.device)]
        return shuffled_batches(
            len(self.x), self.batch_size, self.config.seed, epoch, self.x.device
        )

    def _flush(self) -> None:
        """Make one row of the steps since the last; the only place that waits for the device."""
        row: dict[str, Any] = mean_of_steps(self._pending)
        self._pending.clear()
        self._rows.append((self.step, self.step / self.steps_per_epoch, row))
        broken = [name for name, value in row.items() if not math.isfinite(value)]
        if broken:
            # NaN and infinity are not JSON: a term that is not finite is stored as missing.
            for name in broken:
                row[name] = None
            raise Diverged(f"{broken[0]} was not finite at step {self.step:,}")

    def _tick(self) -> bool:
        """Do what is due between steps; returns whether the run was told to stop."""
        while not (stop := self._look()) and self.config.slow_start:
            remaining = slow_start_until(self.step, self.config.slow_start) - self.seconds
            if remaining <= 0:
                break
            time.sleep(min(remaining, POLL))
        return stop

    def _look(self) -> bool:
        """Look at the store and the clock once; returns whether the run was told to stop."""
        now = time.perf_counter()
        if now - self._polled >= POLL:
            self._polled = now
            if now - self._beaten >= BEAT:
                self._beat()
            if self._obey(self.store.open_commands(self.run)):
                return True
            self._watched = self.store.get(self.run).is_watched
        watched = self._watched or self.config.dense_snapshots
        assert self.snapshots is not None
        self.snapshots.take_if_due(self.model, self.step, self.epoch, self.seconds, watched)
        if time.perf_counter() - self._checkpointed >= self.config.checkpoint_seconds:
            self._checkpoint()
        return False

    _watched = False
    _beaten = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training, pauses left out."""
        return self.seconds_before + time.perf_counter() - self._started - self._paused

    @property
    def epoch(self) -> float:
        """Epochs that are done."""
        return self.step / self.steps_per_epoch

    @property
    def samples_per_second(self) -> float:
        """Observations a second since this process took the run."""
        if self.step == self._first_step:
            return self._speed_before
        elapsed = max(self.seconds - self.seconds_before, 1e-9)
        return (self.step - self._first_step) * self.batch_size / elapsed

    def _beat(self) -> None:
        self._beaten = time.perf_counter()
        rows, self._rows = self._rows, []
        mine = self.store.beat(
            self.run,
            self.owner,
            step=self.step,
            seconds=self.seconds,
            samples_per_second=self.samples_per_second,
            rows=rows,
        )
        if not mine:
            raise Lost
        if self.progress and rows:
            self.progress(self.step, self.total, rows[-1][2])

    def _snapshot(self) -> None:
        """Take a snapshot of this step, if it has none."""
        assert self.snapshots is not None
        self.snapshots.take(self.model, self.step, self.epoch, self.seconds)

    def _checkpoint(self) -> None:
        check_weights(self.model, self.step)
        self._beat()  # a resumed run goes on after this step: its rows must be in the store
        live = {name: getattr(self.model.config, name) for name in self.model.config.live_fields()}
        state = {"step": self.step, "seconds": self.seconds, "live": live}
        checkpoints.save_checkpoint(self.folder, self.model, self.noise, state)
        self._checkpointed = time.perf_counter()

    def _finish(self) -> Status:
        self._checkpoint()
        self._snapshot()
        seconds, speed = self.seconds, self.samples_per_second
        with self.fabric.autocast():
            result = evaluate(
                self.model,
                self.test,
                self.config.seed,
                self.fabric.device,
            )
        result["verdict"] = self.store.get(self.run).verdict
        result |= {"seconds": seconds, "samples_per_second": speed}
        result |= {"hardware": hardware(self.fabric.device), "commit": commit()}
        self.store.update(self.run, result=result)
        return Status.FINISHED

    # ---- work between steps ------------------------------------------------------------------

    _said = 0.0

    def _report(self, task: str, share: float) -> None:
        """Show how far a task between steps is."""
        now = time.perf_counter()
        if now - self._said >= BEAT:
            self._said = now
            self.store.update(self.run, message=f"{task}: {share:.0%}")

    def _reported(self) -> None:
        """Take back what was shown of a task that has ended."""
        if self._said:
            self._said = 0.0
            self.store.update(self.run, message="")

    # ---- commands --------------------------------------------------------------------------

    def _obey(self, commands: Sequence[Command]) -> bool:
        """Carry out commands in order; returns whether the run was told to stop."""
        for command in commands:
            if command.name == "set":
                self._set_live(command)
                continue
            if command.name == "checkpoint":
                self._checkpoint()
            self.store.finish_command(command, self.run)
            if command.name == "stop":
                self._checkpoint()
                self._snapshot()
                return True
            if command.name == "pause" and self._pause():
                return True
        return False

    def _pause(self) -> bool:
        """Checkpoint and wait; returns whether the run was told to stop meanwhile."""
        self._checkpoint()
        self._snapshot()
        began = time.perf_counter()
        before = self.seconds
        self.store.update(self.run, status=Status.PAUSED)
        stop = False
        while True:
            time.sleep(PAUSED_POLL)
            self._paused += self.seconds - before  # the clock stands still
            self._beat()
            commands = self.store.open_commands(self.run)
            for command in commands:
                if command.name == "set":
                    self._set_live(command)
                    continue
                self.store.finish_command(command, self.run)
                stop = stop or command.name == "stop"
                if command.name in ("resume", "stop"):
                    if not stop:
                        self.store.update(self.run, status=Status.RUNNING)
                    self._checkpointed += time.perf_counter() - began
                    return stop

    def _set_live(self, command: Command) -> None:
        """Change a live setting between steps; a value out of bounds is ignored."""
        event = None
        config = self.model.config
        if command.field in config.live_fields() and command.value is not None:
            previous = getattr(config, command.field)
            try:
                self.model.set_live(command.field, command.value)
                event = Event(self.step, command.field, command.value, previous)
                self._replayed = [e for e in self._replayed if e.field != command.field]
            except ValueError:
                self.store.update(
                    self.run, message=f"{command.field}={command.value:g} was refused"
                )
        self._beat()  # the event is not beyond the step that the store knows
        self.store.finish_command(command, self.run, event)
