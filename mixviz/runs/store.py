"""The run store: a SQLite catalogue and one folder per run.

Any number of processes read and steer; each run has one writer at a time, the process that claimed
it. A run whose writer died reads as `interrupted`.
"""

import json
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixviz.errors import MixvizError
from mixviz.home import default_home
from mixviz.runs.catalogue import LONGEST_NAME, Catalogue
from mixviz.runs.curves import Curves
from mixviz.runs.records import Event, Run, Status, in_one_line, read_run
from mixviz.runs.steering import Steering

__all__ = ["RunStore", "default_home"]


class RunStore(Catalogue, Curves, Steering):
    """Runs under one folder; safe to share between threads and processes."""

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
        with self._exclusive() as db:
            db.execute(
                "INSERT INTO runs (id, created, name, model, dataset, config, status, total_steps,"
                " steps_per_epoch, heartbeat, host, pid) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    run,
                    time.time(),
                    in_one_line(name, LONGEST_NAME) or f"{model} on {dataset}",
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
            self.folder(run).mkdir(parents=True)
        return run

    def get(self, run: str, *, deleted: bool = False) -> Run:
        """Return one run; an unambiguous beginning of its id is enough.

        Parameters
        ----------
        deleted
            Whether a run that was deleted counts.

        Raises
        ------
        MixvizError
            When there is no such run, or several.
        """
        exact = self._db.execute(
            "SELECT * FROM runs WHERE id = ? AND (deleted = 0 OR ?)", (run, deleted)
        ).fetchone()
        if exact is not None:
            return read_run(exact)
        rows = self._db.execute(
            "SELECT * FROM runs WHERE substr(id, 1, length(?1)) = ?1 AND (deleted = 0 OR ?2) LIMIT 2",
            (run, deleted),
        ).fetchall()
        if len(rows) != 1 or not run:
            problem = "Several runs begin with" if rows else "There is no run"
            raise MixvizError(f"{problem} {run!r}; list them with: mixviz runs.")
        return read_run(rows[0])

    def runs(self, limit: int = 100, shipped: bool | None = None) -> list[Run]:
        """Return the newest runs that are neither archived nor deleted, newest first.

        All of them, or only those that are `shipped`, or only those that are not.
        """
        rows = self._db.execute(
            "SELECT * FROM runs WHERE deleted = 0 AND archived = 0 AND shipped = coalesce(?, shipped)"
            " ORDER BY created DESC LIMIT ?",
            (shipped, limit),
        )
        return [read_run(row) for row in rows]

    def update(self, run: str, **values: Any) -> None:
        """Set columns of one run; dictionaries are stored as JSON."""
        if "config" in values:
            values["variant"] = ""  # what is listed of the configuration is to be found anew
        plain = {
            name: json.dumps(value) if isinstance(value, dict | list) else value
            for name, value in values.items()
        }
        columns = ", ".join(f"{name} = ?" for name in plain)
        self._db.execute(f"UPDATE runs SET {columns} WHERE id = ?", (*plain.values(), run))

    def queue(self, run: str) -> None:
        """Mark a run that nobody holds as about to be trained on behalf of this process.

        What it is told from now on, it is told before its first step.
        """
        with self._exclusive() as db:
            if self.get(run, deleted=True).status is not Status.QUEUED:
                self._forget_commands(db, run)
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
                where = f"process {found.pid} on {found.host}"
                raise MixvizError(
                    f"Run {run} is paused in {where}; carry it on with: mixviz continue {run}."
                    if found.status is Status.PAUSED
                    else f"Run {run} is being trained by {where}; pause or stop it first."
                )
            db.execute(
                "UPDATE runs SET owner = ?, host = ?, pid = ?, heartbeat = ?, status = ?, message = ''"
                " WHERE id = ?",
                (owner, socket.gethostname(), os.getpid(), time.time(), Status.RUNNING, run),
            )
            if found.status is not Status.QUEUED:
                self._forget_commands(db, run)

    @staticmethod
    def _forget_commands(db: sqlite3.Connection, run: str) -> None:
        """Drop what the run's last trainer was told and did not do; settings stay."""
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

        Scores are those of the step at which they were made: a run at another step has none.
        Returns whether the run is still this owner's.
        """
        with self._exclusive() as db:
            changed = db.execute(
                "UPDATE runs SET heartbeat = ?, step = ?, seconds = ?, samples_per_second = ?,"
                " result = CASE WHEN step = ? THEN result ELSE '{}' END WHERE id = ? AND owner = ?",
                (time.time(), step, seconds, samples_per_second, step, run, owner),
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
                plain = {
                    name: json.dumps(value) if isinstance(value, dict | list) else value
                    for name, value in values.items()
                }
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
