"""A sweep on this machine: runs in processes of their own, which share out its cores."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mixviz.runs import Run, RunStore, Status
from mixviz.sweep.spec import Trial
from mixviz.training.trainer import check, create_run

_TICK = 0.5  # seconds between looks at the store
_OVER = (Status.FINISHED, Status.DIVERGED)  # training them again would give the same

Progress = Callable[["Outcome"], None]


@dataclass
class Outcome:
    """How far a sweep is: steps done and in all, runs by what became of them."""

    runs: dict[str, Status]
    steps: int = 0
    total_steps: int = 0
    interrupted: bool = False

    def count(self, *statuses: Status) -> int:
        """Return how many runs have one of the statuses."""
        return sum(each in statuses for each in self.runs.values())

    @property
    def ended(self) -> int:
        """How many runs have come to their end, good or bad."""
        return self.count(Status.FINISHED, Status.DIVERGED, Status.FAILED)


def train_all(
    store: RunStore,
    trials: Sequence[Trial],
    name: str,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Train what is missing of a sweep, `jobs` runs at once, and return what became of all.

    A run that the store has with the same configuration is taken as it is when it has finished or
    diverged, and carried on from its checkpoint otherwise. Interrupted by SIGINT or SIGTERM, the
    runs in training stop with a checkpoint, so that the same call goes on where it ended.

    Parameters
    ----------
    name
        Tag of all runs of the sweep.
    jobs
        By default as many as there are cores, at most one for each run that is missing.

    Raises
    ------
    MixvizError
        Before anything is trained, when a trial cannot be.
    """
    for trial in trials:
        check(trial.plan)
    runs = [_run_of(store, trial) for trial in trials]
    store.tag(runs, name)
    waiting = [run for run in runs if store.get(run).status not in _OVER]
    cores = os.cpu_count() or 1
    at_once = max(1, min(jobs or cores, len(waiting)))
    with _stopping() as stopped:
        training: dict[str, subprocess.Popen[bytes]] = {}
        told = False
        while (waiting and not stopped.is_set()) or training:
            while waiting and len(training) < at_once and not stopped.is_set():
                run = waiting.pop(0)
                training[run] = _train(store, run, max(1, cores // at_once))
            if stopped.is_set() and not told:
                told = True
                for run in training:
                    store.send(run, "stop")
            for run in [run for run, process in training.items() if process.poll() is not None]:
                del training[run]
            if progress:
                progress(_outcome(store, runs))
            if training:
                time.sleep(_TICK)
        return replace(_outcome(store, runs), interrupted=stopped.is_set())


def _run_of(store: RunStore, trial: Trial) -> str:
    """Return the id of the trial's run, made anew if there is none that can be used."""
    found = [run for run in store.alike(trial.plan.as_json()) if run.status is not Status.FAILED]
    best = sorted(found, key=lambda run: (run.status in _OVER, run.step), reverse=True)
    return best[0].id if best else create_run(store, trial.plan, trial.title)


def _train(store: RunStore, run: str, threads: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mixviz", "resume", run, "--json"],
        # PyTorch takes this many threads at most; small networks take one in any case.
        env={**os.environ, "MIXVIZ_HOME": str(store.home), "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the sweep, which stops its runs one by one
    )


def _outcome(store: RunStore, runs: Sequence[str]) -> Outcome:
    found: list[Run] = [store.get(run) for run in runs]
    return Outcome(
        {run.id: run.status for run in found},
        sum(run.total_steps if run.status in _OVER else run.step for run in found),
        sum(run.total_steps for run in found),
    )


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set, in place of what they do otherwise."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
