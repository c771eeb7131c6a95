"""Tests of Generate: drag on the pad, samples that follow the seed, exports, links."""

import io
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from mixviz.data import source
from mixviz.runs.bundle import import_shipped
from tests.browser.driver import ROOT, button, shown_size, until


@pytest.fixture(scope="session")
def pictures(shared_server):
    """A shipped run on images: MNIST where it is at hand, else scikit-learn's digits."""
    import_shipped(shared_server.store, ROOT / "checkpoints")
    dataset = "digits" if source("mnist").missing else "mnist"
    return next(r for r in shared_server.store.runs(1000) if r.shipped and r.dataset == dataset)


@pytest.fixture(scope="session")
def points(shared_server):
    """A shipped run on two-dimensional data."""
    import_shipped(shared_server.store, ROOT / "checkpoints")
    return next(
        r
        for r in shared_server.store.runs(1000)
        if r.shipped and r.model == "gmvae-v2" and r.dataset == "arcs"
    )


def answers(page):
    return int(page.locator(".pad").get_attribute("data-answers") or 0)


def picture(page):
    return page.locator(".pad-picture").get_attribute("src")


def open_pad(server, run, open_page, query="", **settings):
    page = open_page(f"{server.url}/generate?run={run.id}&view=Pad{query}", **settings)
    page.wait_for_selector(".pad-picture[src]")
    page.wait_for_selector(".pad-backdrop[src]")
    return page


@pytest.mark.parametrize("which", ["pictures", "points"])
def test_dragging_decodes_what_is_under_the_handle(server, which, request, open_page):
    run = request.getfixturevalue(which)
    page = open_pad(server, run, open_page)
    first, before = picture(page), answers(page)
    box = page.locator(".pad-plane").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    seen = set()
    for i in range(1, 13):
        page.mouse.move(box["x"] + 60 + 25 * i, box["y"] + 60 + 20 * i)
        page.wait_for_timeout(50)
        seen.add(picture(page))
    page.mouse.up()
    until(page, lambda: answers(page) > before, "an answer")
    until(page, lambda: "at=" in page.url, "the place in the link")
    assert picture(page) != first
    place = urllib.parse.unquote(page.url.partition("at=")[2].partition("&")[0])
    written = "at ({:.2f}, {:.2f})".format(*map(float, place.split(",")))
    until(page, lambda: written in page.locator(".pad-text").inner_text(), "the last answer")
    text = page.locator(".pad-text").inner_text()
    assert text.startswith("component ")

    handle = page.locator(".pad-handle").bounding_box()
    assert abs(handle["x"] + handle["width"] / 2 - box["x"] - 360) < 3
    again = open_pad(server, run, open_page, f"&at={place}")
    until(again, lambda: again.locator(".pad-text").inner_text() == text, "the same place")


def test_arrow_keys_move_the_handle(server, pictures, open_page):
    page = open_pad(server, pictures, open_page)
    page.locator(".pad-plane").focus()
    start = page.locator(".pad-handle").bounding_box()
    text = page.locator(".pad-text").inner_text()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    until(page, lambda: page.locator(".pad-text").inner_text() != text, "another place")
    assert page.locator(".pad-handle").bounding_box()["x"] < start["x"] - 50


def test_samples_follow_seed_and_temperature_and_are_exported(server, pictures, open_page):
    page = open_page(f"{server.url}/generate?run={pictures.id}&seed=5&each=4")
    found = page.locator('img[alt^="Samples of"]')
    found.wait_for()
    first = found.get_attribute("src")
    with page.expect_download() as downloading:
        button(page, "NPZ").click()
    with np.load(downloading.value.path(), allow_pickle=False) as archive:
        samples = archive["samples"]
    assert samples.shape[1] == 4
    with page.expect_download() as downloading:
        button(page, "PNG").click()
    assert "seed5" in downloading.value.suggested_filename
    with Image.open(io.BytesIO(downloading.value.path().read_bytes())) as image:
        assert image.format == "PNG"
    page.get_by_label("Seed", exact=True).fill("6")
    page.keyboard.press("Enter")
    until(page, lambda: found.get_attribute("src") != first, "other samples")
    assert "seed=6" in page.url


def test_interpolation_in_the_link(server, pictures, open_page):
    page = open_page(f"{server.url}/generate?run={pictures.id}&view=Interpolation&from=3&to=11")
    page.locator('img[alt="From observation 3 to 11 in 12 steps"]').wait_for()
    button(page, "Random").click()
    page.locator('img[alt="From observation 3 to 11 in 12 steps"]').wait_for(state="detached")


def test_scores_are_computed_when_asked(server, short_run, open_page):
    page = open_page(f"{server.url}/generate?run={short_run}&view=Scores")
    start = page.get_by_role("button", name="Score 2,000 samples")
    start.wait_for()
    start.click()
    box = page.locator("[data-testid=stSelectbox]").filter(has_text="Feature network")
    network = box.locator("input").input_value()
    assert network.startswith("encoder of ")  # the number's name says which
    found = page.get_by_text(f"Fréchet distance, {network}", exact=True).first
    found.wait_for()
    page.reload()  # kept: nothing is asked again
    found.wait_for()


@pytest.mark.parametrize("view", ["Samples", "Pad", "Interpolation", "Reconstructions"])
def test_page_fits_a_narrow_screen(server, pictures, open_page, view):
    page = open_page(f"{server.url}/generate?run={pictures.id}&view={view}", width=400)
    page.wait_for_selector(".pad-picture[src]" if view == "Pad" else "[data-testid=stImage] img")
    content, window = shown_size(page)
    assert (content, window) == (400, 400)
