"""The app in a process of its own, and a browser that looks at it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import find_chromium

ROOT = Path(__file__).parents[2]

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


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find_chromium(install=True)),
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        try:
            yield browser
        finally:
            browser.close()


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


def await_plot(page: Page, plot: str = "latent", timeout: float = 60) -> None:
    """Wait until a live plot has been drawn for the first time."""
    page.wait_for_selector(plot_selector(plot), timeout=1000 * timeout)
