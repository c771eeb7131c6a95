"""Tests of runs that diverge or fail: they end with a message, their curves and a checkpoint."""

import json
import math
import sqlite3

import numpy as np
import pytest
import torch

from mixviz.models import model_class
from mixviz.runs import Status
from mixviz.training import checkpoints
from mixviz.training.saved import evaluate_run, load_run
from mixviz.training.trainer import Trainer
from tests.training.conftest import at_call, begin, finish, raising


def stored_text(store):
    """Everything that the catalogue holds, as text."""
    with sqlite3.connect(store.home / "runs.sqlite") as db:
        return "\n".join(db.iterdump())


def assert_readable(store, run):
    """The run diverged, and everything about it is finite and can be read."""
    text = stored_text(store)
    assert "NaN" not in text
    assert "Infinity" not in text
    saved = load_run(store, run)
    assert checkpoints.all_finite(saved.model)
    result = evaluate_run(store, run)
    json.dumps(result, allow_nan=False)
    for step in store.snapshot_steps(run):
        snapshot = store.snapshot(run, step)
        for values in (snapshot.points, snapshot.samples, snapshot.reconstructions):
            assert np.isfinite(values).all()


def test_far_too_large_a_learning_rate_diverges(store):
    run = begin(store, learning_rate=0.1, components=10, batch_size=200, epochs=20)
    assert Trainer(store, run).train() is Status.DIVERGED
    found = store.get(run)
    assert found.status is Status.DIVERGED
    assert "not finite" in found.message
    assert store.terms(run)[-1][0] == found.step
    assert_readable(store, run)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("number", [1, 12])
def test_term_that_is_not_finite_ends_the_run(store, monkeypatch, value, number):
    at_call(
        monkeypatch,
        "gmvae-v2",
        number,
        lambda model, step: step() | {"objective": torch.tensor(value)},
    )
    run = begin(store)
    assert Trainer(store, run).train() is Status.DIVERGED
    found = store.get(run)
    assert found.message == f"objective was not finite at step {number}"
    assert (found.step, found.owner) == (number, "")
    rows = store.terms(run)
    assert [step for step, _, _ in rows] == list(range(1, number + 1))
    assert all(v is not None for _, _, terms in rows[:-1] for v in terms.values())
    assert [name for name, v in rows[-1][2].items() if v is None] == ["objective"]
    assert_readable(store, run)


# After step 5 a snapshot is due, after 7 nothing is, and 30 is the last step.
@pytest.mark.parametrize("number", [5, 7, 30])
@pytest.mark.parametrize(
    ("layer", "factor"),
    [("streams", math.nan), ("streams", math.inf), ("decoder.4", math.nan)],
)
def test_gradient_that_is_not_finite_ends_the_run(store, monkeypatch, number, layer, factor):
    def poison(model, step):
        weight = model.get_submodule(layer).weight
        hook = weight.register_hook(lambda gradient: gradient * factor)
        terms = step()
        hook.remove()
        assert all(value.isfinite() for value in terms.values())
        return terms

    at_call(monkeypatch, "gmvae-v2", number, poison)
    run = begin(store)
    assert Trainer(store, run).train() is Status.DIVERGED
    assert "not finite" in store.get(run).message
    rows = store.terms(run)
    assert [step for step, _, _ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) in (number, number + 1)
    assert_readable(store, run)


def test_diverged_run_that_is_watched_by_a_terminal_ends_the_same(store, monkeypatch):
    at_call(monkeypatch, "gmvae-v2", 3, lambda *_: {"objective": torch.tensor(math.nan)})
    run, seen = begin(store), []
    Trainer(store, run, lambda step, total, terms: seen.append((step, terms))).train()
    assert seen[-1] == (3, {"objective": None})


def test_latents_that_are_not_finite_end_the_run(store, monkeypatch):
    encode = model_class("gmvae-v2").encode
    broken = iter([False, False, True])  # points and reconstructions of the first snapshot

    def encoded(self, x):
        latents, log_responsibilities = encode(self, x)
        return (latents * math.nan if next(broken) else latents), log_responsibilities

    monkeypatch.setattr(model_class("gmvae-v2"), "encode", encoded)
    run = begin(store)
    assert Trainer(store, run).train() is Status.DIVERGED
    assert "latents are not finite" in store.get(run).message
    assert store.snapshot_steps(run) == [0]


def test_term_of_a_picture_that_is_not_finite_is_left_out(store, monkeypatch):
    evaluate_terms = model_class("gmvae-v2").evaluate_terms
    monkeypatch.setattr(
        model_class("gmvae-v2"),
        "evaluate_terms",
        lambda self, x, g: evaluate_terms(self, x, g) | {"objective": torch.tensor(-math.inf)},
    )
    run = finish(store, begin(store))
    terms = store.snapshot(run, 0).terms
    assert "objective" not in terms
    assert "z_prior" in terms
    assert store.get(run).result["terms"]["objective"] is None
    assert_readable(store, run)


def test_exception_in_a_model_fails_the_run_with_its_message(store, monkeypatch):
    at_call(monkeypatch, "gmvae-v2", 9, raising(RuntimeError("out of luck")))
    run = begin(store)
    assert Trainer(store, run).train() is Status.FAILED
    found = store.get(run)
    assert (found.status, found.message) == (Status.FAILED, "RuntimeError: out of luck")
    assert (found.step, found.owner) == (8, "")
    assert len(store.terms(run)) == 8
    monkeypatch.undo()
    finish(store, run)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": "conv28"}, "conv28 needs images of 28x28 pixels"),
        ({"likelihood": "bernoulli"}, "needs values in [0, 1]"),
    ],
)
def test_settings_that_do_not_fit_the_data_fail_the_run(store, values, message):
    run = begin(store, **values)
    assert Trainer(store, run).train() is Status.FAILED
    assert store.get(run).status is Status.FAILED
    assert message in store.get(run).message


def test_model_that_cannot_start_fails_the_run(store, monkeypatch):
    def refuse(model, x, generator):
        raise ValueError("no start")

    monkeypatch.setattr(model_class("k-means"), "prepare", refuse)
    run = begin(store, "k-means")
    assert Trainer(store, run).train() is Status.FAILED
    found = store.get(run)
    assert (found.status, found.owner) == (Status.FAILED, "")
    assert found.message == "ValueError: no start"


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_run_with_a_damaged_checkpoint_fails_with_a_message(store, file):
    run = finish(store, begin(store, epochs=1))
    config = store.get(run).config
    store.update(run, config=config | {"run": config["run"] | {"epochs": 2}})  # it may go on
    before = store.get(run)
    path = store.checkpoint_folder(run) / file
    path.write_bytes(path.read_bytes()[:-20])
    assert Trainer(store, run).train() is Status.FAILED
    found = store.get(run)
    assert (found.status, found.owner, found.step) == (Status.FAILED, "", before.step)
    assert "be loaded" in found.message or "be read" in found.message
    assert "\n" not in found.message
    assert store.terms(run)[-1][0] == 10
