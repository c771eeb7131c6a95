"""Time from a move of the pad's handle to the decoded picture on the screen.

The browser sends a place, the server decodes it and answers with a PNG, the browser shows it; one
question at a time, as in a drag.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from mixviz.analysis.encoded import saved_model
from mixviz.analysis.generation import decode_points
from mixviz.data import source
from mixviz.runs import RunStore
from mixviz.runs.bundle import import_shipped
from tests.browser.driver import ROOT, Server, chromium

MOVES = 60
WARM = 10  # first moves, which are not counted


def pad() -> dict[str, float]:
    """Milliseconds of the model alone, and of the whole way in a browser, on a shipped run."""
    dataset = "digits" if source("mnist").missing else "mnist"
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        server = Server(Path(folder))
        store = RunStore(Path(folder))
        import_shipped(store, ROOT / "checkpoints")
        run = next(run.id for run in store.runs(1000) if run.shipped and run.dataset == dataset)
        alone = decoding(store, run)
        server.start()
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(f"{server.url}/generate?run={run}&view=Pad")
            page.wait_for_selector(".pad-picture[src]", timeout=60_000)
            page.wait_for_timeout(3000)
            box = page.locator(".pad-plane").bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + 50, box["y"] + 200)
            page.mouse.down()
            for i in range(MOVES):
                page.mouse.move(box["x"] + 50 + 5 * i, box["y"] + 200 + 2 * i)
                page.wait_for_timeout(150)
            page.mouse.up()
            page.wait_for_timeout(1000)
            times = [
                float(each) for each in page.locator(".pad").get_attribute("data-times").split()
            ]
        finally:
            server.kill()
    counted = times[WARM:]
    return {
        "decode_ms": alone,
        "drag_ms": statistics.median(counted),
        "drag_ms_95": float(np.quantile(counted, 0.95)),
        "moves": len(counted),
    }


def decoding(store: RunStore, run: str) -> float:
    """Median milliseconds that the model takes for one place, its probabilities included."""
    saved = saved_model(store, run)
    size = saved.model.components().means.shape[1]
    places = np.random.default_rng(0).normal(size=(MOVES, 1, size))
    times = []
    for place in places:
        began = time.perf_counter()
        decode_points(saved, place)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[WARM:])
