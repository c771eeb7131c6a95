"""Every model on arcs, digits and MNIST over several seeds, beside the papers' figures.

    python benchmarks/results.py [--seeds 5] [--jobs 1] [--datasets arcs digits mnist]
                                 [--models ...] [--table]

Each run is `mixviz train` with the model's `...-laptop` preset for the data set (baselines without
one take their defaults and K = number of classes), in a run store of its own. Runs that
`results.json` has with the same configuration are not repeated; `--table` trains nothing. Writes
`results.json` beside this file after each run and `docs/RESULTS.md` at the end.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_suffix(".json")
TABLE = ROOT / "docs" / "RESULTS.md"
sys.path.insert(0, str(ROOT))

from mixviz.data import SOURCES, source  # noqa: E402
from mixviz.evaluation.published import PUBLISHED  # noqa: E402
from mixviz.models import MODELS  # noqa: E402
from mixviz.training.config import Plan, plan  # noqa: E402

COLUMNS = {
    "hungarian": "one-to-one",
    "majority": "majority",
    "most_confident": "most confident",
    "nmi": "NMI",
    "effective_components": "effective components",
    "processor_seconds": "processor seconds",
}


def plans(models: Sequence[str], datasets: Sequence[str]) -> Iterator[tuple[Plan, str]]:
    """Yield each model's plan for each data set, with its reason; SAMM is scored with labels seen."""
    for dataset in datasets:
        for model in models:
            laptop = [
                (name, preset)
                for name, preset in MODELS[model].presets.items()
                if name.endswith("-laptop") and preset.dataset == dataset
            ]
            if laptop:
                name, preset = laptop[0]
                yield plan(preset_name=name), preset.reason
            elif MODELS[model].full_batch:
                values = {"components": SOURCES[dataset].classes}
                yield plan(model=model, dataset=dataset, values=values), ""


def train(chosen: Plan, seed: int, threads: int) -> dict:
    """Train one run and return the figures of its result."""
    settings = {**chosen.settings.model_dump(), **chosen.run.model_dump()}
    settings |= {"seed": seed, "threads": threads}
    options = [f"--set={name}={value}" for name, value in settings.items()]
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "mixviz", "train", "--dataset", chosen.dataset]
            + ["--model", chosen.model, *options, "--json"],
            env={**os.environ, "MIXVIZ_HOME": home},
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        return {"failed": True}
    found = json.loads(printed)
    return {
        **found["accuracy"],
        **{name: found[name] for name in ("nmi", "effective_components", "seconds", "verdict")},
        "processor_seconds": used.ru_utime + used.ru_stime,
        "split": found["split"],
    }


def configuration(chosen: Plan) -> dict:
    """What makes two runs comparable: everything but the seed and the speed of the machine."""
    config = chosen.as_json()
    config["run"] = {
        name: value
        for name, value in config["run"].items()
        if name in ("epochs", "batch_size", "split", "precision")
    }
    return config


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation as text."""
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def table(records: Sequence[dict], models: Sequence[str]) -> str:
    """Return the whole of RESULTS.md."""
    text = [
        "# Results",
        "",
        "Obtained with the `laptop` presets on two processor cores, each run from cold; mean and "
        "standard deviation over seeds 0, 1, …; processor seconds are the median of both cores together, "
        "start and scoring included (other work ran beside some). Accuracies are shares of the evaluated split under "
        "the mapping named. No model saw a label in training but SAMM, whose labelled subset is "
        "part of its preset. Presets were chosen by looking at a few seeds of the same data sets, "
        "so these figures are what a user can expect, not an estimate free of selection. Made by "
        "`python benchmarks/results.py`; single runs are in `benchmarks/results.json`.",
        "",
    ]
    for dataset in ("arcs", "digits", "mnist", "fashion-mnist"):
        rows, reasons = [], []
        for chosen, reason in plans(models, [dataset]):
            config = configuration(chosen)
            runs = [r for r in records if r["config"] == config]
            if not runs:
                continue
            good = [run["result"] for run in runs if not run["result"].get("failed")]
            cells = [
                "–"
                if not good
                else f"{statistics.median(r[name] for r in good):.0f}"
                if name == "processor_seconds"
                else spread([r[name] for r in good])
                for name in COLUMNS
            ]
            failed = f" ({len(runs) - len(good)} ended early)" if len(good) < len(runs) else ""
            count = chosen.settings.components
            rows.append(
                f"| `{chosen.model}` | {count} | {len(runs)}{failed} | {' | '.join(cells)} |"
            )
            if reason:
                reasons.append(f"* `{chosen.model}`: {reason}")
        if rows:
            text += [
                f"## {source(dataset).title}",
                "",
                f"| model | K | seeds | {' | '.join(COLUMNS.values())} |",
                "|---|---|---|" + "---|" * len(COLUMNS),
                *rows,
                "",
                *reasons,
                "",
            ]
    text += [
        "## Published",
        "",
        "Accuracy in per cent as the papers print it, at their own budgets (3 to 30 GPU hours).",
        "",
        "| model | data | K | S | accuracy | mapping | from |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| `{p.model}` | {p.dataset} | {p.components} | {p.samples or '–'} | {p.accuracy} |"
            f" {COLUMNS[p.mapping]}{', train and test' * (p.split == 'all')} | {p.source} |"
            for p in PUBLISHED
        ),
        "",
        "Runs on a GPU at the `paper` presets: none yet.",
    ]
    return "\n".join(text) + "\n"


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--datasets", nargs="+", default=["arcs", "digits", "mnist"])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, which share the cores")
    parser.add_argument("--table", action="store_true", help="write the table, train nothing")
    args = parser.parse_args()
    records = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    known = {(r["seed"], json.dumps(r["config"], sort_keys=True)) for r in records}
    todo = [
        (chosen, seed)
        for seed in range(0 if args.table else args.seeds)
        for chosen, _ in plans(args.models, args.datasets)
        if not source(chosen.dataset).missing
        and (seed, json.dumps(configuration(chosen), sort_keys=True)) not in known
    ]
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    with ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(train, *each, threads): each for each in todo}
        for done in as_completed(running):
            chosen, seed = running[done]
            result = done.result()
            print(chosen.model, chosen.dataset, seed, result, file=sys.stderr, flush=True)
            records.append({"config": configuration(chosen), "seed": seed, "result": result})
            RESULTS.write_text(json.dumps(records, indent=1) + "\n")
    TABLE.write_text(table(records, list(MODELS)))
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
