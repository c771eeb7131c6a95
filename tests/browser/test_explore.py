"""Tests of Explore: lasso to images, the image under the pointer, neighbours, links, a narrow screen."""

import io
import re

import pandas as pd
import pytest
from playwright.sync_api import expect

from mixviz.analysis.encoded import encode_run
from mixviz.analysis.maps import principal_plane
from mixviz.analysis.neighbours import within
from mixviz.data import source
from mixviz.runs.bundle import import_shipped
from mixviz.ui.explore_selection import parse_outline
from tests.browser.driver import ROOT, button, shown_size, until

MAP = '.live-plot[data-frames][aria-label^="Map by"]'
LASSO = [(0.3, 0.3), (0.5, 0.25), (0.65, 0.4), (0.6, 0.6), (0.45, 0.65), (0.32, 0.5)]


def shipped(server, dataset):
    """A shipped run with several components, whichever was made last."""
    import_shipped(server.store, ROOT / "checkpoints")
    found = server.store.runs(shipped=True)
    return next(run.id for run in found if (run.dataset, run.model) == (dataset, "gmvae-v2"))


@pytest.fixture(params=["digits", "mnist"])
def run(server, request):
    if source(request.param).missing:
        pytest.skip(f"{request.param} is not at hand")
    return shipped(server, request.param)


def place(page, x, y):
    box = page.locator(f"{MAP} .nsewdrag").first.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def draw_around(page, corners):
    page.mouse.move(*place(page, *corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*place(page, *corner), steps=4)
    page.mouse.up()


def selected(page):
    """How many are selected, and of how many; None before that is said."""
    text = page.locator("[data-testid=stMarkdownContainer] strong").all_inner_texts()
    found = [m for each in text if (m := re.match(r"([\d,]+) of ([\d,]+) selected", each))]
    return found and [int(number.replace(",", "")) for number in found[0].groups()]


def drawn(page):
    return page.evaluate("new URL(location).searchParams.get('outline')")


def greyed(page):
    """Points that are not selected, as the plot knows them."""
    return page.locator(MAP).evaluate(
        "d => d._fullData.filter(t => t.uid.startsWith('points-'))"
        ".reduce((n, t) => n + (t.selectedpoints ? t.x.length - t.selectedpoints.length : 0), 0)"
    )


def test_lasso_to_images_and_back(server, run, open_page):
    page = open_page(f"{server.url}/explore?run={run}")
    page.wait_for_selector(MAP)
    page.get_by_text("draw on the map to select").wait_for()
    draw_around(page, LASSO)
    count, total = until(page, lambda: selected(page), "what is selected")
    until(page, lambda: drawn(page), "the outline in the link")

    encoding = encode_run(server.store, run)
    plane = principal_plane(server.store, run, encoding.latents)
    points = plane.project(encoding.latents)
    inside = within(points.astype("float32"), pd.DataFrame(parse_outline(drawn(page))).to_numpy())
    assert total == len(points)
    assert 0 < count < total
    assert count == pytest.approx(inside.sum(), abs=3)  # the link rounds corners
    assert greyed(page) == pytest.approx(total - count, abs=3)
    picture = page.locator("[data-testid=stImage] img").first
    until(page, lambda: picture.evaluate("i => i.complete && i.naturalWidth"), "the images")

    page.wait_for_selector("[data-test-script-state=notRunning]")
    with page.expect_download() as saving:
        button(page, "CSV").click()
    table = pd.read_csv(io.BytesIO(saving.value.path().read_bytes()))
    assert len(table) == count
    assert {"index", "x", "y", "component", "confidence", "label"} <= set(table.columns)

    again = open_page(page.url)
    again.wait_for_selector(MAP)
    assert until(again, lambda: selected(again))[0] == pytest.approx(count, abs=3)
    until(again, lambda: greyed(again) > 0, "greyed points")

    button(again, "Clear").click()
    again.get_by_text("draw on the map to select").wait_for()
    until(again, lambda: greyed(again) == 0 and not drawn(again), "nothing greyed")


def test_many_points_are_there_before_plotly_is(server, open_page):
    held = []
    page = open_page(f"{server.url}/")
    page.route("**/plotly.min.js", lambda route: held.append(route))
    page.goto(f"{server.url}/explore?run={shipped(server, 'arcs')}")
    page.wait_for_selector(".live-plot[data-sketched] > canvas")
    colours = page.locator(".live-plot > canvas").evaluate(
        """canvas => { const { width, height } = canvas
        const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, width, height).data.buffer)
        return new Set(pixels).size }"""
    )
    assert colours > 5
    assert not page.locator(MAP).count()
    held[0].continue_()
    page.wait_for_selector(MAP)
    until(page, lambda: not page.locator(".live-plot > canvas").count(), "the figure alone")
    tools = page.locator(".live-plot .modebar-btn").evaluate_all(
        "all => all.map(b => b.dataset.title)"
    )
    assert "Draw rectangle" in tools
    assert not [tool for tool in tools if "Share" in tool or "Cloud" in tool]  # data stay here


def test_pointing_shows_the_image_and_a_click_its_neighbours(server, open_page):
    page = open_page(f"{server.url}/explore?run={shipped(server, 'digits')}")
    page.wait_for_selector(MAP)
    page.wait_for_selector("[data-test-script-state=notRunning]")
    where = page.locator(MAP).evaluate(
        """d => { const t = d._fullData.find(t => t.uid.startsWith('points-')), a = d._fullLayout
        const box = d.getBoundingClientRect()
        return [box.left + a.xaxis._offset + a.xaxis.d2p(t.x[0]),
                box.top + a.yaxis._offset + a.yaxis.d2p(t.y[0]), t.customdata[0]] }"""
    )
    page.mouse.move(where[0] + 30, where[1] + 30)
    page.mouse.move(where[0], where[1])
    card = page.locator(".explore-hover:visible")
    card.wait_for()
    row = int(page.locator(MAP).get_attribute("data-row"))
    expect(card).to_have_text(re.compile(rf"^#{row} · component"))
    image = card.locator(".explore-hover-image")
    assert "url(" in image.evaluate("i => i.style.backgroundImage")

    page.mouse.down()
    page.mouse.up()
    until(page, lambda: f"point={row}" in page.url, "the point in the link")
    page.get_by_text("nearest neighbours in latent space").wait_for()
    expect(page.get_by_role("spinbutton", name="Index of a point")).to_have_value(str(row))


def test_three_dimensions_and_colours(server, open_page):
    page = open_page(
        f"{server.url}/explore?run={shipped(server, 'digits')}&dimensions=3&by=confidence&components=1"
    )
    page.wait_for_selector(MAP)
    kinds = page.locator(MAP).evaluate("d => d.data.map(t => t.type)")
    assert set(kinds) == {"scatter3d"}
    count, total = until(page, lambda: selected(page))
    grey = page.locator(MAP).evaluate("d => d._fullData.find(t => t.uid === 'greyed').x.length")
    assert grey == total - count
    assert page.locator(MAP).evaluate("d => d._fullData.some(t => t.marker?.showscale)")


@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_a_narrow_screen(server, open_page, dark):
    page = open_page(f"{server.url}/explore?run={shipped(server, 'digits')}", width=400, dark=dark)
    page.wait_for_selector(MAP)
    content, window = shown_size(page)
    assert (content, window) == (400, 400)
