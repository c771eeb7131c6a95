"""Speed of Explore: maps computed and read again, first pictures, lasso to thumbnails.

    python benchmarks/explore_bench.py

Prints a table and writes `explore_bench.json` beside this file. 70,000 points are MNIST's and are left
out where it is not at hand; a million points are drawn like the arcs. Nothing else should run meanwhile.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mixviz.data import source  # noqa: E402
from mixviz.embedding import SETTINGS, fit_map  # noqa: E402
from mixviz.runs import RunStore  # noqa: E402
from mixviz.runs.bundle import import_shipped  # noqa: E402
from tests.browser.driver import Server, chromium  # noqa: E402

RESULTS = Path(__file__).with_suffix(".json")
TIMES = 3
MAP = '.live-plot[data-frames][aria-label^="Map by"]'
LASSO = [(0.35, 0.35), (0.5, 0.3), (0.6, 0.45), (0.55, 0.6), (0.4, 0.62)]


def maps(points: int = 10_000, size: int = 200) -> dict[str, float]:
    """Seconds of t-SNE and UMAP of ten clusters, and of reading such a map again."""
    rng = np.random.default_rng(0)
    latents = 3 * rng.normal(size=(10, size))[rng.integers(10, size=points)]
    latents = (latents + rng.normal(size=latents.shape)).astype(np.float32)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        kept = RunStore(Path(folder)).artifacts
        for method, config in SETTINGS.items():
            began = time.perf_counter()
            coordinates, _ = fit_map(method, latents, config(), 2)
            found[f"{method}_seconds"] = time.perf_counter() - began
            kept.write("map", method, {"points": coordinates})
            began = time.perf_counter()
            assert kept.read("map", method) is not None
            found[f"{method}_cached_seconds"] = time.perf_counter() - began
    return found


def million(folder: str) -> str:
    """Write a million points of five arcs to a file."""
    rng = np.random.default_rng(0)
    k = rng.integers(5, size=1_000_000)
    theta = 2 * np.pi * k / 5
    radius = 0.4 + 0.025 * rng.standard_normal(len(k))
    angle = theta + np.pi / 2 + 0.5 * rng.standard_normal(len(k))
    x = 0.6 * np.cos(theta) + radius * np.cos(angle)
    y = 0.6 * np.sin(theta) + radius * np.sin(angle)
    path = Path(folder) / "million.npz"
    np.savez(path, x=np.stack([x, y], 1).astype(np.float32), labels=k)
    return str(path)


def page(server: Server, url: str) -> dict[str, float]:
    """Seconds to the first picture, once cached, and from the end of a lasso to what it selects."""
    first, lasso = [], []
    with chromium() as browser:
        for number in range(TIMES + 1):
            shown = browser.new_page(viewport={"width": 1400, "height": 1000})
            shown.set_default_timeout(600_000)
            began = time.perf_counter()
            shown.goto(f"{server.url}/{url}")
            encode = shown.get_by_role("button", name="Encode")
            shown.locator(MAP).or_(encode).first.wait_for()
            if encode.count():
                encode.click()
                shown.wait_for_selector(MAP)
            if number:
                first.append(time.perf_counter() - began)
            shown.wait_for_selector("[data-test-script-state=notRunning]")
            box = shown.locator(f"{MAP} .nsewdrag").first.bounding_box()
            assert box is not None
            corners = [
                (box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in LASSO
            ]
            shown.mouse.move(*corners[0])
            shown.mouse.down()
            for corner in corners[1:]:
                shown.mouse.move(*corner, steps=5)
            began = time.perf_counter()
            shown.mouse.up()
            shown.wait_for_selector("text=/of .* selected/")
            shown.wait_for_selector("[data-test-script-state=notRunning]")
            if number:
                lasso.append(time.perf_counter() - began)
            shown.close()
    return {
        "first_picture_seconds": statistics.median(first),
        "lasso_seconds": statistics.median(lasso),
    }


def pages() -> dict[str, dict[str, float]]:
    """Measure the page with 70,000 and with a million points."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            import_shipped(server.store, ROOT / "checkpoints")
            runs = {run.dataset: run.id for run in server.store.runs(1000) if run.shipped}
            if source("mnist").missing:
                print("MNIST is left out:", source("mnist").missing)
            else:
                found["70,000"] = page(server, f"explore?run={runs['mnist']}&part=all")
            server.mixviz("add", million(folder), "--name", "million", "--scaling", "none")
            found["million"] = page(server, f"explore?run={runs['arcs']}&on=million")
        finally:
            server.kill()
    return found


def main() -> None:
    """Measure everything, print the table and write it."""
    results = {"maps": maps(), **pages()}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for group, figures in results.items():
        for name, value in figures.items():
            print(f"{group:<8} {name:<24} {value:>10,.2f}")


if __name__ == "__main__":
    main()
