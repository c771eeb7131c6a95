"""Commands about runs that are in the store: list, steer, score, share."""

import argparse
import json

from mixviz.cli.terminal import assignment, print_scores
from mixviz.errors import MixvizError
from mixviz.runs import Run, RunStore


def list_runs(options: argparse.Namespace) -> int:
    """List runs, newest first."""
    runs = RunStore().runs(options.limit)
    if options.json:
        keys = ["id", "name", "model", "dataset", "status", "message", "step", "total_steps"]
        keys += ["created", "seconds", "samples_per_second", "verdict", "result", "config"]
        print(json.dumps([{key: getattr(run, key) for key in keys} for run in runs]))
        return 0
    for run in runs:
        done = f"{run.step}/{run.total_steps}"
        print(f"{run.id}  {run.status:<11}  {done:>13}  {run.name:<40.40}  {run.verdict}")
    return 0


def _live_run(store: RunStore, name: str) -> Run:
    run = store.get(name)
    if not run.status.live:
        raise MixvizError(
            f"Run {run.id} is {run.status}, no process trains it; "
            f"carry it on with: mixviz resume {run.id}."
        )
    return run


def send(options: argparse.Namespace) -> int:
    """Send a command to a run, wherever it trains."""
    store = RunStore()
    run = _live_run(store, options.run)
    store.send(run.id, options.sends)
    return 0


def set_live(options: argparse.Namespace) -> int:
    """Change a live setting of a run."""
    from mixviz.training.requests import check_live

    store = RunStore()
    run = _live_run(store, options.run)
    name, text = assignment(options.assignment)
    try:
        value = float(text)
    except ValueError:
        raise MixvizError(f"{text!r} is not a number.") from None
    check_live(run, name, value)
    store.send(run.id, "set", name, value)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Score a run's model."""
    from mixviz.training.saved import evaluate_run

    run = RunStore().get(options.run)
    result = evaluate_run(RunStore(), run.id, options.dataset)
    if options.json:
        print(json.dumps({"run": run.id, **result}, allow_nan=False))
    else:
        print(f"run      {run.id}  {run.name}\nverdict  {result['verdict']}")
        print_scores(run, result)
    return 0


def export(options: argparse.Namespace) -> int:
    """Write a run into a file."""
    from mixviz.runs.bundle import export_run

    store = RunStore()
    export_run(store, store.get(options.run).id, options.file)
    print(options.file)
    return 0


def import_(options: argparse.Namespace) -> int:
    """Read a run from a file."""
    from mixviz.runs.bundle import import_run

    print(import_run(RunStore(), options.file))
    return 0
