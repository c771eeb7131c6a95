"""The run store: a SQLite catalogue and one folder per run.

Any number of processes read and steer; each run has one writer at a time, the process that claimed
it. A run whose writer died reads as `interrupted`.
"""

import json
import math
import os
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from mixviz.errors import MixvizError
from mixviz.runs import snapshots
from mixviz.runs.records import Command, Event, Run, Status, read_run
from mixviz.runs.snapshots import Snapshot, Subsample

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    created REAL NOT NULL,
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    dataset TEXT NOT NULL,
    config TEXT NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    step INTEGER NOT NULL DEFAULT 0,
    total_steps INTEGER NOT NULL DEFAULT 0,
    steps_per_epoch INTEGER NOT NULL DEFAULT 1,
    seconds REAL NOT NULL DEFAULT 0,
    samples_per_second REAL NOT NULL DEFAULT 0,
    verdict TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT '{}',
    shipped INTEGER NOT NULL DEFAULT 0,
    heartbeat REAL NOT NULL DEFAULT 0,
    watched REAL NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    host TEXT NOT NULL DEFAULT '',
    pid INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS runs_created ON runs (created DESC);
CREATE TABLE IF NOT EXISTS terms (
    run TEXT NOT NULL, step INTEGER NOT NULL, epoch REAL NOT NULL, terms TEXT NOT NULL,
    PRIMARY KEY (run, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots (
    run TEXT NOT NULL, step INTEGER NOT NULL, epoch REAL NOT NULL,
    metrics TEXT NOT NULL, terms TEXT NOT NULL, verdict TEXT NOT NULL,
    PRIMARY KEY (run, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    run TEXT NOT NULL, step INTEGER NOT NULL, field TEXT NOT NULL, value REAL NOT NULL,
    previous REAL NOT NULL, PRIMARY KEY (run, step, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commands (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL, name TEXT NOT NULL, field TEXT NOT NULL, value REAL, done INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS commands_open ON commands (run, done, id);
"""


def default_home() -> Path:
    """Folder of the run store: `MIXVIZ_HOME`, else the user's data folder."""
    configured = os.environ.get("MIXVIZ_HOME")
    return Path(configured).expanduser() if configured else user_data_path("mixviz")


class RunStore:
    """Runs under one folder; safe to share between threads, each has its own connection."""

    COMMANDS = ("pause", "resume", "stop", "checkpoint", "set")

    def __init__(self, home: Path | None = None):
        """Open the store, making it on first use."""
        self.home = home or default_home()
        self.home.mkdir(parents=True, exist_ok=True)
        self._local = threading.local()
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_SCHEMA)

    @property
    def _db(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.home / "runs.sqlite", timeout=30, isolation_level=None
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous=NORMAL")
            self._local.connection = connection
        return connection

    def folder(self, run: str) -> Path:
        """Folder of one run."""
        return self.home / "runs" / run

    def checkpoint_folder(self, run: str) -> Path:
        """Folder of a run's weights, optimiser and state."""
        return self.folder(run) / "checkpoint"

    # ---- catalogue -------------------------------------------------------------------------

    def create(
        self,
        *,
        model: str,
        dataset: str,
        config: Mapping[str, Any],
        name: str = "",
        total_steps: int = 0,
        steps_per_epoch: int = 1,
    ) -> str:
        """Add a queued run and return its id."""
        run = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)
        self.folder(run).mkdir(parents=True)
        self._db.execute(
            "INSERT INTO runs (id, created, name, model, dataset, config, status, total_steps,"
            " steps_per_epoch, heartbeat, host, pid) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                run,
                time.time(),
                name or f"{model} on {dataset}",
                model,
                dataset,
                json.dumps(config),
                Status.QUEUED,
                total_steps,
                steps_per_epoch,
                time.time(),
                socket.gethostname(),
                os.getpid(),
            ),
        )
        return run

    def get(self, run: str) -> Run:
        """Return one run; an unambiguous beginning of its id is enough.

        Raises
        ------
        MixvizError
            When there is no such run, or several.
        """
        rows = self._db.execute(
            "SELECT * FROM runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id != ?1 LIMIT 2",
            (run,),
        ).fetchall()
        exact = [row for row in rows if row["id"] == run]
        if len(exact or rows) != 1 or not run:
            problem = "Several runs begin with" if rows else "There is no run"
            raise MixvizError(f"{problem} {run!r}; list them with: mixviz runs.")
        return read_run((exact or rows)[0])

    def runs(self, limit: int = 100) -> list[Run]:
        """Return the newest runs, newest first."""
        rows = self._db.execute("SELECT * FROM runs ORDER BY created DESC LIMIT ?", (limit,))
        return [read_run(row) for row in rows]

    def update(self, run: str, **values: Any) -> None:
        """Set columns of one run; dictionaries are stored as JSON."""
        plain = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in values.items()}
        columns = ", ".join(f"{name} = ?" for name in plain)
        self._db.execute(f"UPDATE runs SET {columns} WHERE id = ?", (*plain.values(), run))

    def queue(self, run: str) -> None:
        """Mark a run that nobody holds as about to be trained on behalf of this process."""
        self.update(
            run,
            status=Status.QUEUED,
            message="",
            owner="",  # of a process that died
            host=socket.gethostname(),
            pid=os.getpid(),
            heartbeat=time.time(),
        )

    def claim(self, run: str, owner: str) -> None:
        """Make this process the run's only writer.

        Raises
        ------
        MixvizError
            When another live process holds the run.
        """
        with self._exclusive() as db:
            found = self.get(run)
            if found.owner not in ("", owner) and found.status.live:
                raise MixvizError(
                    f"Run {run} is being trained by process {found.pid} on {found.host}; "
                    "pause or stop it first."
                )
            db.execute(
                "UPDATE runs SET owner = ?, host = ?, pid = ?, heartbeat = ?, status = ?, message = '',"
                " result = '{}' WHERE id = ?",
                (owner, socket.gethostname(), os.getpid(), time.time(), Status.RUNNING, run),
            )
            db.execute("UPDATE commands SET done = 1 WHERE run = ? AND name != 'set'", (run,))

    def beat(
        self,
        run: str,
        owner: str,
        *,
        step: int,
        seconds: float,
        samples_per_second: float,
        rows: Sequence[tuple[int, float, Mapping[str, float]]] = (),
    ) -> bool:
        """Write the heartbeat and the terms (step, epoch, terms) that came since the last.

        Returns whether the run is still this owner's.
        """
        with self._exclusive() as db:
            changed = db.execute(
                "UPDATE runs SET heartbeat = ?, step = ?, seconds = ?, samples_per_second = ?"
                " WHERE id = ? AND owner = ?",
                (time.time(), step, seconds, samples_per_second, run, owner),
            ).rowcount
            if changed:
                db.executemany(
                    "INSERT OR REPLACE INTO terms VALUES (?,?,?,?)",
                    [(run, s, epoch, json.dumps(terms)) for s, epoch, terms in rows],
                )
        return bool(changed)

    def release(self, run: str, owner: str, status: Status, message: str = "") -> None:
        """Give the run up with its final status."""
        self._db.execute(
            "UPDATE runs SET owner = '', status = ?, message = ?, heartbeat = ? WHERE id = ? AND owner = ?",
            (status, message, time.time(), run, owner),
        )

    def touch(self, run: str, owner: str) -> None:
        """Write the heartbeat alone."""
        self._db.execute(
            "UPDATE runs SET heartbeat = ? WHERE id = ? AND owner = ?", (time.time(), run, owner)
        )

    @contextmanager
    def _exclusive(self) -> Iterator[sqlite3.Connection]:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def watch(self, run: str) -> None:
        """Note that someone looks at the run, so that its trainer shows more."""
        self.update(run, watched=time.time())

    def rewind(self, run: str, step: int) -> None:
        """Forget terms and snapshots after `step`; a resumed run writes them again."""
        with self._exclusive() as db:
            for table in ("terms", "snapshots"):
                db.execute(f"DELETE FROM {table} WHERE run = ? AND step > ?", (run, step))
        for path in self.folder(run).glob("snapshots/*.npz"):
            if int(path.stem) > step:
                path.unlink(missing_ok=True)

    # ---- curves ----------------------------------------------------------------------------

    def terms(self, run: str, after: int = -1) -> list[tuple[int, float, dict[str, float]]]:
        """Training terms (step, epoch, terms) after a step, in order."""
        rows = self._db.execute(
            "SELECT step, epoch, terms FROM terms WHERE run = ? AND step > ? ORDER BY step",
            (run, after),
        )
        return [(row["step"], row["epoch"], json.loads(row["terms"])) for row in rows]

    # ---- snapshots -------------------------------------------------------------------------

    def write_subsample(self, run: str, subsample: Subsample) -> None:
        """Store what all snapshots of the run share."""
        snapshots.write(subsample, self.folder(run) / "subsample.npz")

    def subsample(self, run: str) -> Subsample:
        """Return what all snapshots of the run share."""
        return snapshots.read_subsample(self.folder(run) / "subsample.npz")

    def write_snapshot(self, run: str, snapshot: Snapshot) -> None:
        """Store a snapshot and its line in the catalogue."""
        snapshots.write(snapshot, self._snapshot_path(run, snapshot.step))
        with self._exclusive() as db:
            db.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?,?,?,?,?,?)",
                (
                    run,
                    snapshot.step,
                    snapshot.epoch,
                    json.dumps(snapshot.metrics),
                    json.dumps(snapshot.terms),
                    snapshot.verdict,
                ),
            )
            db.execute("UPDATE runs SET verdict = ? WHERE id = ?", (snapshot.verdict, run))

    def snapshot_steps(self, run: str) -> list[int]:
        """Steps that have a snapshot, in order."""
        rows = self._db.execute("SELECT step FROM snapshots WHERE run = ? ORDER BY step", (run,))
        return [row["step"] for row in rows]

    def snapshot_metrics(
        self, run: str, after: int = -1
    ) -> list[tuple[int, float, dict[str, float]]]:
        """Metrics (step, epoch, metrics) of the snapshots after a step, in order."""
        rows = self._db.execute(
            "SELECT step, epoch, metrics FROM snapshots WHERE run = ? AND step > ? ORDER BY step",
            (run, after),
        )
        return [(row["step"], row["epoch"], json.loads(row["metrics"])) for row in rows]

    def snapshot(self, run: str, step: int) -> Snapshot:
        """Return one snapshot."""
        return snapshots.read_snapshot(self._snapshot_path(run, step))

    def delete_snapshots(self, run: str, steps: Sequence[int]) -> None:
        """Remove snapshots, as thinning does."""
        with self._exclusive() as db:
            db.executemany(
                "DELETE FROM snapshots WHERE run = ? AND step = ?", [(run, s) for s in steps]
            )
        for step in steps:
            self._snapshot_path(run, step).unlink(missing_ok=True)

    def _snapshot_path(self, run: str, step: int) -> Path:
        return self.folder(run) / "snapshots" / f"{step:09d}.npz"

    # ---- steering --------------------------------------------------------------------------

    def send(self, run: str, name: str, field: str = "", value: float | None = None) -> None:
        """Ask the run's trainer, wherever it is, to do something."""
        if name not in self.COMMANDS:
            raise ValueError(f"no command {name!r}")
        self._db.execute(
            "INSERT INTO commands (run, name, field, value) VALUES (?,?,?,?)",
            (run, name, field, value),
        )

    def open_commands(self, run: str) -> list[Command]:
        """Commands that the trainer has not carried out yet, oldest first."""
        rows = self._db.execute(
            "SELECT id, name, field, value FROM commands WHERE run = ? AND done = 0 ORDER BY id",
            (run,),
        )
        return [Command(**row) for row in rows]

    def finish_command(self, command: Command, run: str, event: Event | None = None) -> None:
        """Mark a command as carried out, with the change it made, in one transaction."""
        with self._exclusive() as db:
            db.execute("UPDATE commands SET done = 1 WHERE id = ?", (command.id,))
            if event is not None:
                db.execute(  # what a process that died did later no longer holds
                    "DELETE FROM events WHERE run = ? AND field = ? AND step > ?",
                    (run, event.field, event.step),
                )
                db.execute(
                    "INSERT INTO events VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET value = excluded.value",
                    (run, event.step, event.field, event.value, event.previous),
                )

    def events(self, run: str, until: float = math.inf) -> list[Event]:
        """Changes of live fields up to a step, in order of their steps.

        A run that was resumed after a crash has changes that are still to come: beyond its step.
        """
        rows = self._db.execute(
            "SELECT step, field, value, previous FROM events WHERE run = ? AND step <= ?"
            " ORDER BY step",
            (run, until),
        )
        return [Event(**row) for row in rows]

    # ---- bundles ---------------------------------------------------------------------------

    def insert_imported(
        self,
        names: Iterable[str],
        folder: Path,
        values: Mapping[str, Any],
        *,
        terms: Sequence[tuple[int, float, Mapping[str, float]]],
        snapshots: Sequence[tuple[int, float, Mapping[str, float], Mapping[str, float], str]],
        events: Sequence[Event],
    ) -> str:
        """Move an unpacked folder into place and add its rows (columns `values`), all or nothing.

        The run gets the first of `names` that is free. If one before it is the same run, which the
        time of creation tells, nothing is added. Returns the run's id.
        """
        place = None
        try:
            with self._exclusive() as db:
                for run in names:
                    row = db.execute("SELECT created FROM runs WHERE id = ?", (run,)).fetchone()
                    if row is not None and row["created"] == values["created"]:
                        return run
                    if row is None and not self.folder(run).exists():
                        break
                else:
                    raise MixvizError("All ids that the run could get are taken; delete some runs.")
                plain = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in values.items()}
                db.execute(
                    f"INSERT INTO runs (id, {', '.join(plain)}) VALUES (?{', ?' * len(plain)})",
                    (run, *plain.values()),
                )
                db.executemany(
                    "INSERT INTO terms VALUES (?,?,?,?)",
                    [(run, step, epoch, json.dumps(named)) for step, epoch, named in terms],
                )
                db.executemany(
                    "INSERT INTO snapshots VALUES (?,?,?,?,?,?)",
                    [
                        (run, step, epoch, json.dumps(metrics), json.dumps(named), verdict)
                        for step, epoch, metrics, named, verdict in snapshots
                    ],
                )
                db.executemany(
                    "INSERT INTO events VALUES (?,?,?,?,?)",
                    [(run, e.step, e.field, e.value, e.previous) for e in events],
                )
                self.folder(run).parent.mkdir(parents=True, exist_ok=True)
                place = folder.rename(self.folder(run))
        except BaseException:
            if place is not None:
                place.rename(folder)
            raise
        return run
