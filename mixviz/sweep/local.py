"""Runs of a sweep on this machine: processes of their own, which share out its cores and GPUs."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import torch

from mixviz.processors import usable_cores
from mixviz.runs import RunStore, Status


@dataclass
class _Training:
    """A run and the process that trains it."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]  # what it writes on stderr
    devices: int
    gpus: Sequence[str]


class LocalPool:
    """Trains runs in processes on this machine.

    Parameters
    ----------
    jobs
        Runs at once, of which one on several devices counts as so many; by default as many as there
        are GPUs, or without one as many as there are cores. Each gets the GPUs with the fewest runs.
    """

    elsewhere = False

    def __init__(self, store: RunStore, jobs: int | None = None):
        """Prepare; nothing is started before it is opened."""
        self._store = store
        self._gpus = _gpus()
        self._places = jobs or default_jobs()
        self._planned = 1
        self._training: dict[str, _Training] = {}

    @contextmanager
    def open(self, runs: int) -> Iterator[None]:
        """Share the cores out among as many runs as train at once; stop what still trains at the end."""
        self._planned = max(1, runs)
        try:
            yield
        finally:
            for one in self._training.values():  # SIGTERM tells a run to stop, or ends what begins
                one.process.terminate()
                one.said.close()

    @property
    def room(self) -> int:
        """How many more runs may be started now."""
        return self._places - sum(one.devices for one in self._training.values())

    def takes(self, run: str) -> bool:
        """Whether there is room for this run now; alone it may take more than there is."""
        return not self._training or self._devices(run) <= self.room

    def start(self, run: str) -> None:
        """Train a run in a process of its own."""
        self._store.queue(run)
        devices = self._devices(run)
        at_once = min(max(1, self._places // devices), self._planned)
        # PyTorch takes this many threads at most; small networks take one in any case.
        threads = max(1, usable_cores() // (at_once * devices))
        own = {"MIXVIZ_HOME": str(self._store.home), "OMP_NUM_THREADS": str(threads)}
        own["TQDM_DISABLE"] = "1"  # nobody sees the bar
        taken = Counter(gpu for one in self._training.values() for gpu in one.gpus)
        gpus = sorted(self._gpus, key=lambda gpu: taken[gpu])[:devices]
        if gpus:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the run has ended
        process = subprocess.Popen(
            [sys.executable, "-m", "mixviz", "resume", run, "--json"],
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for the sweep, which stops its runs one by one
        )
        self._training[run] = _Training(process, said, devices, gpus)

    def ended(self) -> list[str]:
        """Return the runs whose processes have ended since the last call."""
        ended = [run for run, one in self._training.items() if one.process.poll() is not None]
        for run in ended:
            one = self._training.pop(run)
            self._never_began(run, one)
            one.said.close()
        return ended

    def stop(self) -> None:
        """Ask the runs that train to stop; each keeps its last checkpoint."""
        for run in self._training:
            self._store.send(run, "stop")

    def _devices(self, run: str) -> int:
        config = self._store.get(run, deleted=True).config["run"]
        return int(config.get("devices", 1))  # older runs do not say

    def _never_began(self, run: str, one: _Training) -> None:
        """Record why a process ended without having trained its run; nobody else could."""
        if not one.process.returncode or (
            self._store.get(run, deleted=True).status is not Status.QUEUED
        ):
            return
        one.said.seek(0)
        lines = one.said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        said = last.removeprefix("mixviz: ") or f"Its process ended with {one.process.returncode}."
        self._store.update(run, status=Status.FAILED, message=said)


def default_jobs() -> int:
    """How many runs a sweep trains at once where nobody says: one for each GPU, else for each core."""
    return len(_gpus()) or usable_cores()


def _gpus() -> list[str]:
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` takes them."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return names[:count] or [str(index) for index in range(count)]
