"""Training as the store sees it: claims a run, obeys commands, writes terms, snapshots and the outcome."""

import math
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from mixviz.errors import MixvizError
from mixviz.runs import Command, Event, RunStore, Status
from mixviz.training import checkpoints
from mixviz.training.config import RunConfig
from mixviz.training.device import make_fabric, stream_seed
from mixviz.training.heartbeat import beating
from mixviz.training.loop import Loop
from mixviz.training.machine import commit, hardware
from mixviz.training.observe import Diverged, Observer, evaluate
from mixviz.training.requests import stored_plan
from mixviz.training.schedule import slow_start_until
from mixviz.training.snapshots import SnapshotTaker, check_weights
from mixviz.training.team import Team, train_together

POLL = 0.1  # seconds between looks at the store
BEAT = 0.5  # seconds between rows written to the store
PAUSED_POLL = 0.1

Progress = Callable[[int, int, dict[str, float]], None]


class Lost(Exception):
    """Another process took the run."""


class Left(Exception):
    """The run was told to stop while a task between steps was under way."""


class Trainer(Loop):
    """Trains one run until it ends or is told to stop, and writes what happens to the store.

    Parameters
    ----------
    progress
        Is told the steps done, those of the whole run, and the last terms.
    team, owner
        Of the processes that share each batch, of which this one leads, and in whose name the run has
        been claimed.
    """

    snapshots: SnapshotTaker

    def __init__(
        self,
        store: RunStore,
        run: str,
        progress: Progress | None = None,
        team: Team | None = None,
        owner: str = "",
    ):
        """Prepare to train; nothing is read or claimed before `train`."""
        super().__init__(store, run, team)
        self.owner = owner or secrets.token_hex(8)
        self.progress = progress
        self.message = ""  # why the run ended as it did
        self._rows: list[tuple[int, float, dict[str, Any]]] = []
        self._changes: list[tuple[str, float]] = []  # that the rest of the team does not know of

    def train(self) -> Status:
        """Train to the end; every outcome, failures too, is written to the store and returned.

        A run on several devices is trained in processes of its own.

        Raises
        ------
        MixvizError
            When another process holds the run.
        """
        self.store.claim(self.run, self.owner)
        with beating(self.store, self.run, self.owner):
            config = self._config_of_several()
            return self._train_together(config) if config else self.lead()

    def lead(self) -> Status:
        """Train a run that has been claimed, and release it with what became of it."""
        taker = None
        try:
            self.set_up()
            taker = self._observe()
            self._start()
            status, message = self.loop(), ""
            if status is Status.FINISHED:
                self._finish()
        except Lost:
            return self.store.get(self.run).status
        except Left:  # it goes on from the last checkpoint, or begins again where there is none
            status, message = Status.STOPPED, ""
        except Diverged as error:
            status, message = Status.DIVERGED, str(error)
        except MixvizError as error:
            status, message = Status.FAILED, str(error)
        except Exception as error:
            status, message = Status.FAILED, f"{type(error).__name__}: {error}"
        finally:
            if taker:
                taker.close()
        with suppress(Lost, sqlite3.Error):
            if self._rows:
                self._beat()
        self._release(status, message)
        return status

    def _release(self, status: Status, message: str) -> None:
        """Give the run up; where a full disk keeps that from the store, whoever asked is told."""
        self.message = message
        with suppress(sqlite3.Error):
            self.store.release(self.run, self.owner, status, message)

    def _config_of_several(self) -> RunConfig | None:
        """How the run is trained, if that is on several devices."""
        with suppress(MixvizError):  # what is wrong with the plan is said where it is trained
            config = stored_plan(self.store, self.run).run
            return config if config.devices > 1 else None
        return None

    def _train_together(self, config: RunConfig) -> Status:
        def shown(step: int, total: int) -> None:
            if self.progress:
                self.progress(step, total, {})

        message = ""
        try:
            train_together(make_fabric(config), self.store, self.run, self.owner, shown)
        except MixvizError as error:
            message = str(error)
        # Of no effect where the leader has released the run.
        self._release(Status.FAILED, message)
        return self.store.get(self.run).status

    # ---- start -----------------------------------------------------------------------------

    def set_up(self) -> None:
        """Make all that the run needs, and tell the store how many steps there are."""
        self._speed_before = self.store.get(self.run).samples_per_second
        super().set_up()
        self.model.report = self._report
        self.store.update(self.run, total_steps=self.total, steps_per_epoch=self.steps_per_epoch)

    def _observe(self) -> SnapshotTaker:
        """Choose what the snapshots show."""
        self.test = self.plan.load(self.config.scored_split)
        points = self.config.snapshot_points or (10_000 if self.data.kind == "vector" else 2_000)
        seed = stream_seed(self.config.seed, "snapshot")
        self.observer = Observer(self.test, points, seed, self.fabric.device)
        self.snapshots = SnapshotTaker(
            self.store,
            self.run,
            self.config,
            self.observer,
            self.fabric,
            self.total,
            self.make_model,
        )
        return self.snapshots

    def _start(self) -> None:
        """Begin, or carry on from the checkpoint."""
        found = checkpoints.has_checkpoint(self.folder)
        if self.team:
            self.team.agree(found)
        if found:
            self.restore()
        else:
            self.begin()
        if self.team:
            self.team.wait()  # the others read the checkpoint too
        self._start_clock()
        if found:
            self.store.rewind(self.run, self.step)
            steps = self.store.snapshot_steps(self.run)
            last = self.store.snapshot(self.run, steps[-1]) if steps else None
            history = self.store.snapshot_metrics(self.run)
            self.observer.recall([(step, metrics) for step, _, metrics in history], last)
        else:
            self._checkpoint()
            self._snapshot()
        self._start_clock()

    def _start_clock(self) -> None:
        self._started, self._paused, self._first_step = time.perf_counter(), 0.0, self.step
        self._checkpointed = self._polled = self._started

    def begin(self) -> None:
        """Forget what an earlier try left, and let the model see all the data."""
        self.store.rewind(self.run, -1)
        self.store.update(self.run, result={})
        super().begin()
        self._reported()
        self.store.write_subsample(self.run, self.observer.subsample)

    # ---- between steps ---------------------------------------------------------------------

    def end_epoch(self, epoch: int) -> None:
        """Do what is done between epochs; what takes long shows how far it is."""
        super().end_epoch(epoch)
        self._reported()

    def _keep(self, terms: dict[str, Any]) -> None:
        """Keep the terms for the store; raises `Diverged` where one is not finite."""
        self._rows.append((self.step, self.step / self.steps_per_epoch, terms))
        broken = [name for name, value in terms.items() if not math.isfinite(value)]
        if broken:
            # NaN and infinity are not JSON: a term that is not finite is stored as missing.
            for name in broken:
                terms[name] = None
            raise Diverged(f"{broken[0]} was not finite at step {self.step:,}")

    def between(self, terms: dict[str, Any]) -> bool:
        """Keep the terms and do what is due; returns whether the run was told to stop."""
        self._keep(terms)
        while not (stop := self._look()) and self.config.slow_start:
            remaining = slow_start_until(self.step, self.config.slow_start) - self.seconds
            if remaining <= 0:
                break
            time.sleep(min(remaining, POLL))
        if self.team:
            self.team.agree((stop, self._changes))
            self._changes = []
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
        self.snapshots.take(self.model, self.step, self.epoch, self.seconds)

    def _checkpoint(self) -> None:
        check_weights(self.model, self.step)
        self._beat()  # a resumed run goes on after this step: its rows must be in the store
        live = {name: getattr(self.model.config, name) for name in self.model.config.live_fields()}
        state = {"step": self.step, "seconds": self.seconds, "live": live}
        checkpoints.save_checkpoint(self.folder, self.model, self.noise, state)
        self._checkpointed = time.perf_counter()

    def _finish(self) -> None:
        """Write the last checkpoint and snapshot, and the scores on the whole split."""
        # Without a step it is what was restored, but for the optimiser, which was not needed.
        if self.step > self._first_step:
            self._checkpoint()
        self._snapshot()
        seconds, speed = self.seconds, self.samples_per_second
        with self.fabric.autocast():
            result = evaluate(self.model, self.test, self.config.seed, self.fabric.device)
        result["verdict"] = self.store.get(self.run).verdict
        result |= {"seconds": seconds, "samples_per_second": speed}
        result |= {"hardware": hardware(self.fabric.device), "commit": commit()}
        self.store.update(self.run, result=result)

    # ---- work between steps ------------------------------------------------------------------

    _said = 0.0

    def _report(self, task: str, share: float) -> None:
        """Show how far a task between steps is; raises `Left` where the run was told to stop."""
        now = time.perf_counter()
        if now - self._said < BEAT:
            return
        self._said = now
        if self.store.get(self.run).owner != self.owner:
            raise Lost
        self.store.update(self.run, message=f"{task}: {share:.0%}")
        if self.team or share >= 1:
            return
        commands = [c for c in self.store.open_commands(self.run) if c.name != "set"]
        if any(command.name == "stop" for command in commands):
            for command in commands:
                self.store.finish_command(command, self.run)
            raise Left

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
            if command.name == "pause":
                return self._pause()  # which carries out those that follow
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
                self.change(command.field, command.value)
                self._changes.append((command.field, command.value))
                event = Event(self.step, command.field, command.value, previous)
            except ValueError:
                self.store.update(
                    self.run, message=f"{command.field}={command.value:g} was refused"
                )
        self._beat()  # the event is not beyond the step that the store knows
        self.store.finish_command(command, self.run, event)
