"""Tests of Clusters: a cell is clicked and its images appear, components are merged and named."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mixviz.analysis.encoded import encode_run
from mixviz.data import source
from mixviz.runs import RunStore
from mixviz.runs.bundle import import_shipped
from mixviz.runs.names import given_names
from tests.browser.driver import ROOT, button, shown_size, slider, until


@pytest.fixture(scope="session")
def pictures(shared_server):
    """A shipped run on images: MNIST where it is at hand, else scikit-learn's digits."""
    import_shipped(shared_server.store, ROOT / "checkpoints")
    dataset = "digits" if source("mnist").missing else "mnist"
    shipped = [run for run in shared_server.store.runs(1000) if run.shipped]
    return next(run for run in shipped if (run.model, run.dataset) == ("gmvae-v2", dataset))


def open_clusters(server, run, open_page, query="", **settings):
    page = open_page(f"{server.url}/clusters?run={run.id}{query}", **settings)
    page.wait_for_selector(".cm-table")
    return page


def image(page, alt):
    """The picture whose description begins so, as it is served."""
    found = page.locator(f'img[alt^="{alt}"]').first
    found.wait_for()
    content = page.request.get(found.evaluate("d => d.src")).body()
    return Image.open(io.BytesIO(content))


def test_click_on_a_cell_shows_its_images(server, pictures, open_page):
    page = open_clusters(server, pictures, open_page)
    encoding = encode_run(RunStore(server.home), pictures.id)
    counts = np.zeros((encoding.log_responsibilities.shape[1], 10), int)
    np.add.at(counts, (encoding.assignments, encoding.data.labels), 1)
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    cell = page.locator(f'[data-cell="{row}-{column}"]')
    assert cell.inner_text().replace(",", "") == str(counts.max())
    cell.click()
    page.get_by_text(f"{counts.max():,} observations", exact=False).first.wait_for()
    shown = np.asarray(image(page, "Most confident first").convert("RGB"))
    inside = np.flatnonzero((encoding.assignments == row) & (encoding.data.labels == column))
    best = inside[encoding.log_responsibilities[inside, row].argmax()]
    pixels = np.round(encoding.data.x[best, 0] * 255)
    step = max(1, 40 // pixels.shape[0])  # how much an image is enlarged
    assert np.array_equal(
        shown[: step * len(pixels) : step, : step * len(pixels) : step, 0], pixels
    )
    until(page, lambda: f"cell={row}-{column}" in page.url, "the cell in the link")

    again = open_page(page.url)
    again.wait_for_selector(f'[data-cell="{row}-{column}"][aria-pressed="true"]')
    again.locator('img[alt^="Least confident first"]').first.wait_for()


def test_arrows_and_enter_choose_a_cell(server, pictures, open_page):
    page = open_clusters(server, pictures, open_page)
    page.locator(".cm-table tbody button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate(
        "() => { let d = document.activeElement;"
        " while (d.shadowRoot?.activeElement) d = d.shadowRoot.activeElement; return d.dataset.cell }"
    )
    page.keyboard.press("Enter")
    until(page, lambda: f"cell={chosen}" in page.url, "the cell in the link")
    page.wait_for_selector(f'[data-cell="{chosen}"][aria-pressed="true"]')


def test_merging_by_keyboard_follows_everywhere(server, pictures, open_page):
    page = open_clusters(server, pictures, open_page)
    rows = page.locator(".cm-table tbody tr")
    before = rows.count()
    slider(page, "Merge components down to").focus()
    page.keyboard.press("ArrowLeft")
    until(page, lambda: rows.count() == before - 1, "one row less")
    assert f"k={before - 1}" in page.url
    assert any("+" in name for name in page.locator(".cm-table tbody th").all_inner_texts())
    page.get_by_text(f"of {before - 1}", exact=False).first.wait_for()


def test_typed_name_is_kept_and_used(server, pictures, open_page):
    page = open_clusters(server, pictures, open_page)
    first = page.locator(".cm-table tbody th").first
    component = int(first.inner_text())
    page.wait_for_selector("[data-test-script-state=notRunning]")
    table = page.locator("[data-testid=stDataFrame] canvas").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.dblclick(box["x"] + 160, box["y"] + 52)
    page.wait_for_selector("textarea.gdg-input:focus")
    # With no time at all between its keys, the table's editor is left before it has taken the text.
    page.keyboard.type("my <b>own</b>", delay=50)
    page.keyboard.press("Enter", delay=50)
    expected = f"{component} · my <b>own</b>"
    until(page, lambda: first.inner_text().strip() == expected, "the name in the matrix")
    assert given_names(server.store, pictures.id) == {component: "my <b>own</b>"}


def test_matrix_is_exported(server, pictures, open_page):
    page = open_clusters(server, pictures, open_page)
    with page.expect_download() as downloading:
        button(page, "Matrix as CSV").click()
    table = pd.read_csv(downloading.value.path())
    assert len(table) == page.locator(".cm-table tbody tr").count()
    total = int(table.drop(columns="component").to_numpy().sum())
    assert total == len(encode_run(RunStore(server.home), pictures.id).data)


@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_a_narrow_screen(server, pictures, open_page, dark):
    page = open_clusters(server, pictures, open_page, "&cell=1-", width=400, dark=dark)
    page.locator('img[alt^="For each component"]').wait_for()
    content, window = shown_size(page)
    assert (content, window) == (400, 400)
