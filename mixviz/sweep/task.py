"""A sweep as a task in the background of the app."""

from mixviz.analysis.encoded import Report
from mixviz.runs import RunStore, Status
from mixviz.sweep.drive import Outcome, train_all
from mixviz.sweep.local import LocalPool
from mixviz.sweep.spec import parse_sweep

TASK = f"{__name__}:train_sweep"


def train_sweep(
    store: RunStore, report: Report, text: str, jobs: int | None = None
) -> dict[str, int]:
    """Train what is missing of a sweep on this machine; ended by SIGTERM, its runs stop.

    Returns reasons why runs were left out, with their numbers.

    Parameters
    ----------
    text
        The sweep in YAML.
    jobs
        Runs at once; by default one for each GPU, or without one for each core.
    """

    def progress(now: Outcome) -> None:
        training = now.count(Status.RUNNING, Status.PAUSED)
        report(now.share, f"{now.ended} of {now.planned} runs have ended, {training} in training")

    sweep = parse_sweep(text, "The sweep")
    return train_all(store, sweep, LocalPool(store, jobs), progress).left_out
