"""Tests of a sweep in real processes: complete, resumable, never twice."""

import json
import os
import signal
import subprocess
import time
from unittest.mock import Mock

import pytest

from mixviz.cli import main
from mixviz.runs import RunStore, Status
from mixviz.sweep import LocalPool, Sweep, drive, local, train_all
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
    assert outcome.share == 1
    assert len(outcome.runs) == len(store.runs()) == 2
    assert store.get(done).created == created
    assert seen[0].share == 0.5  # one of two, however many steps the other will have
    shares = [each.share for each in seen]
    assert shares == sorted(shares)
    assert all("made" in tags for tags in store.table()["tags"])

    again = train_all(store, sweep, LocalPool(store))
    assert again.runs == outcome.runs


def test_interrupted_sweep_goes_on_where_it_ended(store):
    sweep = made(seeds=1, runs=SLOW)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(outcome):
        if outcome.share > 0.1:
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


def of_devices(store, devices):
    values = BLOCK["set"] | {"devices": devices}
    return create_run(store, plan(model="gmvae-v2", dataset="arcs", values=values))


@pytest.fixture
def started(monkeypatch):
    """Environments of the processes that would be started; none of them ends."""
    environments = []

    def start(command, env, **rest):
        environments.append(env)
        return Mock(returncode=0, poll=Mock(return_value=None))

    monkeypatch.setattr(local.subprocess, "Popen", start)
    return environments


@pytest.mark.parametrize(("devices", "room"), [(1, 3), (2, 2), (5, -1)])
def test_a_run_on_several_devices_takes_the_room_of_several(store, started, devices, room):
    pool, run = LocalPool(store, 4), of_devices(store, devices)
    with pool.open(2):
        assert pool.takes(run)
        pool.start(run)
        assert pool.ended() == [] and pool.room == room
        assert not pool.takes(of_devices(store, 4))
        pool._training[run].process.poll.return_value = 0
        assert pool.ended() == [run] and pool.room == 4


@pytest.mark.parametrize(
    ("devices", "runs", "threads"),
    [(1, 9, 1), (1, 2, 4), (2, 9, 1), (2, 1, 4), (4, 2, 1), (8, 1, 1)],
)
def test_cores_are_shared_out_among_the_processes(
    store, started, monkeypatch, devices, runs, threads
):
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    monkeypatch.setattr(local, "_gpus", list)
    pool = LocalPool(store)
    with pool.open(runs):
        pool.start(of_devices(store, devices))
    assert started[-1]["OMP_NUM_THREADS"] == str(threads)


def test_gpus_are_shared_out_among_the_runs(store, started, monkeypatch):
    monkeypatch.setattr(local.torch.cuda, "device_count", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    pool = LocalPool(store)
    with pool.open(9):
        assert pool.room == 3
        for devices in (1, 2):
            pool.start(of_devices(store, devices))
        assert pool.room == 0
    assert [env["CUDA_VISIBLE_DEVICES"] for env in started] == ["4", "5,7"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    crowded = LocalPool(store, 4)
    with crowded.open(9):
        for _ in range(4):
            crowded.start(of_devices(store, 1))
    assert [env["CUDA_VISIBLE_DEVICES"] for env in started[2:]] == ["0", "1", "2", "0"]


def test_a_run_that_cannot_begin_fails_with_the_reason(store):
    """Its process ends before it has told the store anything."""
    (trial,) = made(seeds=1).trials()
    run = create_run(store, trial.plan)
    broken = store.get(run).config
    store.update(run, config={**broken, "settings": {**broken["settings"], "components": -1}})
    store.update(run, status=Status.STOPPED)  # as a sweep that was interrupted leaves it
    pool = LocalPool(store, 1)
    with pool.open(1):
        pool.start(run)
        while not pool.ended():
            time.sleep(0.1)
    assert store.get(run).status is Status.FAILED
    assert "components=-1" in store.get(run).message


def test_a_run_deleted_meanwhile_ends_nothing(store):
    sweep = made()

    def train(run):
        assert Trainer(store, run).train() is Status.FINISHED
        if not pool.started:
            store.delete([run])

    pool = HerePool(train)
    outcome = train_all(store, sweep, pool)
    assert list(outcome.runs.values()) == [Status.FINISHED] * 2
    assert len(store.runs()) == 1


def test_what_still_trains_is_stopped_when_a_sweep_breaks(store, started):
    run, pool, process = of_devices(store, 1), LocalPool(store, 1), None

    def broken():
        with pool.open(1):
            pool.start(run)
            nonlocal process
            process = pool._training[run].process
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    process.terminate.assert_called_once()  # commands sent before a run is claimed are forgotten


def test_a_run_from_before_a_setting_was_added_counts(store):
    (trial,) = made(seeds=1).trials()
    done = create_run(store, trial.plan)
    config = store.get(done).config
    older = {name: value for name, value in config["settings"].items() if name != "map_blur"}
    assert older.keys() < config["settings"].keys()
    store.update(done, config={**config, "settings": older}, status=Status.FINISHED)
    assert train_all(store, made(seeds=1), LocalPool(store)).runs == {done: Status.FINISHED}
    failed = create_run(store, trial.plan)
    store.update(failed, status=Status.FAILED)  # of just this configuration, and of no use
    assert train_all(store, made(seeds=1), LocalPool(store)).runs == {done: Status.FINISHED}
    store.update(done, config={**config, "settings": older | {"latent_size": 3}})
    other = train_all(store, made(seeds=1), HerePool(lambda run: Trainer(store, run).train()))
    assert done not in other.runs


def test_the_command_says_why_runs_failed_and_fills_its_bar(store, tmp_path, monkeypatch, capsys):
    def fail(run):
        store.update(run, status=Status.FAILED, message="The disk is full.")

    file = tmp_path / "sweep.yaml"
    file.write_text(made().model_dump_json())
    monkeypatch.setenv("MIXVIZ_HOME", str(store.home))
    monkeypatch.setattr("mixviz.sweep.LocalPool", lambda store, jobs: HerePool(fail))
    assert main(["sweep", str(file)]) == 1
    said = capsys.readouterr()
    assert "failed       2" in said.out and "  of 2: The disk is full." in said.out
    assert "100%" in said.err and "2.0/2 runs" in said.err
    assert main(["sweep", str(file), "--json"]) == 1
    messages = json.loads(capsys.readouterr().out)["messages"]
    assert list(messages.values()) == ["The disk is full."] * 2
