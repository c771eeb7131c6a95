"""Every model on arcs, digits and MNIST over several seeds, beside the papers' figures.

    python benchmarks/results.py [--seeds 5] [--datasets arcs digits mnist] [--models ...] [--table]

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
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_suffix(".json")
TABLE = ROOT / "docs" / "RESULTS.md"
sys.path.insert(0, str(ROOT))

from mixviz.data import SOURCES, source  # noqa: E402
from mixviz.models import MODELS  # noqa: E402
from mixviz.training.config import Plan, plan  # noqa: E402


class Published(NamedTuple):
    """A figure of a paper: accuracy in per cent under the mapping the paper uses."""

    model: str
    dataset: str
    components: int
    accuracy: str
    mapping: str
    source: str


PUBLISHED = (
    Published("gmvae-v1", "mnist", 10, "86.94 ± 6.62 (best 93.67)", "most confident", "v1, M=10"),
    Published("gmvae-v1", "mnist", 16, "90.24 ± 5.74 (best 97.50)", "most confident", "v1, M=10"),
    Published("gmvae-v2", "mnist", 10, "82.31 ± 3.75 (best 88.54)", "most confident", "v2, M=10"),
    Published("gmvae-v2", "mnist", 16, "87.82 ± 5.33 (best 96.92)", "most confident", "v2, M=10"),
    Published("gmvae-v2", "mnist", 30, "92.77 ± 1.60 (best 95.84)", "most confident", "v2, M=1"),
    Published("nvisa", "mnist", 10, "96.55 ± 2.64 (best 98.40)", "one-to-one", "NVISA table I"),
    Published("nvisa", "fashion-mnist", 10, "62.63 ± 2.92 (best 66.14)", "one-to-one", "table I"),
    Published("ae-gmm", "mnist", 10, "84.27", "one-to-one", "NVISA table I"),
    Published("vae-gmm", "mnist", 10, "76.87", "one-to-one", "NVISA table I"),
    Published("dec", "mnist", 10, "84.30", "one-to-one", "DEC, by NVISA table I"),
    Published("vade", "mnist", 10, "94.46", "one-to-one", "VaDE, by NVISA table I"),
    Published("amm", "mnist", 10, "96.68 ± 0.39", "one-to-one", "AMM table 1"),
    Published("amm", "mnist", 20, "96.01 ± 0.79", "majority", "AMM table 1"),
    Published("mpcc", "mnist", 10, "98.48 ± 0.52", "majority, train and test", "MPCC table 4"),
    Published("mpcc", "fashion-mnist", 10, "62.56 ± 4.16", "majority, train and test", "table 4"),
)

COLUMNS = {
    "hungarian": "one-to-one",
    "majority": "majority",
    "most_confident": "most confident",
    "nmi": "NMI",
    "effective_components": "effective components",
    "seconds": "seconds",
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


def train(chosen: Plan, seed: int) -> dict:
    """Train one run and return the figures of its result."""
    settings = {**chosen.settings.model_dump(), **chosen.run.model_dump(), "seed": seed}
    options = [f"--set={name}={value}" for name, value in settings.items()]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "mixviz", "train", "--dataset", chosen.dataset]
            + ["--model", chosen.model, *options, "--json"],
            env={**os.environ, "MIXVIZ_HOME": home},
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
    if done.returncode:
        return {"failed": True}
    printed = json.loads(done.stdout)
    return {
        **printed["accuracy"],
        **{name: printed[name] for name in ("nmi", "effective_components", "seconds", "verdict")},
        "split": printed["split"],
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


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation as text."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def table(records: Sequence[dict], models: Sequence[str]) -> str:
    """Return the whole of RESULTS.md."""
    text = [
        "# Results",
        "",
        "Obtained with the `laptop` presets on two processor cores, each run from cold; mean and "
        "standard deviation over seeds 0, 1, … Accuracies are shares of the evaluated split under "
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
                spread([r[name] for r in good], 0 if name == "seconds" else 3) if good else "–"
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
        "| model | data | K | accuracy | mapping | from |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{p.model}` | {p.dataset} | {p.components} | {p.accuracy} | {p.mapping} | {p.source} |"
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
    parser.add_argument("--table", action="store_true", help="write the table, train nothing")
    args = parser.parse_args()
    records = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    seeds = range(0 if args.table else args.seeds)
    for seed in seeds:
        for chosen, _ in plans(args.models, args.datasets):
            config = configuration(chosen)
            if source(chosen.dataset).missing or any(
                (r["seed"], r["config"]) == (seed, config) for r in records
            ):
                continue
            result = train(chosen, seed)
            print(chosen.model, chosen.dataset, seed, result, file=sys.stderr, flush=True)
            records.append({"config": config, "seed": seed, "result": result})
            RESULTS.write_text(json.dumps(records, indent=1) + "\n")
    TABLE.write_text(table(records, list(MODELS)))
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
