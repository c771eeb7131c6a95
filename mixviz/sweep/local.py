"""Runs of a sweep on this machine: processes of their own, which share out its cores."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mixviz.runs import RunStore


class LocalPool:
    """Trains runs in processes on this machine.

    Parameters
    ----------
    jobs
        Runs at once, of which one on several devices counts as so many; by default as many as there
        are cores.
    """

    elsewhere = False

    def __init__(self, store: RunStore, jobs: int | None = None):
        """Prepare; nothing is started before it is opened."""
        self._store = store
        self._places = jobs or os.cpu_count() or 1
        self._at_once = 1
        self._training: dict[str, subprocess.Popen[bytes]] = {}
        self._devices: dict[str, int] = {}  # of the runs that train

    @contextmanager
    def open(self, runs: int) -> Iterator[None]:
        """Share the cores out among as many runs as train at once."""
        self._at_once = max(1, min(self._places, runs))
        yield

    @property
    def room(self) -> int:
        """How many more runs may be started now."""
        return self._places - sum(self._devices.values())

    def start(self, run: str) -> None:
        """Train a run in a process of its own."""
        # PyTorch takes this many threads at most; small networks take one in any case.
        threads = max(1, (os.cpu_count() or 1) // self._at_once)
        home = {"MIXVIZ_HOME": str(self._store.home), "OMP_NUM_THREADS": str(threads)}
        config = self._store.get(run).config["run"]
        self._devices[run] = config.get("devices", 1)  # older runs do not say
        self._training[run] = subprocess.Popen(
            [sys.executable, "-m", "mixviz", "resume", run, "--json"],
            env={**os.environ, **home},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the sweep, which stops its runs one by one
        )

    def ended(self) -> list[str]:
        """Return the runs whose processes have ended since the last call."""
        ended = [run for run, process in self._training.items() if process.poll() is not None]
        for run in ended:
            del self._training[run], self._devices[run]
        return ended

    def stop(self) -> None:
        """Ask the runs that train to stop; each keeps its last checkpoint."""
        for run in self._training:
            self._store.send(run, "stop")
