"""Background jobs: a thread for each run that this process trains."""

import contextlib
import threading
from collections.abc import Callable

from mixviz.errors import MixvizError
from mixviz.runs import RunStore
from mixviz.training.config import Plan
from mixviz.training.requests import create_run


class Jobs:
    """The threads that train, by run; one registry for a whole process.

    Parameters
    ----------
    store
        Where the runs are.
    train
        Trains a run to its end, by id, in whichever process; by default in the thread itself.
    """

    def __init__(self, store: RunStore, train: Callable[[str], object] | None = None):
        self.store = store
        self._train = train or self._train_here
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def start(self, plan: Plan, name: str = "") -> str:
        """Create a run and train it in the background; returns its id at once."""
        run = create_run(self.store, plan, name)
        self.resume(run)
        return run

    def resume(self, run: str) -> None:
        """Carry a run on: wake it where it is held, else train it here from its checkpoint."""
        with self._lock:
            found = self.store.get(run)
            if found.owner and found.status.live:
                self.store.send(run, "resume")
                return
            if self.alive(run):
                return
            self.store.queue(run)
            thread = threading.Thread(
                target=self._work, args=(run,), name=f"run {run}", daemon=True
            )
            self._threads[run] = thread
            thread.start()

    def _train_here(self, run: str) -> None:
        from mixviz.training.trainer import Trainer  # seconds; a server has processes that train

        Trainer(self.store, run).train()

    def _work(self, run: str) -> None:
        # Refused where another process was faster: the run is in good hands.
        with contextlib.suppress(MixvizError):
            self._train(run)

    def alive(self, run: str) -> bool:
        """Whether a thread of this process trains the run."""
        thread = self._threads.get(run)
        return thread is not None and thread.is_alive()

    def wait(self, run: str, timeout: float | None = None) -> None:
        """Wait until the run's thread has ended."""
        thread = self._threads.get(run)
        if thread is not None:
            thread.join(timeout)
