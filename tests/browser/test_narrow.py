"""Tests of Train and Replay on a screen 400 pixels wide."""

import pytest

from tests.browser.driver import await_plot, plot_selector, shown_size


def test_the_bar_lies_over_nothing(server, figures, open_page):
    page = open_page(f"{server.url}/train?run={figures[0].id}", width=400)
    form = page.locator("[data-testid=stExpander]").first
    form.wait_for()
    bar = page.locator("[data-testid=stHeader]").bounding_box()
    assert form.bounding_box()["y"] >= bar["y"] + bar["height"]


@pytest.mark.parametrize("name", ["train", "replay"])
def test_page_fits_a_narrow_screen(server, figures, open_page, name):
    page = open_page(f"{server.url}/{name}?run={figures[0].id}", width=400)
    for plot in ("latent", "z_prior", "terms", "density"):
        await_plot(page, plot)
    content, window = shown_size(page)
    assert (content, window) == (400, 400)
    box = page.locator(plot_selector("latent")).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 400
    assert box["width"] > 250
    drawn = page.locator(f"{plot_selector('latent')} .main-svg").first.bounding_box()
    assert drawn["x"] + drawn["width"] <= 400
