"""Tests of a sweep in real processes: complete, resumable, never twice."""

import os
import signal
import subprocess
from unittest.mock import Mock

import pytest

from mixviz.runs import RunStore, Status
from mixviz.sweep import LocalPool, Sweep, drive, train_all
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from tests.sweep.driver import HerePool

BLOCK = {
    "models": "gmvae-v2",
    "datasets": "arcs",
    "set": {"components": 3, "epochs": 2, "batch_size": 1000, "snapshot_points": 100},
}


SLOW = [{**BLOCK, "set": BLOCK["set"] | {"epochs": 6, "slow_start": 8}}]


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


def made(**values):
    return Sweep.model_validate({"name": "made", "seeds": 2, "runs": [BLOCK]} | values)


def test_only_what_is_missing_is_trained(store):
    sweep = made()
    first, _ = sweep.trials()
    done = create_run(store, first.plan)
    assert Trainer(store, done).train() is Status.FINISHED
    created = store.get(done).created

    seen = []
    outcome = train_all(store, sweep, LocalPool(store, 2), seen.append)
    assert set(outcome.runs.values()) == {Status.FINISHED}
    assert not outcome.interrupted
    assert outcome.steps == outcome.total_steps == 40
    assert len(outcome.runs) == len(store.runs()) == 2
    assert store.get(done).created == created
    assert seen and all(each.steps <= 40 for each in seen)
    assert all("made" in tags for tags in store.table()["tags"])

    again = train_all(store, sweep, LocalPool(store))
    assert again.runs == outcome.runs


def test_interrupted_sweep_goes_on_where_it_ended(store):
    sweep = made(seeds=1, runs=SLOW)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(outcome):
        if outcome.steps > 3:
            os.kill(os.getpid(), signal.SIGINT)

    outcome = train_all(store, sweep, LocalPool(store), interrupt)
    assert outcome.interrupted
    assert signal.getsignal(signal.SIGINT) is before
    (run,) = store.runs()
    assert run.status is Status.STOPPED and 3 < run.step < run.total_steps
    store.update(run.id, config={**run.config, "run": {**run.config["run"], "slow_start": 0.0}})

    outcome = train_all(store, sweep, LocalPool(store))
    assert not outcome.interrupted
    assert list(outcome.runs) == [run.id]
    assert store.get(run.id).status is Status.FINISHED


def test_run_that_failed_is_made_anew(store):
    sweep = made(seeds=1)
    (trial,) = sweep.trials()
    failed = create_run(store, trial.plan)
    store.update(failed, status=Status.FAILED)
    outcome = train_all(store, sweep, HerePool(lambda run: Trainer(store, run).train()))
    assert failed not in outcome.runs
    assert list(outcome.runs.values()) == [Status.FINISHED]


def test_runs_that_wait_long_are_not_taken_for_interrupted(store, monkeypatch):
    """Neither when nobody has heard of them for long, nor when who made them has died."""
    monkeypatch.setattr(drive, "_BEAT", 0.0)
    seen = []

    def train(run):
        (other,) = (found for found in store.runs() if found.id != run)
        assert other.status is Status.QUEUED
        store.update(other.id, heartbeat=0.0)
        seen.append(store.get(other.id).status)
        store.update(run, status=Status.FINISHED)

    class OneByOne(HerePool):
        def ended(self):
            return self.started if len(seen) > 3 else []

        room = property(lambda self: int(not self.started))

    def look(outcome):
        (other,) = (run for run, status in outcome.runs.items() if status is not Status.FINISHED)
        seen.append(store.get(other).status)
        if len(seen) > 3:
            os.kill(os.getpid(), signal.SIGINT)

    dead = subprocess.Popen(["true"])
    dead.wait()
    for trial in made().trials():
        run = create_run(store, trial.plan)
        store.update(run, pid=dead.pid)
        assert store.get(run).status is Status.INTERRUPTED
    pool = OneByOne(train)
    pool.stop = lambda: None
    train_all(store, made(), pool, look)
    assert seen[0] is Status.INTERRUPTED
    assert set(seen[1:]) == {Status.QUEUED}


@pytest.mark.parametrize(("devices", "room"), [(1, 3), (2, 2), (5, -1)])
def test_a_run_on_several_devices_takes_the_room_of_several(store, monkeypatch, devices, room):
    process = Mock()
    monkeypatch.setattr(subprocess, "Popen", Mock(return_value=process))
    pool = LocalPool(store, 4)
    values = BLOCK["set"] | {"devices": devices}
    run = create_run(store, plan(model="gmvae-v2", dataset="arcs", values=values))
    with pool.open(2):
        pool.start(run)
        process.poll.return_value = None
        assert pool.ended() == [] and pool.room == room
        process.poll.return_value = 0
        assert pool.ended() == [run] and pool.room == 4
