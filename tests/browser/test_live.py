"""Tests of live drawing: plots change in place while a run trains, and zoom stays."""

import time

import numpy as np
import pytest

from mixviz.figures.contours import ellipses
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from tests.browser.driver import (
    COUNT_REMOUNTS,
    await_frames,
    await_plot,
    button,
    frames,
    look,
    plot_selector,
    until,
)

SECONDS = 6.0
WINDOWS = 3  # of so many seconds, the best one counts: other programs may be at work
GL_FIGURES = """
() => [...document.querySelectorAll('.live-plot')].filter(
  plot => plot.querySelector('.gl-container canvas')).length
"""

COUNT_PURGES = """
() => {
  const purge = window.Plotly.purge
  window.purges = 0
  window.Plotly.purge = plot => { window.purges += 1; return purge(plot) }
}
"""


@pytest.fixture
def watched(server, open_page):
    """A page that watches 10,000 points and ten components while they train."""
    values = {"components": 10, "z_prior_floor": 1.5, "epochs": 5000, "slow_start": 0}
    run = create_run(server.store, plan(dataset="arcs", values=values), "Live")
    server.store.update(run, status="stopped")
    page = open_page(f"{server.url}/train?run={run}")
    button(page, "Resume").click()
    await_plot(page)
    for plot in ("z_prior", "usage", "terms", "overlap", "accuracy", "density"):
        await_plot(page, plot)
    return page


def ranges(page):
    return look(page, "[d.layout.xaxis.range, d.layout.yaxis.range].flat()")


# What was given to the libraries that draw on the graphics card, by uid, as places [x, y, x, y, ...]; and
# the numbers in their order. Nothing in a picture before which they were not yet listened to.
GIVEN = """
(() => { const scene = d._fullLayout._plots.xy._scene
         for (const library of [scene.scatter2d, scene.line2d]) {
           if (library.given) continue
           const update = library.update
           library.given = []
           library.update = options => {
             [options].flat().forEach((each, i) => {
               if (each?.positions) library.given[i] = [...each.positions]
             })
             return update.call(library, options)
           }
         }
         const places = {}
         for (const [{ t, trace }] of d.calcdata) if (t?._scene === scene) {
           const library = scene.markerOptions[t.index] ? scene.scatter2d : scene.line2d
           places[trace.uid] = library.given[t.index] ?? []
         }
         return [Number(d.dataset.step), d.data.find(t => t.uid === 'numbers').text, places] })()
"""
COUNT_DRAWN = """
() => {
  const react = window.Plotly.react
  window.drawn = 0
  window.Plotly.react = (plot, ...rest) => {
    window.drawn += plot.getAttribute('aria-label').startsWith('Latent')
    return react(plot, ...rest)
  }
}
"""
DRAWN_AND_SHOWN = """
() => [window.drawn, Number(
  document.querySelector('.live-plot[aria-label^="Latent"]').dataset.frames)]
"""


def test_what_has_moved_is_where_the_snapshot_says(watched, server):
    """Most frames only move points, which goes past Plotly."""
    page, store = watched, server.store
    run = store.runs(1)[0].id
    page.evaluate(COUNT_DRAWN)
    first, compared = frames(page), 0
    while compared < 6:
        await_frames(page, 1)
        step, text, places = look(page, GIVEN.strip())
        try:
            snapshot = store.snapshot(run, step)
        except FileNotFoundError:  # thinned meanwhile
            continue
        if not all(places.values()):
            continue
        numbers = [int(name) for name in text]
        assert sorted(numbers) == list(range(10))
        assert places["numbers"] == pytest.approx(snapshot.means[numbers].ravel(), abs=1e-5)
        for component in np.unique(snapshot.assignments):
            members = snapshot.points[snapshot.assignments == component]
            assert places[f"points-{component}"] == pytest.approx(members.ravel(), abs=1e-5)
        for component, contour in enumerate(ellipses(snapshot.means, snapshot.covariances)):
            assert places[f"component-{component}"] == pytest.approx(contour.ravel(), abs=1e-4)
        compared += 1
    redrawn, shown = page.evaluate(DRAWN_AND_SHOWN)
    assert redrawn < shown - first


def test_every_plot_follows(watched):
    """None waits for the page to be put together anew, which would draw them all."""
    page = watched
    plots = ("latent", "z_prior", "usage", "terms", "overlap", "accuracy", "density")

    def steps():
        return np.array([int(look(page, "d.dataset.step", plot)) for plot in plots])

    for _ in range(2):
        before = steps()
        until(page, lambda before=before: all(steps() > before), "every plot follows")


@pytest.mark.alone
def test_plots_are_never_mounted_again(watched):
    page = watched
    await_frames(page, 6)
    page.evaluate(COUNT_REMOUNTS)
    rates = []
    while len(rates) < WINDOWS and max(rates, default=0) < 1.5:
        first, began = frames(page), time.monotonic()
        page.wait_for_timeout(1000 * SECONDS)
        rates.append((frames(page) - first) / (time.monotonic() - began))
    print("frames a second:", ", ".join(f"{rate:.2f}" for rate in rates))
    assert page.evaluate("window.remounts") == 0
    assert max(rates) >= 1.5
    assert look(page, "d.data.filter(t => t.uid.startsWith('points-')).length") == 10
    shown = "d._fullData.filter(t => t.uid.startsWith('points-')).map(t => t.x.length)"
    assert sum(look(page, shown)) == 10_000
    assert 1 <= page.evaluate(GL_FIGURES) <= 4

    shown = page.locator(".live-plot").count()
    page.evaluate(COUNT_PURGES)
    page.get_by_role("link", name="Home").click()
    until(page, lambda: page.evaluate("window.purges") >= shown, "plots that were left are purged")


def test_zoom_survives_frames_until_a_double_click(watched):
    page = watched
    await_frames(page, 6)
    box = page.locator(f"{plot_selector('latent')} .nsewdrag").first.bounding_box()
    before = ranges(page)

    def at(x, y):
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    page.mouse.move(*at(0.3, 0.3))
    page.mouse.down()
    page.mouse.move(*at(0.6, 0.6), steps=8)
    page.mouse.up()
    until(page, lambda: ranges(page)[1] - ranges(page)[0] < 0.8 * (before[1] - before[0]))
    page.wait_for_timeout(500)  # axes that are tied to each other settle in a second frame
    zoomed = ranges(page)
    # They go on following the plot's height, which a tick's label or the legend changes a little.
    settled = pytest.approx(zoomed, abs=0.02 * (zoomed[1] - zoomed[0]))
    page.evaluate(COUNT_DRAWN)
    until(page, lambda: page.evaluate("window.drawn") >= 3, "drawn anew by Plotly")
    assert ranges(page) == settled
    await_frames(page, 3)
    assert ranges(page) == settled

    page.mouse.dblclick(*at(0.5, 0.5))
    until(page, lambda: ranges(page)[1] - ranges(page)[0] > 1.2 * (zoomed[1] - zoomed[0]))
    await_frames(page, 3)
    assert ranges(page)[1] - ranges(page)[0] > 1.2 * (zoomed[1] - zoomed[0])
