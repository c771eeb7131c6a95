"""What a run leaves step by step: terms, snapshots and their metrics."""

import json
from collections.abc import Sequence
from pathlib import Path

from mixviz.runs import snapshots
from mixviz.runs.database import Database
from mixviz.runs.snapshots import Snapshot, Subsample


class Curves(Database):
    """The part of the store that trainers write while they train and pages draw."""

    def terms(self, run: str, after: int = -1) -> list[tuple[int, float, dict[str, float]]]:
        """Training terms (step, epoch, terms) after a step, in order."""
        rows = self._db.execute(
            "SELECT step, epoch, terms FROM terms WHERE run = ? AND step > ? ORDER BY step",
            (run, after),
        )
        return [(row["step"], row["epoch"], json.loads(row["terms"])) for row in rows]

    def write_subsample(self, run: str, subsample: Subsample) -> None:
        """Store what all snapshots of the run share."""
        snapshots.write(subsample, self.folder(run) / "subsample.npz")

    def subsample(self, run: str) -> Subsample:
        """Return what all snapshots of the run share."""
        return snapshots.read_subsample(self.folder(run) / "subsample.npz")

    def write_snapshot(self, run: str, snapshot: Snapshot) -> None:
        """Store a snapshot and its line in the catalogue."""
        snapshots.write(snapshot, self.snapshot_path(run, snapshot.step))
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
        return snapshots.read_snapshot(self.snapshot_path(run, step))

    def delete_snapshots(self, run: str, steps: Sequence[int]) -> None:
        """Remove snapshots, as thinning does."""
        with self._exclusive() as db:
            db.executemany(
                "DELETE FROM snapshots WHERE run = ? AND step = ?", [(run, s) for s in steps]
            )
        for step in steps:
            self.snapshot_path(run, step).unlink(missing_ok=True)

    def snapshot_path(self, run: str, step: int) -> Path:
        """File of the snapshot after a step, whether there is one or not."""
        return self.folder(run) / "snapshots" / f"{step:09d}.npz"
