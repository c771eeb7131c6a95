"""Tests of what a crash leaves: a killed server, a run that diverges."""

import json
import math

import torch

from mixviz.runs import Status
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from tests.browser.driver import await_plot, button, look, plot_selector, until
from tests.training.conftest import at_call


def test_killed_server_leaves_a_run_that_is_resumed(own_server, open_page, problems):
    problems.server_may_die = True
    server = own_server
    server.start()
    values = {
        "components": 5,
        "epochs": 6,
        "checkpoint_seconds": 0.3,
        "slow_start": 12,
        "snapshot_points": 1000,
    }
    store = server.store
    run = create_run(store, plan(dataset="arcs", values=values), "Killed")
    store.update(run, status="stopped")
    page = open_page(f"{server.url}/train?run={run}")
    button(page, "Resume").click()
    state = store.checkpoint_folder(run) / "state.json"
    until(
        page,
        lambda: state.is_file() and json.loads(state.read_bytes())["step"] >= 20,
        "a checkpoint",
    )
    server.kill()
    killed = store.get(run)
    saved = json.loads(state.read_bytes())["step"]
    assert 20 <= saved <= killed.step < killed.total_steps
    until(page, lambda: store.get(run).status is Status.INTERRUPTED, "interrupted")

    server.start()
    page.goto(f"{server.url}/train?run={run}")
    page.get_by_text("interrupted").first.wait_for()
    await_plot(page)
    assert store.get(run).status is Status.INTERRUPTED
    rows = store.terms(run)
    second = open_page(page.url)
    second.get_by_text("interrupted").first.wait_for()
    button(page, "Resume").click()
    until(page, lambda: store.get(run).status is not Status.INTERRUPTED, "resumed")
    lowest = killed.step
    while (now := store.get(run)).status is not Status.FINISHED:
        assert now.status in (Status.QUEUED, Status.RUNNING), now
        lowest = min(lowest, now.step)
        page.wait_for_timeout(100)
    print(f"killed at step {killed.step}, went on from {saved}")
    assert lowest >= saved
    for tab in (page, second):
        tab.get_by_text("finished").first.wait_for()
    total = store.get(run).total_steps
    until(page, lambda: int(look(page, "d.dataset.step")) == total, "the last step is shown")
    kept = [row for row in rows if row[0] <= saved]
    assert store.terms(run)[: len(kept)] == kept  # what had been learned was not learned again


def test_diverged_run_shows_its_message_and_curves(server, open_page, monkeypatch):
    def broken(model, step):
        return step() | {"objective": torch.tensor(math.nan)}

    at_call(monkeypatch, "gmvae-v2", 30, broken)
    values = {
        "batch_size": 1000,
        "epochs": 20,
        "snapshot_points": 300,
        "threads": 1,
        "checkpoint_seconds": 0.05,
        "dense_snapshots": True,  # a slow machine would take but the first, before which are no curves
    }
    run = create_run(server.store, plan(values=values), "Diverging")
    assert Trainer(server.store, run).train() is Status.DIVERGED
    page = open_page(f"{server.url}/train?run={run}")
    page.get_by_text("objective was not finite at step 30").wait_for()
    page.get_by_text("diverged").first.wait_for()
    for plot in ("latent", "z_prior", "terms"):
        await_plot(page, plot)
    until(page, lambda: look(page, "Math.max(...d._fullData[0].x)", "terms") == 30, "all steps")
    assert button(page, "Resume").count() == 0
    assert button(page, "Pause").count() == 0

    page.goto(f"{server.url}/replay?run={run}")
    await_plot(page)
    await_plot(page, "terms")
    assert page.locator(plot_selector("terms")).count() == 1

    page.goto(server.url)
    page.get_by_text("Diverging").first.wait_for()
    assert page.locator("[data-testid=stException]").count() == 0
