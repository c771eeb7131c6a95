"""Settings for data that no preset is for: valid for every model, steps enough for every size."""

import dataclasses
import math

import pytest

from mixviz.data import source
from mixviz.models import MODELS
from mixviz.models.config import bounds
from mixviz.training.config import plan
from mixviz.training.requests import check
from mixviz.training.sensible import STEPS, sensible, settings_for


@pytest.mark.parametrize("model", [name for name in MODELS if name != "samm"])
@pytest.mark.parametrize(("kind", "shape"), [("vector", (13,)), ("image", (1, 32, 32))])
def test_settings_are_valid_for_every_model(model, kind, shape, monkeypatch):
    found = dataclasses.replace(source("digits"), kind=kind, shape=shape)
    chosen = plan(dataset="digits", model=model, values=settings_for(found, model, 7))
    assert chosen.settings.components == 7
    monkeypatch.setattr("mixviz.training.requests.source", lambda name: found)
    check(chosen)


def test_many_components_have_settings_within_the_bounds():
    values = settings_for(source("digits"), "gmvae-v2", 500)
    chosen = plan(dataset="digits", model="gmvae-v2", values=values).settings
    assert chosen.components == 500
    assert chosen.z_prior_floor == bounds(type(chosen).model_fields["z_prior_floor"])[1]


@pytest.mark.parametrize("size", [20, 150, 2_000, 70_000, 1_000_000])
def test_steps_suit_the_size(size):
    found = dataclasses.replace(source("digits"), size=size, shape=(4,), kind="vector")
    chosen = sensible(found, 5)
    steps = chosen.settings["epochs"] * math.ceil(size / chosen.settings["batch_size"])
    assert steps >= min(STEPS, 400 * math.ceil(size / chosen.settings["batch_size"]))
    assert chosen.settings["z_prior_floor"] < math.log(5)
    assert f"{size:,} vectors" in chosen.reason
    assert ("init" in chosen.settings) == ("UMAP" in chosen.reason) == (size >= 100)


@pytest.mark.parametrize(("model", "start"), [("gmvae-v1", "umap-gmm"), ("nvisa", "ae-gmm")])
def test_start_is_that_of_the_paper_if_it_has_one(model, start):
    values = settings_for(source("digits"), model, 10)
    chosen = plan(dataset="digits", model=model, values=values).settings
    assert chosen.start == start
