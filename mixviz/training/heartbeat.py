"""Signs of life of a run while its trainer is busy with one piece of work."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mixviz.runs import RunStore
from mixviz.training.beside import beside

HEARTBEAT = 5.0  # seconds


@contextmanager
def beating(store: RunStore, run: str, owner: str) -> Iterator[None]:
    """Keep the owner's run alive in the store from a thread of its own."""

    def beat(ended: threading.Event) -> None:
        while not ended.wait(HEARTBEAT):
            with suppress(sqlite3.Error):  # the next beat may find the database free
                store.touch(run, owner)

    with beside(beat):
        yield
