"""The list of all runs: one quick table of thousands, and what people do to runs in it."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from mixviz.errors import MixvizError
from mixviz.runs.database import Database
from mixviz.runs.records import Run, Status, in_one_line, read_run, read_status

if TYPE_CHECKING:
    import pandas as pd

Shelf = Literal["active", "archived", "deleted"]
SHELVES: tuple[Shelf, ...] = ("active", "archived", "deleted")
UNDO_SECONDS = 7 * 24 * 3600  # how long a deleted run can be brought back
LONGEST_NAME, MOST_TAGS, LONGEST_TAG, LONGEST_NOTE = 200, 20, 40, 5_000
LATEST = 253_402_300_799  # seconds since the epoch at which the calendar of Python ends

# Settings that change where a run is computed or how it is watched, not what it learns, and its seed.
OBSERVING = {
    "seed",
    "device",
    "devices",
    "threads",
    "checkpoint_seconds",
    "snapshot_points",
    "snapshot_count",
    "dense_snapshots",
    "slow_start",
}
_SCORES = {
    "hungarian": "$.accuracy.hungarian",
    "majority": "$.accuracy.majority",
    "most_confident": "$.accuracy.most_confident",
    "nmi": "$.nmi",
    "ari": "$.ari",
    "silhouette": "$.silhouette",
    "effective_components": "$.effective_components",
    "split": "$.split",
}
_PLAIN = (
    "id, created, name, model, dataset, status, step, total_steps, steps_per_epoch, seconds,"
    " coalesce(nullif(verdict, ''), message) AS verdict, shipped, heartbeat, host, pid, tags, note, variant, seed, components, samples"
)
_ON_SHELF = {
    "active": "deleted = 0 AND archived = 0",
    "archived": "deleted = 0 AND archived = 1",
    "deleted": "deleted > 0",
}


class Catalogue(Database):
    """The part of the store that lists, annotates and removes runs."""

    def table(self, shelf: Shelf = "active") -> "pd.DataFrame":
        """Return all runs on a shelf, the newest first.

        A configuration is parsed once in the life of a run; what is listed of it is then kept in
        columns.

        Returns
        -------
        DataFrame
            One row a run: `id`, `name`, `model`, `dataset`, `status`, `components` (K), `samples`
            (S), `seed`, `variant` (the same for runs whose configurations differ in the seed
            alone), `epoch`, `seconds`, the scores on `split`, `steered` (whether a live setting was
            changed), `tags` (lists), `note`, `created` (seconds since the epoch), `shipped`,
            `verdict`, or where there is none the message.
        """
        import pandas as pd

        self._describe_new()
        scores = ", ".join(f"json_extract(result, '{p}') AS {n}" for n, p in _SCORES.items())
        with closing(self._db.cursor()) as cursor:
            cursor.row_factory = None
            # All rows are wanted: reading them in the index's order takes twice as long.
            cursor.execute(
                f"SELECT {_PLAIN}, {scores}, id IN (SELECT run FROM events) AS steered"
                f" FROM runs NOT INDEXED WHERE {_ON_SHELF[shelf]} ORDER BY created DESC"
            )
            names = [column[0] for column in cursor.description]
            columns = dict(zip(names, zip(*cursor, strict=True), strict=False))
        table = pd.DataFrame({name: columns.get(name, ()) for name in names})
        live = table["status"].isin([status for status in Status if status.live])
        for i in table.index[live]:
            table.loc[i, "status"] = read_status(table.loc[i].to_dict())
        table["epoch"] = table["step"] / table["steps_per_epoch"]
        table["tags"] = [
            json.loads(tags) if tags != "[]" else [] for tags in columns.get("tags", ())
        ]
        table[["shipped", "steered"]] = table[["shipped", "steered"]].astype(bool)
        numbers = ["seed", "components", "samples", *(n for n in _SCORES if n != "split")]
        # One odd run that was taken in by an earlier version leaves the others as they are.
        table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
        table["created"] = table["created"].clip(upper=LATEST)
        return table.drop(
            columns=["step", "total_steps", "steps_per_epoch", "heartbeat", "host", "pid"]
        )

    def _describe_new(self) -> None:
        """Fill the columns that are made from the configurations of new runs."""
        new = self._db.execute("SELECT id, config FROM runs WHERE variant = ''").fetchall()
        if not new:
            return
        values = [(*_described(json.loads(row["config"])), row["id"]) for row in new]
        with self._exclusive() as db:
            db.executemany(
                "UPDATE runs SET variant = ?, seed = ?, components = ?, samples = ? WHERE id = ?",
                values,
            )

    def alike(self, config: Mapping[str, Any]) -> list[Run]:
        """Return the runs whose configuration gives what `config` would, the newest first."""
        self._describe_new()
        variant, seed, _, _ = _described(config)
        rows = self._db.execute(
            "SELECT * FROM runs WHERE variant = ? AND seed = ? AND deleted = 0 ORDER BY created DESC",
            (variant, seed),
        )
        return [read_run(row) for row in rows]

    def older(self, config: Mapping[str, Any]) -> list[Run]:
        """Return the runs of the model, data set, seed and K of `config` that have fewer settings.

        They may be from before a setting was added; the newest come first.
        """
        self._describe_new()
        _, seed, components, _ = _described(config)
        rows = self._db.execute(
            "SELECT * FROM runs WHERE model = ? AND dataset = ? AND seed IS ? AND components IS ?"
            " AND deleted = 0 AND ((SELECT count(*) FROM json_each(config, '$.settings')) < ?"
            " OR (SELECT count(*) FROM json_each(config, '$.run')) < ?) ORDER BY created DESC",
            (
                config.get("model"),
                config.get("dataset"),
                seed,
                components,
                len(config["settings"]),
                len(config["run"]),
            ),
        )
        return [read_run(row) for row in rows]

    def tags(self) -> list[str]:
        """Return all tags that any run has, in order."""
        rows = self._db.execute("SELECT DISTINCT tags FROM runs WHERE tags != '[]' AND deleted = 0")
        return sorted({tag for row in rows for tag in json.loads(row["tags"])})

    def annotate(
        self, runs: Sequence[str], *, name: str | None = None, note: str | None = None
    ) -> None:
        """Give runs a name or a note."""
        for column, value in (("name", name), ("note", note)):
            if value is not None:
                named = column == "name"
                value = in_one_line(value, LONGEST_NAME) if named else value.strip()[:LONGEST_NOTE]
                if named and not value:
                    raise MixvizError("A run needs a name.")
                self._each(f"{column} = ?", runs, value)

    def tag(self, runs: Sequence[str], tag: str, *, remove: bool = False) -> None:
        """Add a tag to runs, or take it from them."""
        tag = in_one_line(tag, LONGEST_TAG)
        if not tag:
            raise MixvizError("A tag needs a name.")
        with self._exclusive() as db:
            for run in runs:
                row = db.execute("SELECT tags FROM runs WHERE id = ?", (run,)).fetchone()
                kept = [one for one in json.loads(row["tags"]) if one != tag] if row else []
                tags = kept if remove else [*kept, tag]
                if len(tags) > MOST_TAGS:
                    raise MixvizError(f"A run has at most {MOST_TAGS} tags.")
                db.execute("UPDATE runs SET tags = ? WHERE id = ?", (json.dumps(tags), run))

    def archive(self, runs: Sequence[str], archived: bool = True) -> None:
        """Put runs out of sight, or back; they stay as they are."""
        self._each("archived = ?", runs, int(archived))

    def delete(self, runs: Sequence[str]) -> None:
        """Delete runs; `restore` brings them back, for a week.

        Raises
        ------
        MixvizError
            When one of them is being trained; none is deleted then.
        """
        self._purge()
        for run in runs:
            row = self._db.execute(
                "SELECT id, status, host, pid, heartbeat FROM runs WHERE id = ?", (run,)
            ).fetchone()
            if row is not None and read_status(dict(row)).live:
                raise MixvizError(f"Run {run} is being trained; stop it before it is deleted.")
        self._each("deleted = ?", runs, time.time())

    def restore(self, runs: Sequence[str]) -> None:
        """Bring deleted runs back."""
        self._each("deleted = ?", runs, 0.0)

    def _each(self, change: str, runs: Iterable[str], value: Any) -> None:
        with self._exclusive() as db:
            db.executemany(f"UPDATE runs SET {change} WHERE id = ?", [(value, run) for run in runs])

    def _purge(self) -> None:
        """Remove for good what was deleted long ago; shipped runs would only be imported again."""
        before = time.time() - UNDO_SECONDS
        with self._exclusive() as db:
            rows = db.execute(
                "SELECT id FROM runs WHERE deleted > 0 AND deleted < ? AND shipped = 0", (before,)
            )
            gone = [row["id"] for row in rows]
            for table in ("terms", "snapshots", "events", "commands"):
                db.executemany(f"DELETE FROM {table} WHERE run = ?", [(run,) for run in gone])
            db.executemany("DELETE FROM runs WHERE id = ?", [(run,) for run in gone])
        for run in gone:
            shutil.rmtree(self.folder(run), ignore_errors=True)


def _described(config: Mapping[str, Any]) -> tuple[str, int | None, int | None, int | None]:
    """Return variant, seed, K and S of a configuration."""
    settings, run = config.get("settings") or {}, config.get("run") or {}
    kept = {name: value for name, value in run.items() if name not in OBSERVING}
    parts = [config.get("dataset"), config.get("model"), settings, kept]
    if version := config.get("version"):
        parts.append(version)
    text = json.dumps(parts, sort_keys=True)
    variant = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return (
        variant,
        _whole(run.get("seed")),
        _whole(settings.get("components")),
        _whole(settings.get("samples")),
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and abs(value) < 2**53 else None
