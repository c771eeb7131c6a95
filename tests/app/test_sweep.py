"""Tests of the sweep in Compare: its text, what is missing, and a real one from start to end."""

import pytest

from mixviz.runs import Status
from mixviz.sweep import parse_sweep
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from mixviz.ui.tasks import tasks
from tests.app.driver import OUTSIDE, show, texts, written

SMALL = """\
name: made
seeds: 2
runs:
  - models: k-means
    datasets: arcs
    set: {components: 5, epochs: 2}
"""


def opened(text=None):
    app = show("compare", show="Sweep")
    if text is not None:
        app.text_area[0].set_value(text).run()
        assert not app.exception, app.exception
    return app


def start(app):
    return next(button for button in app.button if button.label == "Train what is missing")


def test_the_example_can_be_trained(store):
    app = opened()
    assert "12 runs: 0 done, 12 missing" in texts(app).replace("*", "")
    assert not start(app).disabled
    assert not store.runs()  # looking makes none


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "The sweep is not valid YAML (line"),
        ("name: x\nruns: [{models: gmvae-v9}]", "gmvae-v9"),
        ("", "The sweep: the file: Input should be"),
        (f"name: x\nruns: [{{models: {OUTSIDE.split()[0]!r}}}]", "There is no model"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(store, text, says):
    app = opened(text)
    (error,) = app.error
    assert says in texts(app)
    assert "\n" not in error.value
    assert "![x](" not in written(app)
    assert start(app).disabled


def test_a_search_says_how_many_runs_it_may_take(store):
    text = SMALL.replace("components: 5", "components: {low: 2, high: 9}")
    app = opened(text + "search: {trials: 7}")
    assert "1 search by silhouette, at most 14 runs" in texts(app).replace("*", "")
    assert not start(app).disabled


def test_what_was_left_out_is_said_with_its_reason(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path))
    done = create_run(
        store, parse_sweep(SMALL.replace("seeds: 2", "seeds: 1"), "made").trials()[0].plan
    )
    store.update(done, status=Status.FINISHED)
    text = SMALL.replace("datasets: arcs", "datasets: [arcs, mnist]").replace(
        "seeds: 2", "seeds: 1"
    )
    app = opened(text + "leave_out: true")
    assert not app.info
    start(app).click().run()
    task = tasks().get("sweep")
    assert task.wait(90).value == "done", task.error
    app.run()
    assert len(app.info) == 1
    assert "1 left out: MNIST is not in" in texts(app)
    assert len(store.runs()) == 1
    app.text_area[0].set_value(SMALL).run()
    assert not app.info


def test_a_sweep_is_trained_once_and_its_groups_are_shown(store):
    first, _ = parse_sweep(SMALL, "made").trials()
    run = create_run(store, first.plan)
    assert Trainer(store, run).train() is Status.FINISHED
    result = store.get(run).result
    app = opened(SMALL)
    assert "2 runs: 1 done, 1 missing" in texts(app).replace("*", "")
    start(app).click().run()
    assert not app.exception, app.exception
    assert app.text_area[0].disabled and start(app).disabled
    task = tasks().get("sweep")
    assert task.wait(90).value == "done", task.error
    assert [run.status for run in store.runs()] == [Status.FINISHED] * 2
    assert store.get(run).result == result
    app.run()
    assert "2 runs: 2 done, 0 missing" in texts(app).replace("*", "")
    assert start(app).disabled and not app.text_area[0].disabled
    runs, groups = (frame.value for frame in app.dataframe)
    assert runs["Seed"].tolist() == [1, 0]
    assert groups["Seeds"].iloc[0] == 2
    assert "±" in groups["Silhouette"].iloc[0]
