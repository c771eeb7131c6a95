"""Tests of Fréchet distance and Inception score with a network of one's own choice."""

import numpy as np
import pytest
import torch
from torch import nn

from mixviz.analysis import scores
from mixviz.analysis.scores import (
    STANDARD,
    frechet_and_inception,
    kept_scores,
    preferred_network,
    score_task,
    scores_key,
    standard_weights,
)
from mixviz.errors import MixvizError
from mixviz.runs import RunStore, Status
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer


class Flat(nn.Module):
    num_features = 3

    def forward(self, x):
        return x


class Tens(Flat):
    num_features = 10


def test_network_is_the_earliest_of_the_same_kind_that_has_learned(tmp_path):
    store = RunStore(tmp_path)

    def run(model, dataset="digits", status=Status.FINISHED, **values):
        made = create_run(store, plan(dataset=dataset, model=model, values=values))
        store.update(made, status=status)
        return store.get(made)

    first = [run("gmm"), run("dec"), run("gmvae-v2", status=Status.FAILED), run("gmvae-v2", "arcs")]
    later = [run("gmvae-v2"), run("gmvae-v2"), run("k-means")]
    order = {made.id: i for i, made in enumerate(first + later)}

    def preferred(of, among):
        return order[preferred_network(of, among)]

    everything = later[::-1] + first
    assert preferred(later[1], everything) == order[later[0].id]
    assert preferred(later[2], everything) == order[first[1].id]
    assert preferred(first[1], everything) == 1
    assert preferred(first[0], [first[0]]) == 0

    alone = run("gmvae-v2", components=1)  # its only class says nothing
    order[alone.id] = len(order)
    assert preferred(alone, [alone, *later]) == order[later[0].id]


def gaussian(mean, deviation, count=4000, seed=0):
    draws = np.random.default_rng(seed).normal(size=(count, 3))
    return (mean + deviation * draws).astype(np.float32)


def test_frechet_distance_is_that_of_the_gaussians():
    real, drawn = gaussian(0, 1), gaussian(2, 3, seed=1)
    distance, _, _ = frechet_and_inception(real, drawn, Flat(), Flat())
    # |m - m'|^2 + tr(S + S' - 2 (S S')^1/2), with S = 1, S' = 9, in three dimensions
    assert distance == pytest.approx(3 * 4 + 3 * (1 + 9 - 6), rel=0.05)
    same, _, _ = frechet_and_inception(real, gaussian(0, 1, seed=2), Flat(), Flat())
    assert same < 0.02


def test_inception_score_counts_the_classes():
    certain = 50 * np.eye(3, dtype=np.float32)[np.arange(3000) % 3]
    _, mean, _ = frechet_and_inception(certain, certain, Flat(), Flat())
    assert mean == pytest.approx(3, abs=0.02)
    few = 50 * np.eye(10, dtype=np.float32)[np.arange(100) % 10]
    _, mean, _ = frechet_and_inception(few, few, Tens(), Tens())
    assert mean == pytest.approx(10, rel=0.1)  # not what a tenth of so few can show
    undecided = np.zeros((100, 3), np.float32)
    _, mean, deviation = frechet_and_inception(certain, undecided, Flat(), Flat())
    assert mean == pytest.approx(1)
    assert deviation == pytest.approx(0, abs=1e-6)


def test_same_numbers_whatever_was_drawn_before():
    real, drawn = gaussian(0, 1, 300), gaussian(1, 1, 300, seed=5)
    first = frechet_and_inception(real, drawn, Flat(), Flat())
    torch.rand(17)
    before = torch.random.get_rng_state()
    assert frechet_and_inception(real, drawn, Flat(), Flat()) == first
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.fixture
def runs(tmp_path):
    store = RunStore(tmp_path)
    made = []
    for dataset, model in (("digits", "k-means"), ("digits", "gmm"), ("arcs", "k-means")):
        values = {"components": 4, "epochs": 2, "snapshot_points": 50}
        if model == "gmm":
            values["covariance_type"] = "diag"
        run = create_run(store, plan(dataset=dataset, model=model, values=values))
        Trainer(store, run).train()
        made.append(run)
    return store, made


def test_task_keeps_scores_by_checkpoint_and_network(runs):
    store, (first, second, points) = runs
    told = []
    score_task(store, lambda share, text: told.append(share), first, second, 200)
    found = kept_scores(store, scores_key(store, first, second, 200, 0))
    assert found.count == 200
    assert found.frechet > 0
    assert 1 <= found.inception <= 4
    assert told == sorted(told)
    assert told[-1] == 1
    assert kept_scores(store, scores_key(store, first, first, 200, 0)) is None
    with pytest.raises(MixvizError, match="shape"):
        score_task(store, lambda *_: None, first, points, 50)


def test_standard_network_is_never_fetched(runs, monkeypatch, tmp_path):
    store, (first, *_) = runs
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert standard_weights() is None
    with pytest.raises(MixvizError, match=scores.WEIGHTS):
        score_task(store, lambda *_: None, first, STANDARD, 50)
