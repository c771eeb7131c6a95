"""The app in a process of its own, and a browser that looks at it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    TimeoutError,
    sync_playwright,
)

from mixviz.runs import RunStore, Status
from tests.browser.chromium import find_chromium

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds that a test waits for what must come, on a slow machine too

# Counts elements of class `live-plot` that leave the document: a chart that was mounted again.
COUNT_REMOUNTS = """
() => {
  window.remounts = 0
  const count = node => node.nodeType === 1 &&
    (node.matches('.live-plot') ? 1 : node.querySelectorAll('.live-plot').length)
  new MutationObserver(changes => {
    for (const change of changes) for (const node of change.removedNodes) window.remounts += count(node)
  }).observe(document.body, { childList: true, subtree: true })
}
"""


class Server:
    """`mixviz app` on a free port, with a run store of its own."""

    def __init__(self, home: Path, **environment: str):
        """Choose a port; nothing is started yet."""
        self.home = home
        self.environment = {**os.environ, "MIXVIZ_HOME": str(home), **environment}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mixviz", "app"]
                + ["--server.headless", "true", "--server.port", str(self.port)],
                env=self.environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError((self.home / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        """End the server as a crash would: SIGKILL, without a chance to tidy up."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def store(self) -> RunStore:
        """The server's run store, as another process sees it."""
        return RunStore(self.home)

    def mixviz(self, *arguments: str) -> str:
        """Run the program in a second terminal, on the server's store; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "mixviz", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop_runs(self) -> None:
        """Stop what trains, and wait until it has stopped."""
        store = self.store
        limit = time.monotonic() + 60
        while live := [run for run in store.runs(1000) if run.status.live]:
            for run in live:
                if run.status is not Status.QUEUED and not store.open_commands(run.id):
                    store.send(run.id, "stop")
            assert time.monotonic() < limit, f"these runs do not stop: {live}"
            time.sleep(0.1)


class Problems:
    """What must not happen on any page; gathered from all pages of a test."""

    def __init__(self) -> None:
        """Begin with none."""
        self.found: list[str] = []
        self.server_may_die = False

    def watch(self, page: Page) -> None:
        """Gather what goes wrong on a page from now on."""
        page.on("pageerror", lambda error: self.found.append(f"uncaught: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        where = message.location.get("url", "")
        # On a link to a page, Streamlit asks for these below the page's own path first.
        probe = "/_stcore/" in where and "404" in message.text
        lost = self.server_may_die and any(
            words in message.text
            for words in (
                "ERR_CONNECTION",
                "WebSocket",
                "disconnected from server",
                "server endpoint",
                "server is not responding",
            )
        )
        if not probe and not lost:
            self.found.append(f"console: {message.text} ({where})")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(
            ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:")
        ):
            self.found.append(f"request: {request.url[:200]}")


_ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find_chromium(install=True)), args=_ARGUMENTS
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def user() -> Iterator[BrowserContext]:
    """Give a headless Chromium that keeps files between pages, as that of a user does."""
    with sync_playwright() as playwright, TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=str(find_chromium(install=True)),
            args=_ARGUMENTS,
            viewport={"width": 1400, "height": 1000},
        )
        try:
            yield context
        finally:
            context.close()


def frames(page: Page, plot: str = "latent") -> int:
    """How often a live plot has been drawn."""
    return int(page.locator(plot_selector(plot)).first.get_attribute("data-frames") or 0)


def plot_selector(plot: str) -> str:
    """Select a live plot by its place: latent, z_prior, usage, terms, overlap, accuracy, density."""
    starts = {
        "latent": "Latent space",
        "z_prior": "z-prior",
        "usage": "Usage",
        "terms": "Terms",
        "overlap": "Overlap",
        "accuracy": "Accuracy",
        "density": "Learned density",
    }
    return f'.live-plot[data-frames][aria-label^="{starts[plot]}"]'


def await_plot(page: Page, plot: str = "latent") -> None:
    """Wait until a live plot has been drawn for the first time."""
    page.wait_for_selector(plot_selector(plot), timeout=1000 * PATIENCE)


def until(page: Page, condition: Callable[[], T], what: str = "") -> T:
    """Wait for a condition while the page lives, and return what it gave."""
    limit = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < limit, f"not within {PATIENCE} s: {what or condition}"
        page.wait_for_timeout(100)
    return found


def await_frames(page: Page, count: int, plot: str = "latent") -> None:
    """Wait until a live plot has been drawn `count` times more."""
    goal = frames(page, plot) + count
    until(page, lambda: frames(page, plot) >= goal, f"{count} more frames")


def look(page: Page, expression: str, plot: str = "latent") -> Any:
    """Evaluate JavaScript on a live plot, called `d`: Plotly's data and layout are d.data, d.layout."""
    return page.locator(plot_selector(plot)).first.evaluate(f"d => {expression}")


def slider(page: Page, label: str) -> Locator:
    """Find the handle of a slider, which takes keys."""
    return page.get_by_role("slider", name=label)


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a select box, which closes when the page is put together meanwhile."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        page.get_by_role("combobox", name=label).click()
        try:
            page.get_by_role("option", name=option).first.click(timeout=5_000)
        except TimeoutError:
            page.keyboard.press("Escape")
        else:
            return
    raise AssertionError(f"{label} does not offer {option!r}")


def button(page: Page, name: str) -> Locator:
    """Find a button by the whole of its text, without its icon.

    A button with help is in the document twice, once for narrow screens; one that has moved down the
    page stands for a moment in its old place too, marked as stale.
    """
    here = page.locator('button:visible:not([data-stale="true"] *)')
    return here.filter(has=page.get_by_text(name, exact=True))


def shown_size(page: Page) -> tuple[int, int]:
    """Width of the document and width of the window."""
    width = page.evaluate("document.documentElement.scrollWidth")
    main = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    return max(width, main), page.evaluate("window.innerWidth")
