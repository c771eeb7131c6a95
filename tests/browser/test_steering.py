"""Tests of the way a newcomer goes: watch a mixture collapse, steer it, pause it, share the link."""

import json
import re
import time

import pytest
from playwright.sync_api import expect

from mixviz.evaluation.degeneracy import SAME_PLACE
from mixviz.runs import Status
from tests.browser.driver import (
    await_frames,
    await_plot,
    button,
    look,
    plot_selector,
    slider,
    until,
)

FLOOR = "Minimum information λ"


def drag_floor(page, goal=1.5):
    """Drag λ with the mouse, then set it exactly with the keys."""
    handle = slider(page, FLOOR)
    assert float(handle.input_value()) == 0
    thumb = handle.locator("xpath=../..").bounding_box()
    track = handle.locator("xpath=../../..").bounding_box()
    y = thumb["y"] + thumb["height"] / 2
    page.mouse.move(thumb["x"] + thumb["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * goal / 5, y, steps=5)
    page.mouse.up()
    dragged = float(handle.input_value())
    assert abs(dragged - goal) < 0.3
    handle.focus()
    for _ in range(round(abs(goal - dragged) / 0.05)):
        page.keyboard.press("ArrowRight" if dragged < goal else "ArrowLeft")
    until(page, lambda: float(handle.input_value()) == goal, "λ moved by keys")


def mean_overlap(snapshot):
    """Mean Bhattacharyya coefficient of two different components."""
    count = len(snapshot.overlap)
    return float(snapshot.overlap.sum() - snapshot.overlap.trace()) / (count * (count - 1))


def kept_step(store, run):
    """Step of a run's checkpoint; -1 in the moment in which it is exchanged."""
    try:
        return json.loads((store.checkpoint_folder(run) / "state.json").read_bytes())["step"]
    except FileNotFoundError:
        return -1


def verdict(page, words):
    return page.get_by_text(words).first


@pytest.mark.alone
def test_collapse_is_watched_steered_and_shared(server, open_page):
    page = open_page(server.url)
    start = button(page, "Watch a mixture collapse")
    start.wait_for()
    page.wait_for_selector("[data-test-script-state=notRunning]")
    # What a browser still fetches for a page that was left is no longer served.
    until(page, lambda: page.evaluate("[...document.images].every(i => i.complete)"), "thumbnails")
    began = time.monotonic()
    start.click()
    await_plot(page)
    run = re.search(r"/train\?.*run=([\w-]+)", page.url).group(1)
    store = server.store
    verdict(page, "merged, no clusters").wait_for()
    seconds = time.monotonic() - began
    print(f"merged {seconds:.1f} s after the click")
    assert seconds < 45

    def overlap(place):
        return mean_overlap(store.snapshot(run, store.snapshot_steps(run)[place]))

    print(f"mean overlap {overlap(0):.2f} at first, {overlap(-1):.2f} now")
    assert overlap(0) < SAME_PLACE
    until(page, lambda: overlap(-1) > SAME_PLACE, "components on one place")

    began = time.monotonic()
    drag_floor(page)
    until(page, lambda: store.get(run).verdict.find(": spread") > 0, "spread")
    verdict(page, ": spread").wait_for()
    print(f"spread {time.monotonic() - began:.1f} s after λ was moved")
    assert time.monotonic() - began < 90
    # Curves travel as packed numbers, which Plotly has unpacked in what it drew.
    curve = "d._fullData.find(t => t.name === 'z-prior')"
    until(page, lambda: look(page, f"{curve}.y.at(-1) > 1", "z_prior"), "z-prior over 1 nat")

    events = [event for event in store.events(run) if event.field == "z_prior_floor"]
    assert events[-1].value == 1.5

    def marked():
        shapes = look(page, "d.layout.shapes", "z_prior")
        labels = {shape["x0"]: shape.get("label", {}).get("text", "") for shape in shapes}
        return labels.get(events[-1].step, "").startswith("λ ")

    until(page, marked, "a mark at the step where λ was changed")

    page.reload()
    await_plot(page)
    assert f"run={run}" in page.url
    assert store.get(run).status is Status.RUNNING
    until(page, lambda: float(slider(page, FLOOR).input_value()) == 1.5, "λ as it was")
    await_frames(page, 2)

    button(page, "Pause").click()
    button(page, "Resume").wait_for()
    until(page, lambda: store.get(run).status is Status.PAUSED, "paused")
    stands = store.get(run).step
    page.wait_for_timeout(1500)
    assert store.get(run).step == stands
    until(page, lambda: int(look(page, "d.dataset.step")) == stands, "the last step is shown")

    second = open_page(page.url)
    await_plot(second)
    second.get_by_text("paused", exact=False).first.wait_for()
    button(second, "Resume").click()
    for each in (second, page):
        button(each, "Pause").wait_for()
    until(page, lambda: store.get(run).step > stands, "training goes on")
    second.close()

    before, asked = kept_step(store, run), store.get(run).step
    button(page, "Checkpoint").click()
    until(page, lambda: kept_step(store, run) >= asked, "a checkpoint was written")
    assert before < asked
    told = page.get_by_text(re.compile(r"[\d,]+ samples/s · .+ left")).first
    expect(told).to_contain_text(re.compile(r"step [\d,]+ · "))
    speed = float(re.search(r"([\d,]+) samples/s", told.inner_text())[1].replace(",", ""))
    assert speed == pytest.approx(store.get(run).samples_per_second, rel=0.3)

    server.mixviz("set", run, "z_prior_floor=2")
    until(page, lambda: float(slider(page, FLOOR).input_value()) == 2, "λ from the terminal")
    server.mixviz("pause", run)
    button(page, "Resume").wait_for()
    server.mixviz("continue", run)
    button(page, "Pause").wait_for()

    button(page, "Stop").click()
    until(page, lambda: store.get(run).status is Status.STOPPED, "stopped")
    page.get_by_text("stopped").first.wait_for()
    expect(page.locator(plot_selector("latent"))).to_have_count(1)
