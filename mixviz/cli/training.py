"""Commands that train: one run, a run that was interrupted, many runs and the table of them."""

import argparse
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from mixviz.cli.terminal import assignment, report_run, share_bar
from mixviz.errors import MixvizError
from mixviz.runs import RunStore, Status

_ALWAYS = ("verdict", "seconds", "samples_per_second")  # of runs too that did not end well


def train(options: argparse.Namespace) -> int:
    """Train a model from its start."""
    from mixviz.training.config import plan
    from mixviz.training.requests import check, create_run

    values = dict(assignment(text) for text in options.set)
    values |= {k: v for k in ("epochs", "seed") if (v := getattr(options, k)) is not None}
    chosen = plan(
        dataset=options.dataset, model=options.model, preset_name=options.preset, values=values
    )
    check(chosen)
    store = RunStore()
    return _train_here(store, lambda: create_run(store, chosen, options.name), options.json)


def cluster(options: argparse.Namespace) -> int:
    """Cluster a data set with what suits it."""
    from mixviz.analysis.suggest import clustering, stored_suggestion, suggest_components
    from mixviz.data import source
    from mixviz.training.requests import check, create_run

    store, dataset, components = RunStore(), source(options.dataset).name, options.components
    if components is None:
        suggestion = stored_suggestion(store, dataset)
        if suggestion is None:
            with share_bar() as report:
                suggest_components(store, report, dataset)
            suggestion = stored_suggestion(store, dataset)
        assert suggestion is not None
        components = suggestion.components
    chosen = clustering(store, dataset, components, options.seed)
    check(chosen.plan)
    if not options.json:
        print(chosen.reason, flush=True)

    def make() -> str:
        run = create_run(store, chosen.plan, options.name or chosen.name)
        store.annotate([run], note=chosen.reason)
        return run

    return _train_here(store, make, options.json, components=components, reason=chosen.reason)


def resume(options: argparse.Namespace) -> int:
    """Carry on a run from its checkpoint."""
    from mixviz.training.requests import check, stored_plan

    store = RunStore()
    run = store.get(options.run)
    if run.status is Status.DIVERGED:
        raise MixvizError(
            f"Run {run.id} diverged and would diverge again; "
            "train a new one with a lower learning rate."
        )
    if options.epochs is not None:
        from mixviz.training.requests import change_epochs

        change_epochs(store, run, options.epochs)
    check(stored_plan(store, run.id))
    return _train_here(store, lambda: run.id, options.json)


def _train_here(store: RunStore, make: Callable[[], str], as_json: bool, **chosen: Any) -> int:
    """Train a run in this process; the JSON document also holds what was `chosen` for it.

    `make` returns its id. It is called when nothing is left to be waited for and signals stop the run:
    one that comes earlier leaves none behind.
    """
    from tqdm import tqdm

    from mixviz.training.trainer import Trainer

    run, told = "", False

    def stop(signum: int, frame: object) -> None:
        nonlocal told
        told = True
        if run:
            store.send(run, "stop")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    run = make()
    if told:
        store.send(run, "stop")
    with tqdm(unit=" steps", file=sys.stderr, dynamic_ncols=True) as bar:

        def progress(step: int, total: int, terms: dict[str, float]) -> None:
            bar.total = total
            if not bar.n:
                bar.initial = bar.n = step
            finite = {name: value for name, value in terms.items() if value is not None}
            bar.set_postfix({name: f"{v:.3g}" for name, v in finite.items()}, refresh=False)
            bar.update(step - bar.n)

        trainer = Trainer(store, run, progress)
        status = trainer.train()
    finished = store.get(run)
    if as_json:
        seen = {name: getattr(finished, name) for name in _ALWAYS}
        found = {"run": run, "status": status, **chosen, **seen, **finished.result}
        print(json.dumps(found, allow_nan=False))
    else:
        report_run(finished)
    if status in (Status.DIVERGED, Status.FAILED):
        print(f"mixviz: run {run} {status}: {finished.message or trainer.message}", file=sys.stderr)
        return 1
    return 0


def sweep(options: argparse.Namespace) -> int:
    """Train what is missing of a sweep."""
    from tqdm import tqdm

    from mixviz.sweep import LocalPool, Outcome, Pool, read_sweep, train_all

    sweep, store = read_sweep(options.file), RunStore()
    pool: Pool = LocalPool(store, options.jobs)
    if options.ray is not None:
        from mixviz.sweep.on_ray import RayPool

        pool = RayPool(store, sweep.resources, options.ray or None, options.jobs)
    shape = "{percentage:3.0f}%|{bar}| {n:.1f}/{total} runs [{elapsed}<{remaining}{postfix}]"
    with tqdm(file=sys.stderr, dynamic_ncols=True, total=1, bar_format=shape) as bar:

        def progress(now: Outcome) -> None:
            bar.total = now.planned
            bar.set_postfix_str(f"{now.ended} ended", refresh=False)
            bar.update(now.done - bar.n)

        outcome = train_all(store, sweep, pool, progress)
        progress(outcome)
    messages = {run: store.get(run, deleted=True).message for run in outcome.runs}
    messages = {run: message for run, message in messages.items() if message}
    if options.json:
        said = {"runs": outcome.runs, "messages": messages}
        said |= {"best": outcome.best, "left_out": outcome.left_out}
        print(json.dumps({"name": sweep.name, **said}))
    else:
        for status in Status:
            if count := outcome.count(status):
                print(f"{status:<11}  {count}")
        for message, count in Counter(messages.values()).items():
            print(f"  of {count}: {message}")
        for reason, count in outcome.left_out.items():
            print(f"left out     {count}  {reason}")
        for found in outcome.best:
            values = "  ".join(f"{name}={value}" for name, value in found["values"].items())
            print(f"best of {found['title']}  {values}")
            print(f"  {found['criterion']} {found['mean']:.3f}  runs {' '.join(found['runs'])}")
    if outcome.interrupted:
        print("mixviz: interrupted; the same command goes on.", file=sys.stderr)
        return 1
    return int(outcome.count(Status.FINISHED) < len(outcome.runs))


def report(options: argparse.Namespace) -> int:
    """Write the table of a sweep."""
    from mixviz.sweep import read_sweep
    from mixviz.sweep.report import merged, read_records, report, rows, write_records

    sweep = read_sweep(options.file)
    before = read_records(options.records)
    records = merged(before, RunStore(), sweep.trials())
    found = rows(sweep, records)
    text = report(found, options.file.as_posix(), options.records.as_posix())
    try:
        if len(records) > len(before):
            write_records(records, options.records)
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MixvizError(f"{error.filename} cannot be written: {error.strerror}.") from error
    filled = sum(bool(row.records) for row in found)
    print(f"{options.output}  {filled} of {len(found)} configurations have runs")
    print(f"{options.records}  runs: {len(records)}, new: {len(records) - len(before)}")
    return 0
