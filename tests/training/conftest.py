"""Helpers of the training tests: short plans, finished runs, and what must be equal bit for bit."""

import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from mixviz.models import model_class
from mixviz.runs import RunStore, Status
from mixviz.training import trainer
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer

SHORT = {
    "epochs": 3,
    "batch_size": 1000,
    "components": 4,
    "snapshot_points": 200,
    "checkpoint_seconds": 3600,
    "threads": 1,
}


NARROW = {"mpcc": {"width": 4}, "aim": {"width": 4}}  # as wide as by default they take seconds


class Killed(BaseException):
    """What ends a trainer as a kill does: nothing catches it, nothing is written after it."""


def short_plan(model="gmvae-v2", dataset="arcs", **values):
    """Return a plan of 30 steps (gradient models on arcs), one thread, no timed checkpoints."""
    return plan(model=model, dataset=dataset, values=SHORT | NARROW.get(model, {}) | values)


def begin(store, model="gmvae-v2", dataset="arcs", **values):
    """Put a short run into the store and return its id."""
    return create_run(store, short_plan(model, dataset, **values))


def finish(store, run, progress=None):
    """Train a run to its end and return its id."""
    status = Trainer(store, run, progress).train()
    assert status is Status.FINISHED, store.get(run).message
    return run


def bits(store, run):
    """Every tensor of a run's checkpoint, as type and bytes."""
    folder = store.checkpoint_folder(run)
    return {
        (file, name): (value.dtype, value.numpy().tobytes())
        for file in ("model", "optimizer")
        for name, value in load_file(folder / f"{file}.safetensors").items()
    }


def assert_same_training(store, run, other):
    """Two runs have the same weights, moments, noise stream and curves, bit for bit."""
    assert bits(store, run) == bits(store, other)
    assert store.terms(run) == store.terms(other)


def at_call(monkeypatch, model, number, act):
    """Call `act(self, step)` in place of the model's `training_step` number `number`, from 1."""
    cls = model_class(model)
    original = cls.training_step
    calls = {}

    def wrapped(self, x, generator):
        calls[id(self)] = calls.get(id(self), 0) + 1
        if calls[id(self)] == number:
            return act(self, lambda: original(self, x, generator))
        return original(self, x, generator)

    monkeypatch.setattr(cls, "training_step", wrapped)


def raising(error):
    """Return an action for `at_call` that raises."""

    def act(model, step):
        raise error

    return act


def kill(store, run, progress=None):
    """Train until something raises `Killed`; then the run's process is gone."""
    with pytest.raises(Killed):
        Trainer(store, run, progress).train()
    process = subprocess.Popen(["true"])
    process.wait()
    store.update(run, pid=process.pid)
    assert store.get(run).status is Status.INTERRUPTED


def until(condition, seconds=30):
    """Wait for a condition and return what it gave."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "the condition never came true"
        time.sleep(0.01)
    return found


def program(store, *arguments):
    """Start `python -m mixviz` on a store, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mixviz", *map(str, arguments)],
        env=os.environ | {"MIXVIZ_HOME": str(store.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(autouse=True)
def threads():
    """Give the processor threads back that a run took."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "home")


@pytest.fixture
def eager(monkeypatch):
    """Trainers look at the store after every row."""
    monkeypatch.setattr(trainer, "POLL", 0.0)
    monkeypatch.setattr(trainer, "BEAT", 0.0)
    monkeypatch.setattr(trainer, "PAUSED_POLL", 0.01)
