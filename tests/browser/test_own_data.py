"""Tests of Data and Compare in a browser: a ZIP uploaded, clustered and explored; two runs compared."""

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.browser.driver import button, shown_size, until


def zipped(classes=3, each=40):
    """A ZIP of folders of pictures, one bright square in a place of its own in each class."""
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for k in range(classes):
            for i in range(each):
                pixels = rng.integers(0, 60, (16, 16))
                pixels[4 * k : 4 * k + 4, 4 * k : 4 * k + 4] = 255
                picture = io.BytesIO()
                Image.fromarray(pixels.astype(np.uint8)).save(picture, "PNG")
                archive.writestr(f"squares/place {k}/{i:03d}.png", picture.getvalue())
    return buffer.getvalue()


def settled(page):
    page.wait_for_timeout(400)
    page.wait_for_selector("[data-test-script-state=notRunning]")


def test_zip_is_uploaded_clustered_and_explored(server, open_page):
    page = open_page(f"{server.url}/data")
    upload = {"name": "squares.zip", "mimeType": "application/zip", "buffer": zipped()}
    page.locator("input[type=file]").set_input_files(upload)
    page.get_by_text("120 images in 3 folders").wait_for()
    settled(page)
    button(page, "Save as a data set").click()
    page.get_by_text("120 images of 16x16 pixels").wait_for()
    settled(page)
    button(page, "Cluster this").click()
    page.wait_for_url(re.compile(r"/train"))
    (run,) = until(
        page,
        lambda: [r for r in server.store.runs() if r.dataset == "squares" and r.status.live],
        "a run",
    )
    assert "least BIC" in run.note
    assert run.config["settings"]["components"] >= 2
    page.get_by_text("squares, K=").first.wait_for()
    until(page, lambda: server.store.snapshot_steps(run.id), "a snapshot")
    server.store.send(run.id, "stop")
    until(page, lambda: not server.store.get(run.id).status.live, "the end of the run")
    page.goto(f"{server.url}/explore?run={run.id}")
    page.wait_for_selector(".live-plot[data-frames]")


def tick(page, *rows):
    """Tick rows of the table, whose cells are painted on a canvas."""
    for row in rows:
        table = page.locator("[data-testid=stDataFrame]").bounding_box()
        page.mouse.click(table["x"] + 16, table["y"] + 35 * row + 52)
        settled(page)


def test_two_runs_are_compared(server, figures, open_page):
    page = open_page(f"{server.url}/compare?models=gmvae-v1&datasets=arcs")
    page.get_by_text(re.compile(r"^4 runs\.")).wait_for()
    settled(page)
    tick(page, 0, 2)
    until(page, lambda: page.url.count("chosen=") == 2, "two chosen runs in the link")
    page.get_by_text("Difference", exact=True).click()
    page.get_by_text("Data as CSV").wait_for()
    page.get_by_text("Curves", exact=True).first.click()
    page.wait_for_selector('.live-plot[data-frames][aria-label^="one-to-one"]')
    link = page.url
    other = open_page(link)
    other.wait_for_selector('.live-plot[data-frames][aria-label*="of 2 runs"]')


def test_deleted_run_comes_back(server, short_run, open_page):
    page = open_page(f"{server.url}/compare?chosen={short_run}")
    button(page, "Delete").wait_for()
    settled(page)
    button(page, "Delete").click()
    button(page, "Undo").wait_for()
    assert short_run not in [run.id for run in server.store.runs(1000)]
    button(page, "Undo").click()
    until(page, lambda: short_run in [r.id for r in server.store.runs(1000)], "the run")


@pytest.mark.parametrize("name", ["data", "compare"])
@pytest.mark.parametrize("dark", [False, True])
def test_narrow_pages_have_no_overflow(server, figures, open_page, name, dark):
    page = open_page(f"{server.url}/{name}", width=400, dark=dark)
    page.get_by_text("Add data" if name == "data" else "Chosen runs").first.wait_for()
    settled(page)
    assert shown_size(page) == (400, 400)
