"""Test of a sweep in a real browser: it outlives its tab, stops, and goes on."""

import re

from playwright.sync_api import expect

from mixviz.runs import Status
from tests.browser.driver import button, until

TEXT = """\
name: of a browser
seeds: 4
runs:
  - models: gmvae-v2
    datasets: arcs
    set: {components: 5, epochs: 40, batch_size: 1000, slow_start: 20, snapshot_points: 100}
"""


def test_a_sweep_outlives_its_tab_and_stops(server, open_page):
    page = open_page(f"{server.url}/compare?show=Sweep")
    area = page.get_by_role("textbox", name="Sweep, in YAML")
    area.fill(TEXT)
    area.press("Control+Enter")
    page.get_by_text(": 0 done, 4 missing").wait_for()
    button(page, "Train what is missing").click()
    page.get_by_text(re.compile(r"\b[1-9]\d* in training")).wait_for()
    page.close()

    page = open_page(f"{server.url}/compare?show=Sweep", width=400)
    page.get_by_text("0 of 4 runs have ended").wait_for()
    expect(page.get_by_role("textbox", name="Sweep, in YAML")).to_have_value(TEXT)
    button(page, "Stop").click()
    page.get_by_text(": 0 done, 4 missing").wait_for()
    found = [run for run in server.store.runs() if run.tags == ("of a browser",)]
    assert len(found) == 4
    assert Status.STOPPED in {run.status for run in found}
    assert {run.status for run in found} <= {Status.STOPPED, Status.INTERRUPTED}  # of the queue
    assert until(page, lambda: button(page, "Train what is missing").is_enabled())
