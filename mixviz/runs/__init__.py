"""The run store: all that trainers write and pages read."""

from mixviz.runs.records import Command, Event, Run, Status
from mixviz.runs.snapshots import Snapshot, Subsample
from mixviz.runs.store import RunStore, default_home

__all__ = [
    "Command",
    "Event",
    "Run",
    "RunStore",
    "Snapshot",
    "Status",
    "Subsample",
    "default_home",
]
