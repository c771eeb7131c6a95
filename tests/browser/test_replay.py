"""Tests of Replay: links, one slider for all panels, play and pause, exports that others can read."""

import io
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import expect

from mixviz.runs import RunStore, Status
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from tests.browser.driver import (
    ROOT,
    await_plot,
    button,
    choose,
    look,
    plot_selector,
    slider,
    until,
)

STEPS = """
() => [...document.querySelectorAll('.live-plot[aria-label^="Latent"]')].map(d => +d.dataset.step)
"""
TERMS = {"reconstruction", "conditional_prior", "w_prior", "z_prior", "objective"}


def last_before(steps, step):
    return max((s for s in steps if s <= step), default=steps[0])


def shown(page, server, runs, step):
    """Wait until all runs are shown at a step, or at the last before it that they have."""
    expected = [last_before(server.store.snapshot_steps(run), step) for run in runs]
    until(page, lambda: page.evaluate(STEPS) == expected, f"{expected} at step {step}")


def asked(page):
    """The step in the link."""
    return int(page.evaluate("new URL(location).searchParams.get('step')"))


def test_link_restores_four_runs_at_a_step_and_a_slider_moves_all(server, figures, open_page):
    runs = [run.id for run in figures]
    marks = sorted(set().union(*(server.store.snapshot_steps(run) for run in runs)))
    step = marks[len(marks) // 2]
    others = "".join(f"&with={run}" for run in runs[1:])
    page = open_page(f"{server.url}/replay?run={runs[0]}{others}&step={step}&colour=Label")
    await_plot(page)
    shown(page, server, runs, step)
    for run in figures:
        assert page.get_by_text(run.name, exact=True).count() >= 1
    expect(page.get_by_role("radio", name="Label")).to_be_checked()
    assert page.locator('.live-plot[aria-label^="Latent"] canvas').count() > 0
    traces = "[...document.querySelectorAll('.live-plot')].flatMap(d => d.data.map(t => t.uid))"
    assert sum(str(uid).startswith("label-") for uid in page.evaluate(traces)) == 4 * 5
    lowest = "Math.max(...[...document.querySelectorAll('.live-plot')].map(d => d.getBoundingClientRect().bottom))"
    assert page.evaluate(lowest) < 1000  # all four stand on one screen, the slider above them

    slider(page, "Step").focus()
    page.keyboard.press("ArrowRight")
    shown(page, server, runs, marks[marks.index(step) + 1])
    page.keyboard.press("Home")
    shown(page, server, runs, marks[0])
    until(page, lambda: asked(page) == marks[0], "the step in the link")

    again = open_page(page.url)
    await_plot(again)
    shown(again, server, runs, marks[0])
    expect(again.get_by_role("radio", name="Label")).to_be_checked()


def test_play_advances_and_pause_stops(server, figures, open_page):
    run = figures[0].id
    marks = server.store.snapshot_steps(run)
    page = open_page(f"{server.url}/replay?run={run}&step={marks[0]}")
    await_plot(page)
    shown(page, server, [run], marks[0])
    button(page, "Play").click()
    button(page, "Pause").wait_for()
    until(page, lambda: page.evaluate(STEPS)[0] >= marks[4], "frames while playing")
    button(page, "Pause").click()
    button(page, "Play").wait_for()
    page.wait_for_timeout(1000)
    stands = page.evaluate(STEPS)
    page.wait_for_timeout(1500)
    assert page.evaluate(STEPS) == stands
    assert stands[0] < marks[-1]
    assert asked(page) == stands[0]
    page.keyboard.press("k")
    button(page, "Pause").wait_for()
    page.keyboard.press("k")
    button(page, "Play").wait_for()


def test_zoom_stays_when_the_colours_change_and_goes_with_its_run(server, figures, open_page):
    one, other = figures[:2]

    def width(page):
        left, right = look(page, "d._fullLayout.xaxis.range")
        return right - left

    fresh = open_page(f"{server.url}/replay?run={other.id}")
    await_plot(fresh)
    page = open_page(f"{server.url}/replay?run={one.id}")
    await_plot(page)
    whole = width(page)
    box = page.locator(f"{plot_selector('latent')} .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=8)
    page.mouse.up()
    until(page, lambda: width(page) < 0.8 * whole, "zoomed")
    page.wait_for_timeout(500)  # axes that are tied to each other settle in a second frame
    zoomed = pytest.approx(width(page), rel=0.15)  # and settle anew when all is drawn anew
    assert whole != zoomed

    page.get_by_text("Label", exact=True).click()
    uids = "d.data.map(t => t.uid)"
    until(page, lambda: any(uid.startswith("label-") for uid in look(page, uids)), "labels")
    assert width(page) == zoomed

    choose(page, "Run", other.name)
    page.get_by_role("heading", name=other.name).wait_for()
    until(
        page, lambda: width(page) == pytest.approx(width(fresh), rel=0.15), "the other run, whole"
    )


def test_double_click_shows_the_whole_again(server, figures, open_page):
    page = open_page(f"{server.url}/replay?run={figures[0].id}")
    await_plot(page)

    def ranges():
        return look(page, "[...d._fullLayout.xaxis.range, ...d._fullLayout.yaxis.range]")

    whole = ranges()
    box = page.locator(f"{plot_selector('latent')} .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=8)
    page.mouse.up()
    until(page, lambda: ranges()[1] - ranges()[0] < 0.8 * (whole[1] - whole[0]), "zoomed")
    page.wait_for_timeout(500)  # axes that are tied to each other settle in a second frame
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    near = 0.02 * (whole[1] - whole[0])
    until(page, lambda: ranges() == pytest.approx(whole, abs=near), "the whole again")


@pytest.fixture
def export(server, short_run, open_page):
    """Replay of the short run, with its exports open."""
    page = open_page(f"{server.url}/replay?run={short_run}")
    await_plot(page)
    page.locator("[data-testid=stExpander] summary").filter(has_text="Export").click()
    button(page, "Terms as CSV").wait_for()
    return page


def save(page, first, second=None):
    """Press a button, and the button to save that appears; return the name and what was saved."""
    if second is not None:
        button(page, first).click()
        found = page.locator("[data-testid=stDownloadButton] button:visible").filter(
            has_text=second
        )
        found.wait_for()
    else:
        found = button(page, first)
    with page.expect_download() as downloading:
        found.click()
    return downloading.value


def test_terms_are_exported_as_csv(export, server, short_run):
    saved = save(export, "Terms as CSV")
    assert saved.suggested_filename == f"{short_run}-terms.csv"
    table = pd.read_csv(saved.path())
    assert list(table.columns[:2]) == ["step", "epoch"]
    assert set(table.columns) >= TERMS - {"objective"}
    assert len(table) == len(server.store.terms(short_run))
    assert table["step"].iloc[-1] == server.store.get(short_run).step
    assert table.notna().all(axis=None)


def test_animation_is_exported_as_gif(export, server, short_run):
    saved = save(export, "Animation as GIF", ".gif")
    with Image.open(io.BytesIO(saved.path().read_bytes())) as image:
        assert image.format == "GIF"
        assert image.n_frames == len(server.store.snapshot_steps(short_run)) >= 2
        assert min(image.size) > 200


def test_run_is_exported_as_a_file_that_another_store_takes(export, server, short_run, tmp_path):
    saved = save(export, "Run as a file", ".mixviz")
    path = tmp_path / saved.suggested_filename
    saved.save_as(path)
    environment = server.environment | {"MIXVIZ_HOME": str(tmp_path / "other")}
    subprocess.run(
        [sys.executable, "-m", "mixviz", "import", str(path)],
        check=True,
        env=environment,
        cwd=ROOT,
        capture_output=True,
    )
    (run,) = RunStore(tmp_path / "other").runs()
    original = server.store.get(short_run)
    assert (run.name, run.step, run.status) == ("Short", original.step, Status.FINISHED)
    assert run.verdict == original.verdict


def test_animation_is_exported_as_a_page_that_works_offline(
    export, server, figures, open_page, tmp_path
):
    page = export
    runs = [page.url.partition("run=")[2].partition("&")[0], figures[0].id]
    page.goto(f"{server.url}/replay?run={runs[0]}&with={runs[1]}")
    await_plot(page)
    until(page, lambda: len(page.evaluate(STEPS)) == 2, "two runs")
    page.locator("[data-testid=stExpander] summary").filter(has_text="Export").click()
    saved = save(page, "Animation as HTML", "animation.html")
    path = tmp_path / "animation.html"
    saved.save_as(path)

    offline = open_page("about:blank")
    page.goto("about:blank")
    page.context.set_offline(True)
    try:
        offline.goto(path.as_uri())
        read_offline(offline)
    finally:
        page.context.set_offline(False)


def read_offline(offline):
    offline.wait_for_selector(".plot .main-svg")
    assert offline.locator("section").count() == 2
    # Nothing offers to send the data to Plotly's server.
    assert offline.evaluate("document.querySelector('.plot')._context.plotlyServerURL") == ""
    assert "Share" not in offline.locator(".modebar").first.inner_html()
    assert offline.locator("h2").first.inner_text() == "Short"
    step = offline.locator("output").inner_text()
    points = "() => document.querySelector('.plot').data[0].x.bdata"
    first = offline.evaluate(points)
    offline.get_by_role("slider", name="Step").focus()
    offline.keyboard.press("End")
    until(offline, lambda: offline.evaluate(points) != first, "other points")
    expect(offline.locator("output")).not_to_have_text(step)


def test_link_as_first_request_of_a_fresh_server(own_server, open_page):
    server = own_server
    values = {"batch_size": 1000, "epochs": 2, "snapshot_points": 300, "threads": 1}
    run = create_run(server.store, plan(values=values), "Linked")
    assert Trainer(server.store, run).train() is Status.FINISHED
    step = server.store.snapshot_steps(run)[1]
    server.start()
    page = open_page(f"{server.url}/replay?run={run}&step={step}")
    await_plot(page)
    links = page.locator("[data-testid=stSidebarNavLink]")
    titles = [text.split()[-1] for text in links.all_inner_texts()]
    assert titles[:6] == ["Home", "Train", "Replay", "Explore", "Clusters", "Generate"]
    page.get_by_role("heading", name="Linked").wait_for()
    shown(page, server, [run], step)
    assert f"run={run}" in page.url
    links.filter(has_text="Home").click()
    button(page, "Watch a mixture collapse").wait_for()
