"""Long work in a process of its own, with progress, that can be cancelled.

A task is a function of this package and plain values for its parameters. It gets the run store and
`report(share, text)`; it leaves its result in the store as an artifact, or returns what JSON can write.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from mixviz.errors import MixvizError
from mixviz.runs import RunStore


class TaskState(StrEnum):
    """Where a task is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Task:
    """One call of a function in a process of its own.

    Attributes
    ----------
    state, error
        `error` is a sentence where the task failed.
    share, text
        How much is done, in [0, 1], and what is being done.
    parameters, result
        What the function was given, and what it returned.
    """

    def __init__(self, home: Path, function: str, parameters: Mapping[str, Any]):
        """Start `function`, written `package.module:name`, with parameters that JSON can write."""
        self.state, self.error = TaskState.RUNNING, ""
        self.share, self.text = 0.0, "Starting"
        self.parameters = dict(parameters)
        self.result: Any = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(home), function, json.dumps(self.parameters)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the process; what it had not stored is lost."""
        if self.state is TaskState.RUNNING:
            self.state = TaskState.CANCELLED
            self._process.terminate()

    @property
    def ended(self) -> bool:
        """Whether the process is gone; one that was cancelled may have something to finish."""
        return not self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> TaskState:
        """Wait until the task has ended, at most `seconds`, and return its state."""
        self._thread.join(seconds)
        return self.state

    def _listen(self) -> None:
        assert self._process.stdout is not None and self._process.stderr is not None
        noise: list[str] = []
        drain = threading.Thread(target=lambda: noise.extend(self._process.stderr or ()))
        drain.start()
        for line in self._process.stdout:
            message = json.loads(line)
            self.share, self.text = message.get("share", self.share), message.get("text", self.text)
            self.error = message.get("error", self.error)
            self.result = message.get("result", self.result)
        code = self._process.wait()
        drain.join()
        if self.state is TaskState.CANCELLED:
            return
        if code:
            self.error = self.error or (noise[-1].strip() if noise else f"It ended with {code}.")
            self.state = TaskState.FAILED
        else:
            self.state = TaskState.DONE


class Tasks:
    """The tasks of one server by key, so that every session sees the same one."""

    def __init__(self, home: Path):
        """Let tasks work on the run store in `home`."""
        self.home = home
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}

    def start(self, key: str, function: str, **parameters: Any) -> Task:
        """Start a task unless one with this key is running, and return it."""
        with self._lock:
            task = self._tasks.get(key)
            if task is None or task.state is not TaskState.RUNNING:
                task = self._tasks[key] = Task(self.home, function, parameters)
            return task

    def get(self, key: str) -> Task | None:
        """Return the last task with this key, if there was one."""
        return self._tasks.get(key)


def main() -> None:
    """Run one function in this process; standard output carries its progress, a line of JSON each."""
    home, function, parameters = sys.argv[1:]
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is noise

    def tell(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")

    module, name = function.split(":")
    if not module.startswith("mixviz."):
        raise SystemExit(f"{module} is not part of mixviz")
    tell(text="Loading libraries")
    try:
        result = getattr(import_module(module), name)(
            RunStore(Path(home)),
            lambda share, text: tell(share=share, text=text),
            **json.loads(parameters),
        )
        tell(result=result)
    except MixvizError as error:
        tell(error=str(error))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
