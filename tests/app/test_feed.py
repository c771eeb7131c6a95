"""Tests of what plots ask the server for by themselves."""

import asyncio
import base64
import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.requests import Request

from mixviz.evaluation import degeneracy, verdict
from mixviz.figures.latent import COLOURINGS, latent_figure
from mixviz.runs import Event, Status
from mixviz.ui import feed, moments, plots
from mixviz.ui.moments import Moment, running_extent, subsample_of
from tests.app.driver import served, trained


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "PATIENCE", 0.0)
    with served(tmp_path, monkeypatch) as opened:
        yield opened


def ask(run, query, plot="latent"):
    """Answer a plot's question about a run: status and what is in the answer."""
    path = {"run": run, "plot": plot}
    scope = {"type": "http", "path_params": path, "query_string": query.encode()}
    with ThreadPoolExecutor(1) as server:  # whose loop is its own
        answer = server.submit(asyncio.run, feed.plot(Request(scope))).result()
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
    assert drawn["figure"]["layout"]["meta"] == {"step": last, "version": str(last)}
    assert drawn["figure"]["data"] == json.loads(json.dumps(expected))
    assert snapshot.verdict in drawn["label"]
    assert store.get(run).is_watched
    assert ask(run, f"after={last}&colour=component") == (204, b"")


def test_zoom_stays_when_the_colours_change(store):
    run = store.get(trained(store))
    snapshot = store.snapshot(run.id, store.snapshot_steps(run.id)[-1])
    for name in COLOURINGS:
        figure = plots.drawn(Moment(run, snapshot, colour_by=name), "latent")["figure"]
        assert figure["layout"]["uirevision"] == run.id


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
        ("colour=label", 400),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(store, query, status):
    assert ask("of no run", query)[0] == status


def answered(store, run, plot):
    """Ask for a plot of a run: its figure, its label and the last step of the run's snapshots."""
    status, body = ask(run, "after=-1&colour=component", plot)
    assert status == 200
    drawn, last = json.loads(body), store.snapshot_steps(run)[-1]
    assert drawn["figure"]["layout"]["meta"]["step"] == last
    shown = drawn["figure"]["layout"]["meta"]["version"]
    assert ask(run, f"after={shown}&colour=component", plot) == (204, b"")
    return drawn["figure"], drawn["label"], last


def numbers(packed):
    return np.frombuffer(base64.b64decode(packed["bdata"]), np.dtype(packed["dtype"])).tolist()


def test_curves_hold_every_row_so_far(store):
    run = trained(store)
    rows, metrics = store.terms(run), store.snapshot_metrics(run)
    z_prior = answered(store, run, "z_prior")[0]["data"][0]
    assert numbers(z_prior["x"]) == [step for step, _, _ in rows]
    assert numbers(z_prior["y"]) == pytest.approx([terms["z_prior"] for _, _, terms in rows])
    lines = answered(store, run, "terms")[0]["data"]
    assert {line["uid"] for line in lines} == set(rows[0][2]) - {"z_prior"}
    for line in lines:
        assert numbers(line["y"]) == pytest.approx([terms[line["uid"]] for _, _, terms in rows])
    lines = answered(store, run, "accuracy")[0]["data"]
    assert {line["uid"] for line in lines} == {"hungarian", "majority", "most_confident"}
    for line in lines:
        assert numbers(line["y"]) == pytest.approx([found[line["uid"]] for _, _, found in metrics])


def test_curves_follow_what_a_run_adds_and_takes_back(store):
    run = trained(store)
    figure = answered(store, run, "z_prior")[0]
    before, shown = numbers(figure["data"][0]["x"]), figure["layout"]["meta"]["version"]
    assert len(before) > 2
    new = (before[-1] + 7, 9.0, {"z_prior": 0.25})
    store.update(run, owner="trainer", status=Status.RUNNING)
    store.beat(run, "trainer", step=new[0], seconds=1, samples_per_second=1, rows=[new])
    body = ask(run, f"after={shown}&colour=component", "z_prior")[1]  # there is no new snapshot
    line = json.loads(body)["figure"]["data"][0]
    assert numbers(line["x"]) == [*before, new[0]]
    assert numbers(line["y"])[-1] == 0.25
    store.rewind(run, before[1])
    store.update(run, step=before[1])
    assert numbers(answered(store, run, "z_prior")[0]["data"][0]["x"]) == before[:2]


def test_curves_that_were_taken_back_while_nobody_looked_are_read_again(store):
    run = trained(store)
    steps = numbers(answered(store, run, "z_prior")[0]["data"][0]["x"])
    store.rewind(run, steps[0])
    again = [(step, 1.0, {"z_prior": 0.5}) for step in [*steps[1:], steps[-1] + 5]]
    store.update(run, owner="trainer", status=Status.RUNNING)
    store.beat(run, "trainer", step=again[-1][0], seconds=1, samples_per_second=1, rows=again)
    assert numbers(answered(store, run, "z_prior")[0]["data"][0]["y"])[1:] == [0.5] * len(again)


def test_a_change_while_a_run_is_paused_is_shown(store):
    run = trained(store)
    figure = answered(store, run, "z_prior")[0]
    store.send(run, "set", "z_prior_floor", 1.25)
    [command] = store.open_commands(run)
    step = store.get(run).step
    store.finish_command(command, run, Event(step, "z_prior_floor", 1.25, 0.0))
    shown = figure["layout"]["meta"]["version"]
    status, body = ask(run, f"after={shown}&colour=component", "z_prior")
    assert status == 200
    floor = next(line for line in json.loads(body)["figure"]["data"] if line["uid"] == "floor")
    assert floor["y"][-1] == 1.25
    layout = json.loads(body)["figure"]["layout"]
    assert len(layout["shapes"]) == 1
    # Again at the same step, where the second change takes the place of the first.
    store.send(run, "set", "z_prior_floor", 1.5)
    [command] = store.open_commands(run)
    store.finish_command(command, run, Event(step, "z_prior_floor", 1.5, 0.0))
    status, body = ask(run, f"after={layout['meta']['version']}&colour=component", "z_prior")
    assert status == 200
    floor = next(line for line in json.loads(body)["figure"]["data"] if line["uid"] == "floor")
    assert floor["y"][-1] == 1.5


def test_replay_shows_curves_up_to_its_step(store, monkeypatch):
    run = trained(store)
    first, later = store.snapshot_steps(run)[:2]
    old = dataclasses.replace(store.get(run), step=first)  # as a page has it that is open for long
    monkeypatch.setattr(moments, "store", lambda: store)
    history = Moment(old, store.snapshot(run, later), later).history
    assert history.terms == [row for row in store.terms(run) if row[0] <= later] != store.terms(run)
    assert history.metrics == store.snapshot_metrics(run)[:2]


def test_usage_counts_components_as_the_verdict_does(store):
    run = trained(store)
    snapshot = store.snapshot(run, store.snapshot_steps(run)[-1])
    usage, overlap = np.array([0.5, 0.3, 0.19, 0.01], np.float32), np.ones((4, 4), np.float32)
    certain = np.eye(4).repeat([50, 30, 19, 1], 0)
    assert "1 in use" in verdict(4, [(0, degeneracy(certain, usage, overlap))])
    store.write_snapshot(run, dataclasses.replace(snapshot, usage=usage, overlap=overlap))
    figure, label, _ = answered(store, run, "usage")
    expected = "1 in use, 2 in the same place as another, 1 idle"
    assert label.endswith(expected)
    assert figure["layout"]["xaxis"]["title"]["text"].endswith(expected)
    assert numbers(figure["data"][0]["y"]) == pytest.approx(100 * usage)
    cells = answered(store, run, "overlap")[0]["data"][0]["z"]
    assert numbers(cells) == [1.0] * 16


def test_density_is_that_of_the_snapshot(store):
    run = trained(store, "gmvae-v2")
    figure, _, last = answered(store, run, "density")
    expected = store.snapshot(run, last).density
    assert numbers(figure["data"][0]["z"]) == pytest.approx(expected.ravel())


def test_a_run_or_plot_that_is_not_there_has_no_picture(store):
    assert ask("20200101-000000-ffffff", "after=-1&colour=label")[0] == 404
    assert ask("../../etc", "after=-1&colour=label")[0] == 404
    run = trained(store)
    assert ask(run, "after=-1&colour=label", "spectrum")[0] == 404
    snapshot = store.snapshot(run, store.snapshot_steps(run)[-1])
    empty = dataclasses.replace(store.subsample(run), points=np.empty((0, 2), np.float32))
    store.write_subsample(run, empty)
    subsample_of.clear()
    store.write_snapshot(run, dataclasses.replace(snapshot, density=np.empty(0, np.float32)))
    assert ask(run, "after=-1&colour=label", "density")[0] == 404
