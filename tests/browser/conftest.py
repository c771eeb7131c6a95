"""Fixtures of the browser tests: servers, the browser, and pages on which nothing may go wrong.

With PICTURES=1 in the environment every page is saved below `artifacts/` as it was in the end.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from mixviz.runs import Run, Status
from mixviz.runs.bundle import import_shipped
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from tests.browser.driver import PATIENCE, ROOT, Problems, Server, user

expect.set_options(timeout=1000 * PATIENCE)

PICTURES = ROOT / "artifacts"

OpenPage = Callable[..., Page]

_SHORT = {"batch_size": 1000, "components": 4, "epochs": 4, "snapshot_points": 300, "threads": 1}


@pytest.fixture(scope="session")
def browser() -> Iterator[BrowserContext]:
    """One browser for all tests, which keeps the page's program in compiled form, as a user's does."""
    with user() as started:
        started.set_default_timeout(1000 * PATIENCE)
        yield started


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for most tests, with the shipped runs."""
    started = Server(tmp_path_factory.mktemp("home"))
    started.start()
    yield started
    started.kill()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The shared server; what a test leaves training is stopped."""
    yield shared_server
    shared_server.stop_runs()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that is not started yet and that the test may kill."""
    made = Server(tmp_path / "home")
    yield made
    made.kill()


@pytest.fixture(scope="session")
def short_run(shared_server: Server) -> str:
    """A short finished run on the shared server, trained outside it."""
    run = create_run(shared_server.store, plan(values=_SHORT), "Short")
    assert Trainer(shared_server.store, run).train() is Status.FINISHED
    return run


@pytest.fixture(scope="session")
def figures(shared_server: Server) -> list[Run]:
    """The shipped runs of figure 2 c to f of the paper's first version."""
    import_shipped(shared_server.store, ROOT / "checkpoints")  # what the first page does
    found = [
        run
        for run in shared_server.store.runs(1000)
        if run.shipped and run.model == "gmvae-v1" and run.dataset == "arcs"
    ]
    assert len(found) == 4, [run.name for run in found]
    return sorted(found, key=lambda run: run.name)


@pytest.fixture
def problems() -> Problems:
    return Problems()


@pytest.fixture
def open_page(
    browser: BrowserContext, problems: Problems, request: pytest.FixtureRequest
) -> Iterator[OpenPage]:
    """Open pages; in the end none may have had a problem, and each is saved as a picture if asked."""
    pages: list[Page] = []

    def open_(url: str, width: int = 1400, dark: bool = False) -> Page:
        page = browser.new_page()
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(color_scheme="dark" if dark else "light")
        problems.watch(page)
        pages.append(page)
        page.goto(url)
        return page

    yield open_
    if os.environ.get("PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        name = re.sub(r"\W+", "-", request.node.name).strip("-")
        for number, page in enumerate(pages, 1):
            if not page.is_closed():
                page.screenshot(path=PICTURES / f"{name}-{number}.png", full_page=True)
    for page in pages:
        page.close()
    assert not problems.found, "\n".join(problems.found)
