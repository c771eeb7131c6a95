"""Runs of a sweep on a Ray cluster, or on a Ray started on this machine.

The store stays where the sweep was started. One actor beside it opens it; a trainer on whichever
node makes its calls there and hands over each checkpoint, so that nodes share no folder. Every node
needs this program with its requirements and, for data that were downloaded or are the user's own,
the data at the same paths (`MIXVIZ_DATA`, `MIXVIZ_HOME`).
"""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from mixviz.errors import MixvizError
from mixviz.home import default_home
from mixviz.runs import RunStore, Status
from mixviz.runs.checkpoint import put_checkpoint
from mixviz.runs.door import Door
from mixviz.sweep.spec import Resources
from mixviz.training.trainer import Trainer

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise MixvizError(
        "Ray is not installed; install it with: pip install -r requirements-cluster.txt."
    ) from error

_AHEAD = 1  # runs queued beyond what the cluster has room for, which tell its autoscaler of need
_CALLS_AT_ONCE = 16
_ANSWERS_WITHIN = 10.0  # seconds


class _FarStore:
    """Stands in for the run store where it is not: every call is made at the door."""

    def __init__(self, door: Any, folder: Path):
        self._door, self._folder = door, folder

    def __getattr__(self, name: str) -> Any:
        if not callable(getattr(RunStore, name, None)):
            raise AttributeError(name)
        return lambda *arguments, **keywords: self._ask(
            self._door.call, name, *arguments, **keywords
        )

    def checkpoint_folder(self, run: str) -> Path:
        """Folder on this node; what is written there is then given to `keep`."""
        return self._folder / "checkpoint"

    def claim(self, run: str, owner: str) -> None:
        """Make this process the run's only writer."""
        self._ask(self._door.claim, run, owner, socket.gethostname(), os.getpid())

    def keep(self, run: str, owner: str) -> None:
        """Hand the checkpoint over."""
        folder = self.checkpoint_folder(run)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self._ask(self._door.keep, run, owner, files)

    def _ask(self, method: Any, *arguments: Any, **keywords: Any) -> Any:
        try:
            return ray.get(method.remote(*arguments, **keywords))
        except RayTaskError as error:
            raise error.cause from None  # as if the store were here


class _FarTrainer(Trainer):
    """A trainer whose checkpoints are handed over to where the store is."""

    store: Any

    def _checkpoint(self) -> None:
        super()._checkpoint()
        self.store.keep(self.run, self.owner)


def _train(door: Any, run: str, attempt: int, environment: Mapping[str, str]) -> str | None:
    """Train a run to its end in a worker; returns its status, None if that is no longer wanted."""
    os.environ.update(environment)
    files = ray.get(door.begin.remote(run, attempt))
    if files is None:
        return None
    with tempfile.TemporaryDirectory(prefix="mixviz-") as folder:
        store: Any = _FarStore(door, Path(folder))
        if files:
            put_checkpoint(store.checkpoint_folder(run), files)
        return _FarTrainer(store, run).train().value


class RayPool:
    """Trains runs as tasks of Ray, each with its share of processors and GPUs.

    A run that failed, or whose worker or node was lost, is carried on from its last checkpoint.

    Parameters
    ----------
    address
        As `ray.init` takes it: None for the cluster that `RAY_ADDRESS` or `ray start` names, else
        one on this machine; "local" always for the latter; otherwise host and port.
    jobs
        Runs at once at the most; by default as many as the cluster has room for.
    """

    elsewhere = True

    def __init__(
        self,
        store: RunStore,
        resources: Resources,
        address: str | None = None,
        jobs: int | None = None,
    ):
        """Prepare; Ray is not touched before the pool is opened."""
        self._store, self._resources, self._jobs = store, resources, jobs
        self._address = address
        self._tasks: dict[Any, str] = {}
        self._attempts: dict[str, int] = {}
        self._stopped = False

    @contextmanager
    def open(self, runs: int) -> Iterator[None]:
        """Connect to Ray, or start one that ends with the sweep.

        Raises
        ------
        MixvizError
            When there is no Ray at the address, or none of its nodes has what a run needs.
        """
        if self._address is not None and "://" in self._address:
            raise MixvizError(
                f"{self._address}: start the sweep on a node of the cluster, and give HOST:PORT."
            )
        before = signal.getsignal(signal.SIGTERM)  # Ray puts its own in place
        joined = ray.is_initialized()
        if not joined:
            _connect(self._address)
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, before)
        try:
            self._open()
            with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
                yield  # Ray prints there of each lost worker, which the store says shorter
        finally:
            if not joined:
                ray.shutdown()

    def _open(self) -> None:
        if self._capacity() < 1:
            wanted = self._resources
            raise MixvizError(
                f"No node of this Ray has the {wanted.cpus:g} CPUs and {wanted.gpus:g} GPUs that "
                "resources ask for each run."
            )
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._door = (
            ray.remote(Door)
            .options(num_cpus=0, max_concurrency=_CALLS_AT_ONCE, scheduling_strategy=here)
            .remote(str(self._store.home))
        )
        self._train = ray.remote(_train).options(
            num_cpus=self._resources.cpus, num_gpus=self._resources.gpus, max_retries=0
        )
        self._environment = {"MIXVIZ_HOME": str(default_home())}
        if "MIXVIZ_DATA" in os.environ:
            self._environment["MIXVIZ_DATA"] = os.environ["MIXVIZ_DATA"]
        if not self._resources.gpus:
            self._environment["CUDA_VISIBLE_DEVICES"] = ""

    def _capacity(self) -> int:
        """How many runs the nodes that are there now can train at once."""
        needs = {"CPU": self._resources.cpus, "GPU": self._resources.gpus}
        return sum(
            int(
                min(
                    node["Resources"].get(kind, 0) // count
                    for kind, count in needs.items()
                    if count
                )
            )
            for node in ray.nodes()
            if node["Alive"]
        )

    @property
    def room(self) -> int:
        """How many more runs may be started now."""
        most = self._capacity() + _AHEAD
        return min(most, self._jobs or most) - len(self._tasks)

    def takes(self, run: str) -> bool:
        """Whether there is room for this run now: every run needs the same."""
        return self.room > 0

    def start(self, run: str) -> None:
        """Submit a run to Ray."""
        attempt = self._attempts[run] = self._attempts.get(run, 0) + 1
        task = self._train.remote(self._door, run, attempt, self._environment)
        self._tasks[task] = run

    def ended(self) -> list[str]:
        """Return the runs that ended for good since the last call; others are submitted again."""
        tasks = list(self._tasks)
        ready, _ = ray.wait(tasks, num_returns=len(tasks), timeout=0) if tasks else ((), ())
        ended = []
        for task in ready:
            run = self._tasks.pop(task)
            failed = not self._stopped and self._failed(task, run)
            if failed and self._attempts[run] <= self._resources.retries:
                why = self._store.get(run, deleted=True).message
                self._store.queue(run)  # it has not ended, whatever is written of it
                self._store.update(run, message=why)
                self.start(run)
            else:
                ended.append(run)
        return ended

    def _failed(self, task: Any, run: str) -> bool:
        """Whether a task failed or was lost; of the latter nobody else told the store."""
        try:
            return bool(ray.get(task) == Status.FAILED)
        except RayError as error:
            reason = str(error).partition("\n")[0]
            status = Status.INTERRUPTED
            self._store.update(run, owner="", status=status, message=f"Lost by Ray: {reason}")
            return True

    def stop(self) -> None:
        """Ask the runs that train to stop, with their last checkpoint; those that wait do not begin."""
        self._stopped = True
        begun = ray.get(self._door.close.remote())
        for task, run in self._tasks.items():
            if (run, self._attempts[run]) in begun:
                self._store.send(run, "stop")
            else:
                ray.cancel(task)


def _connect(address: str | None) -> None:
    try:
        host, colon, port = (address or "").rpartition(":")
        if colon:  # Ray itself tries for minutes where nobody answers
            socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN).close()
        ray.init(
            address=address or None,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise MixvizError(f"No Ray answers at {address or 'this machine'}: {reason}.") from error
