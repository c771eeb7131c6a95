"""What every sweep does, wherever its runs train: start what is missing, watch, stop."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from mixviz.errors import MixvizError
from mixviz.runs import Run, RunStore, Status
from mixviz.sweep.spec import Sweep, Trial
from mixviz.training.config import configuration
from mixviz.training.requests import check, create_run

if TYPE_CHECKING:
    from mixviz.sweep.search import Search

_TICK = 0.5  # seconds between looks at the store
_AGAIN = 2.0  # seconds after which runs that still train are told to stop once more
_BEAT = 5.0  # seconds between signs that runs which wait are not forgotten
OVER = (Status.FINISHED, Status.DIVERGED)  # training them again would give the same
ENDED = (*OVER, Status.FAILED)

Progress = Callable[["Outcome"], None]


@dataclass
class Outcome:
    """How far a sweep is: runs by what became of them.

    Attributes
    ----------
    done
        Number of runs that have ended, and the part that is done of each other.
    planned
        Number of runs in all, those included that a search has still to propose.
    left_out
        Reasons why runs, or searches as a whole, were left out, with their numbers.
    best
        Of each search that found anything, at the end: its `title`, the `criterion`, the `values`
        with the largest `mean` over seeds, and the ids of their `runs`.
    """

    runs: dict[str, Status]
    done: float = 0.0
    planned: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    best: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def share(self) -> float:
        """Share of the planned work that is done, in [0, 1]; every run counts alike."""
        return self.done / max(self.planned, 1)

    def count(self, *statuses: Status) -> int:
        """Return how many runs have one of the statuses."""
        return sum(each in statuses for each in self.runs.values())

    @property
    def ended(self) -> int:
        """How many runs have come to their end, good or bad."""
        return self.count(*ENDED)


class Pool(Protocol):
    """Where the runs of a sweep train.

    Attributes
    ----------
    elsewhere
        Whether runs train on other machines, whose devices are not those of this one.
    """

    elsewhere: bool

    def open(self, runs: int) -> AbstractContextManager[None]:
        """Get ready for so many runs, and clean up at the end."""

    @property
    def room(self) -> int:
        """How many more runs may be started now."""

    def takes(self, run: str) -> bool:
        """Whether there is room for this run now."""

    def start(self, run: str) -> None:
        """Begin to train a run, or carry it on from its checkpoint; returns at once."""

    def ended(self) -> list[str]:
        """Return the runs that were started, are no longer trained, and were not yet returned."""

    def stop(self) -> None:
        """Ask the runs that train to stop; each keeps its last checkpoint. May be asked again."""


def train_all(
    store: RunStore, sweep: Sweep, pool: Pool, progress: Progress | None = None
) -> Outcome:
    """Train what is missing of a sweep and return what became of all.

    A run that the store has with the same configuration is taken as it is when it has finished or
    diverged, left alone while another process trains it, and carried on from its checkpoint
    otherwise. Interrupted by SIGINT or SIGTERM, the runs in training stop and keep their last checkpoint, so
    that the same call goes on where it ended. All runs are tagged with the name of the sweep.

    Raises
    ------
    MixvizError
        Before anything is trained, when a trial cannot be.
    """
    searches = searches_of(store, sweep)
    trials, left_out = at_hand(sweep, sweep.trials(), pool)
    examples, others = at_hand(sweep, [search.example() for search in searches], pool)
    searches = [search for search in searches if search.example() in examples]
    left_out += others
    runs = list(dict.fromkeys(run_of(store, trial) for trial in trials))
    store.tag(runs, sweep.name)
    for search in searches:
        runs = list(dict.fromkeys([*runs, *search.recall()]))
    waiting = [run for run in runs if missing(store, run)]
    over: dict[str, Status] = {}  # what is known to be, and is not asked for again
    for run in waiting:
        if store.get(run).status in (Status.QUEUED, Status.INTERRUPTED):
            store.queue(run)  # by this process, where the one that made it has died

    def planned() -> int:
        return len(runs) + sum(search.left for search in searches) * len(sweep.each_seed)

    def outcome(interrupted: bool) -> Outcome:
        best = [found for search in searches if (found := search.best_found())]
        now = outcome_of(store, runs, over)
        return replace(now, best=best, left_out=dict(left_out), interrupted=interrupted)

    if not waiting and planned() == len(runs):
        return outcome(False)
    with stopping() as stopped, pool.open(len(waiting) + planned() - len(runs)):
        training: set[str] = set()
        told = beaten = 0.0
        while True:
            while not stopped.is_set() and pool.room > 0:
                if not waiting:
                    proposed = next(filter(None, (search.propose() for search in searches)), [])
                    if not proposed:
                        break
                    new = [run for run in dict.fromkeys(proposed) if run not in runs]
                    runs += new
                    waiting += [run for run in new if missing(store, run)]
                    if not waiting:  # all that was proposed has been trained before, or is being
                        continue
                if not pool.takes(waiting[0]):
                    break
                run = waiting.pop(0)
                if missing(store, run):  # still: others may have taken it meanwhile
                    training.add(run)
                    pool.start(run)
            if stopped.is_set() and time.monotonic() - told > _AGAIN:
                told = time.monotonic()
                pool.stop()
            training.difference_update(pool.ended())
            if time.monotonic() - beaten > _BEAT:
                beaten = time.monotonic()
                for run in (*waiting, *training):
                    store.touch(run, "")
            if progress:
                progress(replace(outcome_of(store, runs, over), planned=planned()))
            if training:
                time.sleep(_TICK)
            elif stopped.is_set() or not (waiting or any(search.left for search in searches)):
                break
        return outcome(stopped.is_set())


def searches_of(store: RunStore, sweep: Sweep) -> list["Search"]:
    """Return the searches of a sweep; Optuna is imported where there are any.

    Raises
    ------
    MixvizError
        When Optuna is not installed, or a range does not suit its setting.
    """
    if not (variants := sweep.variants_searched()):
        return []
    from mixviz.sweep.search import Search

    return [Search(store, sweep, variant) for variant in variants]


def at_hand(sweep: Sweep, trials: Sequence[Trial], pool: Pool) -> tuple[list[Trial], Counter[str]]:
    """Return the trials that can be trained, and why others are left out, with their numbers.

    Raises
    ------
    MixvizError
        When a trial cannot be trained and the sweep leaves none out.
    """
    reasons: dict[str, str] = {}  # of configurations, whose seeds are alike
    kept = []
    left_out: Counter[str] = Counter()
    for trial in trials:
        plan = replace(trial.plan, run=trial.plan.run.model_copy(update={"seed": 0}))
        if (key := str(plan.as_json())) not in reasons:
            reasons[key] = ""
            try:
                check_trial(trial, pool)
            except MixvizError as error:
                if not sweep.leave_out:
                    raise
                reasons[key] = str(error)
        if reasons[key]:
            left_out[reasons[key]] += 1
        else:
            kept.append(trial)
    return kept, left_out


def check_trial(trial: Trial, pool: Pool) -> None:
    """Raise `MixvizError` if a trial cannot be trained in the pool."""
    plan = trial.plan
    if pool.elsewhere:
        if plan.run.devices > 1:
            raise MixvizError("A run on Ray trains on one device; take devices=1.")
        plan = replace(plan, run=plan.run.model_copy(update={"device": "cpu"}))
    check(plan)


def run_of(store: RunStore, trial: Trial) -> str:
    """Return the id of the trial's run, made anew if there is none that can be used."""
    found = usable(store, trial)
    return found.id if found else create_run(store, trial.plan, trial.title)


def usable(store: RunStore, trial: Trial) -> Run | None:
    """Return the run of the trial's configuration that is furthest, if there is any.

    Runs that failed, that were steered, or that came with the program do not count.
    """
    config = trial.plan.as_json()
    found = _of_use(store, store.alike(config)) or _of_use(store, _older(store, config))
    return max(found, key=lambda run: (run.status in OVER, run.step), default=None)


def _of_use(store: RunStore, runs: Iterable[Run]) -> list[Run]:
    return [
        run
        for run in runs
        if run.status is not Status.FAILED and not run.shipped and not store.events(run.id)
    ]


def _older(store: RunStore, config: Mapping[str, Any]) -> Iterator[Run]:
    """Return runs from before a setting was added, trained with what is now its default."""
    wanted = configuration(config)
    return (run for run in store.older(config) if configuration(run.config) == wanted)


def missing(store: RunStore, run: str) -> bool:
    """Whether a run is neither at its end nor trained by someone else."""
    found = store.get(run, deleted=True)
    return found.status not in OVER and not (found.owner and found.status.live)


def outcome_of(
    store: RunStore, runs: Sequence[str], over: dict[str, Status] | None = None
) -> Outcome:
    """Return how far runs are.

    Parameters
    ----------
    over
        Runs that are known to be at their end, which are not looked up; those found so are added.
    """
    over = {} if over is None else over
    done = 0.0
    statuses = {}
    for run in runs:
        if run not in over:
            found = store.get(run, deleted=True)
            statuses[run] = found.status
            done += 1.0 if found.status in ENDED else _part(found)
            if found.status in OVER:
                over[run] = found.status
        else:
            statuses[run] = over[run]
            done += 1.0
    return Outcome(statuses, done, len(runs))


def _part(run: Run) -> float:
    return min(run.step / run.total_steps, 1.0) if run.total_steps else 0.0


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set, in place of what they do otherwise."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
