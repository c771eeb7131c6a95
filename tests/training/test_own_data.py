"""Tests that a run keeps to the data it was trained on, whatever has their name by now."""

import shutil

import numpy as np
import pytest

from mixviz.analysis.encoded import encode_run
from mixviz.data.own import add_file, root
from mixviz.data.own_prepare import Options
from mixviz.errors import MixvizError
from mixviz.runs import Status
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.saved import evaluate_run
from mixviz.training.trainer import Trainer
from tests.training.conftest import begin, finish

OTHER = "trained on other data than those named points here"


@pytest.fixture
def points(tmp_path, monkeypatch):
    """Return what puts points of a seed where the data set of one name is."""
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "home"))

    def put(seed):
        path = tmp_path / "points.csv"
        x = np.random.default_rng(seed).normal(size=(60, 2))
        np.savetxt(path, x, delimiter=",", header="a,b", comments="")
        shutil.rmtree(root() / "points", ignore_errors=True)  # as on another machine
        return add_file(path, Options(), "points").name

    return put


def test_a_run_is_not_used_with_other_data_of_that_name(store, points):
    run = finish(store, begin(store, "k-means", points(0), components=2))
    scores = evaluate_run(store, run)
    points(1)
    for use in (evaluate_run, encode_run):
        with pytest.raises(MixvizError, match=OTHER):
            use(store, run)
    waiting = begin(store, "k-means", points(0), components=2)
    points(1)
    assert Trainer(store, waiting).train() is Status.FAILED
    assert OTHER in store.get(waiting).message
    points(0)
    assert evaluate_run(store, run) == scores
    assert Trainer(store, waiting).train() is Status.FINISHED


def test_other_data_make_another_configuration(store, points):
    first = create_run(store, plan(dataset=points(0), model="k-means"))
    name = points(1)
    assert store.alike(plan(dataset=name, model="k-means").as_json()) == []
    points(0)
    (found,) = store.alike(plan(dataset=name, model="k-means").as_json())
    assert found.id == first
