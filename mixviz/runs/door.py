"""The run store for trainers in other processes, which may be on other machines.

A process that serves it imports no PyTorch, so that it starts at once.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixviz.runs.checkpoint import has_checkpoint, put_checkpoint
from mixviz.runs.store import RunStore


class Door:
    """Opens the store in `home` and does what trainers elsewhere ask for; safe to share by threads."""

    def __init__(self, home: str):
        """Open the store."""
        self._store = RunStore(Path(home))
        self._begun: set[tuple[str, int]] = set()
        self._closed = False
        self._lock = threading.Lock()

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the store."""
        return getattr(self._store, name)(*arguments, **keywords)

    def begin(self, run: str, attempt: int) -> dict[str, bytes] | None:
        """Return the files of a run's checkpoint, if any; None once the sweep is being stopped.

        None too where, before the first attempt, somebody else began to train the run. What an
        earlier attempt wrote from now on is refused: it lost the run.
        """
        found = self._store.get(run, deleted=True)
        if attempt == 1 and found.owner and found.status.live:
            return None
        with self._lock:
            if self._closed:
                return None
            self._begun.add((run, attempt))
        self._store.queue(run)
        folder = self._store.checkpoint_folder(run)
        kept = folder.iterdir() if has_checkpoint(folder) else ()
        return {path.name: path.read_bytes() for path in kept}

    def close(self) -> set[tuple[str, int]]:
        """Let no more runs begin, and return all that did."""
        with self._lock:
            self._closed = True
            return self._begun

    def claim(self, run: str, owner: str, host: str, pid: int) -> None:
        """Claim a run for a trainer in another process."""
        self._store.claim(run, owner)
        self._store.update(run, host=host, pid=pid)

    def keep(self, run: str, owner: str, files: Mapping[str, bytes]) -> None:
        """Put a checkpoint into the run's folder, if the run is still the owner's."""
        if self._store.get(run).owner == owner:
            put_checkpoint(self._store.checkpoint_folder(run), files)
