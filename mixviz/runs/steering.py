"""How runs are steered from any process: commands that are carried out, and changes that were made."""

import math

from mixviz.runs.database import Database
from mixviz.runs.records import Command, Event


class Steering(Database):
    """The part of the store through which pages and terminals speak to a run's trainer."""

    COMMANDS = ("pause", "resume", "stop", "checkpoint", "set")

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
