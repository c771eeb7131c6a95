"""Tests of what plots ask the server for by themselves."""

import asyncio
import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import Request

from mixviz.figures.latent import latent_figure
from mixviz.ui import feed
from mixviz.ui.panels import running_extent
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
    status, body = ask(run, "after=-1&colour=component")
    drawn = json.loads(body)
    snapshot, subsample = store.snapshot(run, last), store.subsample(run)
    expected = latent_figure(snapshot, subsample, colour_by="component", uirevision="")["data"]
    assert status == 200
    assert drawn["figure"]["layout"]["meta"] == {"step": last}
    assert drawn["figure"]["data"] == json.loads(json.dumps(expected))
    assert snapshot.verdict in drawn["label"]
    assert store.get(run).is_watched
    assert ask(run, f"after={last}&colour=component") == (204, b"")


def test_plots_and_pages_share_axes_that_stay_while_the_points_fill_them(store):
    run = trained(store)
    snapshot = store.snapshot(run, store.snapshot_steps(run)[-1])

    def asked():
        layout = json.loads(ask(run, "after=-1&colour=component")[1])["figure"]["layout"]
        return (*layout["xaxis"]["range"], *layout["yaxis"]["range"])

    def grown(factor):
        return dataclasses.replace(
            snapshot,
            points=factor * snapshot.points,
            means=factor * snapshot.means,
            covariances=factor**2 * snapshot.covariances,
        )

    first = running_extent(run, snapshot)
    assert asked() == pytest.approx(first)
    assert running_extent(run, grown(1.05)) == first
    assert running_extent(run, grown(3)) != first
    assert asked() == pytest.approx(first)  # in axes three times as wide they were too small


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("after=-1&colour=none", 400),
        ("after=-1", 400),
        ("after=x&colour=label", 400),
        ("colour=label", 400),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(store, query, status):
    assert ask(trained(store), query)[0] == status


def test_a_run_that_is_not_there_has_no_picture(store):
    assert ask("20200101-000000-ffffff", "after=-1&colour=label")[0] == 404
    assert ask("../../etc", "after=-1&colour=label")[0] == 404
