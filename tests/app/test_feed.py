"""Tests of what plots ask the server for by themselves."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.requests import Request

from mixviz.figures.latent import extent_of, latent_figure
from mixviz.ui import feed
from tests.app.driver import served, trained


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.0)
    with served(tmp_path, monkeypatch) as opened:
        yield opened


def ask(run, query):
    """Answer a plot's question about a run: status and what is in the answer."""
    scope = {"type": "http", "path_params": {"run": run}, "query_string": query.encode()}
    with ThreadPoolExecutor(1) as server:  # whose loop is its own
        answer = server.submit(asyncio.run, feed.latent(Request(scope))).result()
    return answer.status_code, answer.body


def test_a_plot_gets_the_last_snapshot_and_then_nothing_until_the_next(store):
    run = trained(store)
    assert not store.get(run).is_watched
    last = store.snapshot_steps(run)[-1]
    extent = "extent=-50,50,-40,40&colour=component"
    status, body = ask(run, f"after=-1&{extent}")
    drawn = json.loads(body)
    snapshot, subsample = store.snapshot(run, last), store.subsample(run)
    expected = latent_figure(snapshot, subsample, colour_by="component", uirevision="")["data"]
    assert status == 200
    assert drawn["figure"]["layout"]["meta"] == {"step": last}
    assert drawn["figure"]["data"] == json.loads(json.dumps(expected))
    assert snapshot.verdict in drawn["label"]
    assert store.get(run).is_watched
    assert ask(run, f"after={last}&{extent}") == (204, b"")


def test_axes_stay_while_the_points_fill_them(store):
    run = trained(store)
    snapshot = store.snapshot(run, store.snapshot_steps(run)[-1])
    left, right, bottom, top = extent_of([snapshot])
    for share, stays in ((0.2, True), (5.0, False)):
        x, y = share * (right - left), share * (top - bottom)
        asked = np.array([left - x, right + x, bottom - y, top + y])
        query = f"after=-1&colour=component&extent={','.join(map(str, asked))}"
        layout = json.loads(ask(run, query)[1])["figure"]["layout"]
        given = [*layout["xaxis"]["range"], *layout["yaxis"]["range"]]
        assert np.allclose(given, asked) == stays


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("after=-1&extent=0,1,0,1&colour=none", 400),
        ("after=-1&extent=0,1,0&colour=label", 400),
        ("after=x&extent=0,1,0,1&colour=label", 400),
        ("colour=label", 400),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(store, query, status):
    assert ask(trained(store), query)[0] == status


def test_a_run_that_is_not_there_has_no_picture(store):
    assert ask("20200101-000000-ffffff", "after=-1&extent=0,1,0,1&colour=label")[0] == 404
    assert ask("../../etc", "after=-1&extent=0,1,0,1&colour=label")[0] == 404
