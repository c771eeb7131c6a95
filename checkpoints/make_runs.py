"""Make the shipped runs: train each through `mixviz train` and export it beside this file.

    python checkpoints/make_runs.py [NAME ...]
    python checkpoints/make_runs.py --rescore [NAME ...]

`--rescore` trains nothing: it scores the models that are there once more, after a score has changed.
MNIST is read from `MIXVIZ_DATA`. About half an hour on two cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from mixviz.runs import RunStore  # noqa: E402
from mixviz.runs.bundle import export_run, import_run  # noqa: E402
from mixviz.training.saved import evaluate_run  # noqa: E402

# Fewer and smaller snapshots than a run of one's own keeps, so that all bundles stay under 40 MB.
SETTINGS = ["snapshot_points=2500", "snapshot_count=70", "dense_snapshots=true", "seed=1"]
SMALL = [part for setting in SETTINGS for part in ("--set", setting)]
# One thread is as fast on images this small, and leaves the other to whatever else runs.
FEWER = ["--set", "snapshot_count=30", "--set", "threads=1"]

RUNS: dict[str, tuple[str, list[str]]] = {
    "arcs-v2-lambda-0": ("Arcs, GMVAE v2, λ=0", ["--preset", "v2-figure-2d"]),
    "arcs-v2-lambda-1.5": ("Arcs, GMVAE v2, λ=1.5", ["--preset", "v2-figure-2f"]),
    "arcs-v1-figure-2c": ("Arcs, GMVAE v1, η=1, α=0", ["--preset", "v1-figure-2c"]),
    "arcs-v1-figure-2d": ("Arcs, GMVAE v1, η=0, α=0", ["--preset", "v1-figure-2d"]),
    "arcs-v1-figure-2e": ("Arcs, GMVAE v1, η=0, α=1", ["--preset", "v1-figure-2e"]),
    "arcs-v1-figure-2f": ("Arcs, GMVAE v1, η=1, α=2", ["--preset", "v1-figure-2f"]),
    "arcs-gmm": ("Arcs, Gaussian mixture", ["--preset", "gmm-figure-2c"]),
    "digits-v2": ("Digits, GMVAE v2, K=20", ["--preset", "v2-digits"]),
    "mnist-v2": ("MNIST, GMVAE v2", ["--preset", "v2-mnist-laptop"]),
    **{
        f"digits-{name}": (
            f"Digits, {title}",
            ["--preset", f"{name}-digits-laptop", *FEWER],
        )
        for name, title in (
            ("v1", "GMVAE v1"),
            ("nvisa", "NVISA"),
            ("amm", "AMM"),
            ("samm", "SAMM, 100 labels"),
            ("mpcc", "MPCC"),
            ("aim", "AIM"),
            ("vade", "VaDE"),
            ("dec", "DEC"),
            ("ae-gmm", "autoencoder and mixture"),
            ("vae-gmm", "VAE and mixture"),
        )
    },
    **{
        f"digits-{model}": (
            f"Digits, {title}",
            ["--dataset", "digits", "--model", model, "--set", "components=10"],
        )
        for model, title in (("k-means", "k-means"), ("gmm", "Gaussian mixture"))
    },
}


def mixviz(home: str, *arguments: str) -> str:
    """Run the program with a run store of its own and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "mixviz", *arguments],
        env={**os.environ, "MIXVIZ_HOME": home},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def rescore(name: str) -> None:
    """Give a shipped run the scores that its model has now."""
    bundle = HERE / f"{name}.mixviz"
    with tempfile.TemporaryDirectory() as home:
        store = RunStore(Path(home))
        run = store.get(import_run(store, bundle))
        scores = evaluate_run(store, run.id)
        store.update(run.id, result={**run.result, **scores, "verdict": run.verdict})
        export_run(store, run.id, bundle)
    before, after = (found.get("accuracy") or {} for found in (run.result, scores))
    changed = {m: [before.get(m), after[m]] for m in after if before.get(m) != after[m]}
    print(f"{bundle.name}: {changed or 'the same accuracies'}", flush=True)


def main() -> None:
    """Make or rescore the named runs, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--rescore", action="store_true", help="train nothing, score again")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(RUNS):
        parser.error(f"no run {min(unknown)!r}; there are {', '.join(RUNS)}")
    for name in asked.names or RUNS:
        if asked.rescore:
            rescore(name)
            continue
        title, options = RUNS[name]
        with tempfile.TemporaryDirectory() as home:
            trained = mixviz(home, "train", *SMALL, *options, "--name", title, "--json")
            result = json.loads(trained)
            bundle = HERE / f"{name}.mixviz"
            mixviz(home, "export", result["run"], str(bundle))
        print(
            f"{bundle.name}: {bundle.stat().st_size / 1e6:.1f} MB, {result['verdict']}", flush=True
        )


if __name__ == "__main__":
    main()
