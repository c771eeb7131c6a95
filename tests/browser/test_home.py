"""Tests of the page Home: cards of the runs, on narrow screens, in light and in dark."""

import re

import pytest

from tests.browser.driver import button, shown_size, until


def cards(page):
    """Wait for the cards of the shipped runs, and return their captions."""
    page.get_by_text("Runs to explore").wait_for()
    button(page, "Replay").first.wait_for()
    page.wait_for_selector("[data-test-script-state=notRunning]")
    until(
        page,
        lambda: page.locator("[data-testid=stImage] img").evaluate_all(
            "all => all.length > 0 && all.every(i => i.complete && i.naturalWidth > 100)"
        ),
        "thumbnails",
    )
    return page.locator("[data-testid=stCaptionContainer]").all_inner_texts()


def test_cards_show_shipped_runs_with_thumbnails_and_verdicts(server, figures, open_page):
    page = open_page(server.url)
    cards(page)
    for run in figures:
        page.get_by_text(run.name, exact=True).wait_for()
    captions = cards(page)
    for run in figures:
        assert run.verdict
        assert run.verdict in captions
    pictures = page.locator("[data-testid=stImage] img").count()
    assert pictures == button(page, "Replay").count() + button(page, "Watch").count()
    assert not any("No picture" in caption for caption in captions)

    button(page, "Replay").first.click()
    page.wait_for_url(re.compile(r"/replay\?run="))
    page.wait_for_selector(".live-plot[data-frames]")


@pytest.mark.parametrize("dark", [False, True])
def test_narrow_screen_has_no_horizontal_overflow(server, figures, open_page, dark):
    page = open_page(server.url, width=400, dark=dark)
    cards(page)
    content, window = shown_size(page)
    assert (content, window) == (400, 400)


def luminance(colour):
    """Relative luminance of `rgb(…)`, by the rules for accessible content."""
    channels = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


COLOURS = """
() => {
  const style = (selector) => getComputedStyle(document.querySelector(selector))
  return {
    ground: style('.stApp').backgroundColor,
    text: style('[data-testid=stCaptionContainer], .stMarkdown').color,
    plot: [...document.querySelectorAll('.live-plot .xtick text, .live-plot .ytitle')]
      .map(text => getComputedStyle(text).fill),
  }
}
"""


def test_light_and_dark_differ_and_text_of_plots_is_readable(server, figures, open_page):
    found = {}
    for dark in (False, True):
        page = open_page(f"{server.url}/replay?run={figures[0].id}", dark=dark)
        page.wait_for_selector(".live-plot .xtick text")
        found[dark] = colours = page.evaluate(COLOURS)
        assert len(colours["plot"]) > 5
        for shade in [colours["text"], *colours["plot"]]:
            assert contrast(shade, colours["ground"]) > 4.5, colours
    assert luminance(found[False]["ground"]) > 0.8
    assert luminance(found[True]["ground"]) < 0.05
