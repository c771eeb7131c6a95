"""Tests of the estimate of an epoch's seconds: positive, and without a trace."""

import math
import random

import numpy as np
import pytest
import sklearn.mixture  # noqa: F401 - its first import draws random numbers
import torch

from mixviz.models import MODELS
from mixviz.training.config import plan
from mixviz.training.estimate import seconds_per_epoch
from tests.training.conftest import short_plan


@pytest.mark.parametrize(
    ("model", "dataset"), [*((model, "arcs") for model in MODELS), ("gmvae-v2", "digits")]
)
def test_estimate_is_positive_and_leaves_no_trace(model, dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "home"))
    short = short_plan(model, dataset, threads=2)
    stored = short.as_json()
    torch.set_num_threads(1)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    seconds = seconds_per_epoch(short)
    assert 0 < seconds < math.inf
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert torch.get_num_threads() == 1
    assert short.as_json() == stored
    assert not (tmp_path / "home").exists()


def test_estimate_counts_the_steps_of_an_epoch():
    few = min(seconds_per_epoch(short_plan(batch_size=10_000)) for _ in range(3))
    many = min(seconds_per_epoch(short_plan(batch_size=20)) for _ in range(3))
    assert many > 3 * few


@pytest.mark.parametrize("model", ["gmvae-v2", "nvisa", "vade", "ae-gmm", "dec"])
def test_more_components_than_a_batch_has_observations_are_timed(model):
    """Components are placed among all the data, of which a step is timed on a few."""
    settings = {"components": 60, "batch_size": 50, "threads": 1}
    settings |= {} if model == "ae-gmm" else {"pretrain_epochs": 2}
    assert seconds_per_epoch(plan(model=model, dataset="digits", values=settings)) > 0
