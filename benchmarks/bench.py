"""Speed of training and of the pages, as ratios to a bare loop and in frames a second.

    python benchmarks/bench.py [PART ...]

Prints what it measures (by default all parts) and writes it into `bench.json` beside this file. What
needs MNIST is measured where it is at hand. Ratios pair runs that follow each other, so that they hold
when the machine's speed drifts. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.catalogue import catalogue  # noqa: E402
from benchmarks.explore import a_million, all_of_mnist, maps  # noqa: E402
from benchmarks.pad import pad  # noqa: E402
from benchmarks.steps import steps  # noqa: E402
from mixviz.data import source  # noqa: E402
from mixviz.runs import RunStore  # noqa: E402
from mixviz.runs.records import WATCHED_FOR  # noqa: E402
from tests.browser.driver import (  # noqa: E402
    COUNT_REMOUNTS,
    Server,
    await_plot,
    chromium,
    frames,
    user,
)

RESULTS = Path(__file__).with_suffix(".json")
PAIRS = 5
WATCHED_PAIRS = 15
WATCHED_SECONDS = 5.0
SETTINGS = {
    "arcs": {"components": 10, "z_prior_floor": 1.5, "epochs": 60, "batch_size": 200},
    "mnist": {"components": 10, "epochs": 1, "batch_size": 128},
}

BARE = """
import json, sys, time, torch
from mixviz.data import load
from mixviz.training.config import plan
from mixviz.models import create
dataset, values = sys.argv[1], json.loads(sys.argv[2])
chosen = plan(dataset=dataset, values=values)
torch.set_num_threads(1 if dataset == "arcs" else torch.get_num_threads())
x = torch.from_numpy(load(dataset).x)
generator = torch.Generator().manual_seed(0)
model = create(chosen.model, chosen.settings, tuple(x.shape[1:]), generator)
optimizer = torch.optim.Adam(model.parameters(), lr=chosen.settings.learning_rate, fused=True)
size = chosen.run.batch_size
began = time.perf_counter()
for epoch in range(chosen.run.epochs):
    order = torch.randperm(len(x), generator=generator)
    for start in range(0, len(x) - size + 1, size):
        objective, _ = model.objective(x[order[start : start + size]], generator)
        optimizer.zero_grad(set_to_none=True)
        (-objective).backward()
        optimizer.step()
seconds = time.perf_counter() - began
print(json.dumps(chosen.run.epochs * (len(x) // size) * size / seconds))
"""


def bare_loop(dataset: str) -> float:
    """Samples a second of the shortest loop with the same network and optimiser."""
    printed = subprocess.run(
        [sys.executable, "-c", BARE, dataset, json.dumps(SETTINGS[dataset])],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return float(printed.stdout)


def headless(dataset: str) -> float:
    """Samples a second of `mixviz train`, with its curves, snapshots and checkpoints."""
    options = [f"--set={name}={value}" for name, value in SETTINGS[dataset].items()]
    with tempfile.TemporaryDirectory() as home:
        printed = subprocess.run(
            [sys.executable, "-m", "mixviz", "train", "--dataset", dataset, *options, "--json"],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "MIXVIZ_HOME": home},
        )
    return float(json.loads(printed.stdout)["samples_per_second"])


def compare(dataset: str, pairs: int) -> dict[str, float]:
    """Run both in turn and return the median of the ratios pair by pair."""
    runs = [(bare_loop(dataset), headless(dataset)) for _ in range(pairs)]
    return {
        "bare_samples_per_second": statistics.median(bare for bare, _ in runs),
        "headless_samples_per_second": statistics.median(trained for _, trained in runs),
        "ratio": statistics.median(trained / bare for bare, trained in runs),
        "ratio_min": min(trained / bare for bare, trained in runs),
        "ratio_max": max(trained / bare for bare, trained in runs),
    }


def watched() -> dict[str, float]:
    """Watch arcs with 10,000 points and K=10 in a browser, and look away, in turn.

    Medians of the speeds, of the ratios pair by pair (with their quartiles, since other work on the
    machine tells more than any change) and of the frames a second; remounts in all.
    """
    from mixviz.training.config import plan
    from mixviz.training.requests import create_run

    chosen = plan(dataset="arcs", values={**SETTINGS["arcs"], "epochs": 20_000})
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        server = Server(Path(folder))
        server.start()
        try:
            store = RunStore(Path(folder))
            run = create_run(store, chosen)
            store.update(run, status="stopped")
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(f"{server.url}/train?run={run}")
            page.get_by_role("button", name="Resume").click()
            await_plot(page)
            looks, alone, drawn, remounts = [], [], [], 0
            for _ in range(WATCHED_PAIRS):
                page.goto(f"{server.url}/train?run={run}")
                await_plot(page)
                time.sleep(3)  # the page is complete, the dense first snapshots are over
                page.evaluate(COUNT_REMOUNTS)
                first, began = frames(page), time.perf_counter()
                looks.append(_speed(store, run))
                drawn.append((frames(page) - first) / (time.perf_counter() - began))
                remounts += page.evaluate("window.remounts")
                page.goto("about:blank")
                time.sleep(WATCHED_FOR + 1)
                alone.append(_speed(store, run))
            store.send(run, "stop")
        finally:
            server.kill()
    ratios = [a / b for a, b in zip(looks, alone, strict=True)]
    quarter, half, three_quarters = statistics.quantiles(ratios, n=4)
    return {
        "samples_per_second": statistics.median(looks),
        "unwatched_samples_per_second": statistics.median(alone),
        "ratio": half,
        "ratio_quarter": quarter,
        "ratio_three_quarters": three_quarters,
        "frames_per_second": statistics.median(drawn),
        "remounts": remounts,
    }


def _speed(store: RunStore, run: str) -> float:
    """Samples a second of a run that trains now."""
    first, began = store.get(run).step, time.perf_counter()
    time.sleep(WATCHED_SECONDS)
    steps = store.get(run).step - first
    return steps * SETTINGS["arcs"]["batch_size"] / (time.perf_counter() - began)


def pages() -> dict[str, float]:
    """Seconds from a click on a link to the first picture, on a server that runs.

    From the third visit on a browser keeps the program in compiled form; the first visit is given apart.
    """
    found: dict[str, list[float]] = {"home": [], "replay": []}
    with tempfile.TemporaryDirectory() as folder, user() as browser:
        server = Server(Path(folder))
        server.start()
        try:
            browser.new_page().goto(server.url)
            time.sleep(12)  # shipped runs are unpacked, PyTorch is imported
            run = next(run.id for run in RunStore(Path(folder)).runs() if run.shipped)
            for _ in range(PAIRS + 2):
                page = browser.new_page()
                began = time.perf_counter()
                page.goto(server.url)
                page.wait_for_selector("[data-testid=stImage] img")
                found["home"].append(time.perf_counter() - began)
                began = time.perf_counter()
                page.goto(f"{server.url}/replay?run={run}")
                await_plot(page)
                found["replay"].append(time.perf_counter() - began)
                page.close()
        finally:
            server.kill()
    return {
        figure: value
        for name, times in found.items()
        for figure, value in (
            (f"{name}_seconds", statistics.median(times[2:])),
            (f"{name}_first_seconds", times[0]),
        )
    }


PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "arcs": lambda: compare("arcs", PAIRS),
    "mnist": lambda: compare("mnist", 1),
    "watched": watched,
    "pages": pages,
    "maps": maps,
    "70,000": all_of_mnist,
    "million": a_million,
    "pad": pad,
    "catalogue": catalogue,
    "steps": steps,
}
WITH_MNIST = ("mnist", "70,000")


def main() -> None:
    """Measure the chosen parts, print each and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {min(unknown)!r}; there are {', '.join(PARTS)}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in parts:
        if part in WITH_MNIST and source("mnist").missing:
            print(f"{part} is left out:", source("mnist").missing)
            continue
        results[part] = PARTS[part]()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        for name, value in results[part].items():
            print(f"{part:<10} {name:<28} {value:>10,.2f}", flush=True)


if __name__ == "__main__":
    main()
