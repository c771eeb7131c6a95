"""Speed of Explore: maps computed and read again, first pictures, lasso to thumbnails.

70,000 points are MNIST's, a million are drawn like the arcs.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

from mixviz.embedding import SETTINGS, fit_map
from mixviz.runs import RunStore
from mixviz.runs.bundle import import_shipped
from tests.browser.driver import ROOT, Server, button, choose, user

TIMES = 3
SKETCH = '.live-plot[data-sketched][aria-label^="Map by"]'
MAP = '.live-plot[data-frames][aria-label^="Map by"]'
# When the frame after the points' was drawn, by the wall clock: the page itself has to say so, for
# while Plotly loads it answers nothing.
WATCH = f"""
new MutationObserver(() => {{
  if ("sketched" in window || !document.querySelector('{SKETCH}, {MAP}')) return;
  window.sketched = null;
  requestAnimationFrame(() => requestAnimationFrame(() => {{
    window.sketched = performance.timeOrigin + performance.now();
  }}));
}}).observe(document, {{ subtree: true, childList: true, attributes: true }});
"""
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


def page(
    server: Server, url: str, control: str, other: tuple[str, str], option: tuple[str, str]
) -> dict[str, float]:
    """Seconds to the first picture once all is cached, and from the end of a lasso to what it selects.

    The picture is asked for by a link, where the browser starts the app, and on the page itself, by
    choosing `option` where `other` was chosen, each with the points that it draws. By a link the points
    come first, then the figure.
    """
    points, link, choice, lasso = [], [], [], []
    with user() as browser:
        for number in range(TIMES + 2):
            shown = browser.new_page()
            shown.set_default_timeout(600_000)
            shown.add_init_script(WATCH)
            began = time.time()
            shown.goto(f"{server.url}/{url}")
            await_map(shown)
            arrived = time.time() - began
            sketched = shown.evaluate("window.sketched") / 1000 - began
            shown.wait_for_selector("[data-test-script-state=notRunning]")
            selected = draw_around(shown)
            button(shown, "Clear").first.click()
            until_drawn(shown, control, *other)
            seconds = until_drawn(shown, control, *option)
            if number > 1:  # from the third visit on a browser keeps the program in compiled form
                points.append(sketched)
                link.append(arrived)
                lasso.append(selected)
                choice.append(seconds)
            shown.close()
    return {
        "link_to_points_seconds": statistics.median(points),
        "link_to_picture_seconds": statistics.median(link),
        "choice_to_picture_seconds": statistics.median(choice),
        "lasso_seconds": statistics.median(lasso),
    }


def until_drawn(shown: Page, control: str, option: str, count: str) -> float:
    """Choose an option of the page and return the seconds until a map of so many points is drawn."""
    shown.wait_for_selector("[data-test-script-state=notRunning]")
    began = time.perf_counter()
    choose(shown, control, option)
    await_map(shown, f'[aria-label*=": {count}"]')
    return time.perf_counter() - began


def await_map(shown: Page, which: str = "") -> None:
    """Wait for a map; what is not encoded yet is encoded."""
    encode = shown.get_by_role("button", name="Encode")
    # A description and its picture are set in one go.
    drawn = shown.locator(f"{MAP}{which}")
    drawn.or_(encode).first.wait_for()
    if encode.count():
        encode.click()
        drawn.wait_for()


def draw_around(shown: Page) -> float:
    """Draw a lasso and return the seconds until what it selects is shown."""
    box = shown.locator(f"{MAP} .nsewdrag").first.bounding_box()
    assert box is not None
    corners = [(box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in LASSO]
    shown.mouse.move(*corners[0])
    shown.mouse.down()
    for corner in corners[1:]:
        shown.mouse.move(*corner, steps=5)
    began = time.perf_counter()
    shown.mouse.up()
    shown.wait_for_selector("text=/of .* selected/")
    shown.wait_for_selector("[data-test-script-state=notRunning]")
    return time.perf_counter() - began


def all_of_mnist() -> dict[str, float]:
    """Measure the page with MNIST's 70,000 images."""
    with tempfile.TemporaryDirectory() as folder, serving(folder) as server:
        url = f"explore?run={shipped(server, 'mnist')}&part=all"
        test, both = ("Test part", "10,000 points"), ("All", "70,000 points")
        return page(server, url, "Observations", test, both)


def a_million() -> dict[str, float]:
    """Measure the page with a million points."""
    with tempfile.TemporaryDirectory() as folder, serving(folder) as server:
        server.mixviz("add", million(folder), "--name", "million", "--scaling", "none")
        url = f"explore?run={shipped(server, 'arcs')}&on=million"
        arcs, million_points = ("Arcs", "20,000 points"), ("million", "1,000,000 points")
        return page(server, url, "Data set", arcs, million_points)


@contextmanager
def serving(folder: str) -> Iterator[Server]:
    """Give a server with the shipped runs."""
    server = Server(Path(folder))
    server.start()
    try:
        import_shipped(server.store, ROOT / "checkpoints")
        yield server
    finally:
        server.kill()


def shipped(server: Server, dataset: str) -> str:
    """Return the id of a shipped run on a data set."""
    return next(r.id for r in server.store.runs(1000) if r.shipped and r.dataset == dataset)
