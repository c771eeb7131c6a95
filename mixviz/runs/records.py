"""What the catalogue says of a run: its row, its status, its commands and events."""

import json
import os
import socket
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

STALE_AFTER = 20.0  # seconds without a heartbeat
WATCHED_FOR = 3.0  # seconds that one look at a run counts


class Status(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"

    @property
    def live(self) -> bool:
        """Whether a process holds the run."""
        return self in (Status.QUEUED, Status.RUNNING, Status.PAUSED)

    @property
    def resumable(self) -> bool:
        """Whether the run can be carried on from its checkpoint by a new process."""
        return self in (Status.INTERRUPTED, Status.STOPPED, Status.FINISHED, Status.FAILED)


@dataclass(frozen=True)
class Run:
    """One row of the catalogue; times are seconds since the epoch, `seconds` is training time."""

    id: str
    created: float
    name: str
    model: str
    dataset: str
    config: dict[str, Any]
    status: Status
    message: str
    step: int
    total_steps: int
    steps_per_epoch: int
    seconds: float
    samples_per_second: float
    verdict: str
    result: dict[str, Any]
    shipped: bool
    heartbeat: float
    watched: float
    owner: str
    host: str
    pid: int
    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False

    @property
    def epoch(self) -> float:
        """Epochs done."""
        return self.step / self.steps_per_epoch

    @property
    def is_watched(self) -> bool:
        """Whether someone looks at the run just now."""
        return abs(time.time() - self.watched) < WATCHED_FOR


@dataclass(frozen=True)
class Command:
    """Something a run is asked to do: pause, resume, stop, checkpoint, or set a live field."""

    id: int
    name: str
    field: str
    value: float | None


@dataclass(frozen=True)
class Event:
    """A live field that was changed, and the step from which the new value held."""

    step: int
    field: str
    value: float
    previous: float


def in_one_line(text: str, longest: int) -> str:
    """Return text on one line, without what cannot be printed, of at most `longest` characters."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(printable.split())[:longest].rstrip()


_FIELDS = {field.name for field in fields(Run)}


def read_run(row: sqlite3.Row) -> Run:
    """Read a row; a run that nobody holds any more reads as interrupted."""
    values = {name: value for name, value in dict(row).items() if name in _FIELDS}
    values["config"] = json.loads(values["config"])
    values["result"] = json.loads(values["result"])
    values["tags"] = tuple(json.loads(values["tags"]))
    values["shipped"], values["archived"] = bool(values["shipped"]), bool(values["archived"])
    values["status"] = read_status(values)
    return Run(**values)


def read_status(values: Mapping[str, Any]) -> Status:
    """Return the status by a row's `status`, `host`, `pid` and `heartbeat`."""
    status = Status(values["status"])
    if status.live and not _alive(values["host"], values["pid"], values["heartbeat"]):
        return Status.INTERRUPTED
    return status


def _alive(host: str, pid: int, heartbeat: float) -> bool:
    if host == socket.gethostname():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
    return abs(time.time() - heartbeat) < STALE_AFTER  # clocks may be set back
