"""The run store's database: its tables, one connection for each thread, and the run folders."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mixviz.errors import MixvizError
from mixviz.home import default_home
from mixviz.runs.artifacts import Artifacts

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

# What stores of earlier versions lack.
_ADDED = (
    "tags TEXT NOT NULL DEFAULT '[]'",
    "note TEXT NOT NULL DEFAULT ''",
    "archived INTEGER NOT NULL DEFAULT 0",
    "deleted REAL NOT NULL DEFAULT 0",
    "variant TEXT NOT NULL DEFAULT ''",
    "seed INTEGER",
    "components INTEGER",
    "samples INTEGER",
)
_PATIENCE = 30.0  # seconds to wait for other processes


class Database:
    """SQLite in write-ahead mode; safe to share between threads, each has its own connection."""

    def __init__(self, home: Path | None = None):
        """Open the store, making it on first use and adding what an older one lacks.

        Raises
        ------
        MixvizError
            When the folder cannot be written.
        """
        self.home = home or default_home()
        self._local = threading.local()
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise MixvizError(
                f"Runs cannot be kept in {self.home} ({error}); set MIXVIZ_HOME to a folder of your own."
            ) from error

    def _open(self) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                # SQLite does not wait here as it does elsewhere: several may make the store at once.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.05)
        self._db.executescript(_SCHEMA)
        known = {row["name"] for row in self._db.execute("PRAGMA table_info(runs)")}
        for column in _ADDED:
            if column.split()[0] not in known:
                with suppress(sqlite3.OperationalError):  # another process was faster
                    self._db.execute(f"ALTER TABLE runs ADD COLUMN {column}")

    @property
    def _db(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.home / "runs.sqlite", timeout=_PATIENCE, isolation_level=None
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous=NORMAL")
            self._local.connection = connection
        return connection

    @contextmanager
    def _exclusive(self) -> Iterator[sqlite3.Connection]:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            if db.in_transaction:  # a full disk has ended it already
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def folder(self, run: str) -> Path:
        """Folder of one run."""
        return self.home / "runs" / run

    def checkpoint_folder(self, run: str) -> Path:
        """Folder of a run's weights, optimiser and state."""
        return self.folder(run) / "checkpoint"

    @property
    def artifacts(self) -> Artifacts:
        """What was computed from runs, by content."""
        return Artifacts(self.home / "artifacts")
