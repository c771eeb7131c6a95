"""Tests of a background run that is paused, continued and stopped, and of who may train a run."""

import json
import threading
import time

import pytest
import torch

from mixviz.data import load
from mixviz.errors import MixvizError
from mixviz.models import model_class
from mixviz.runs import Event, Status
from mixviz.training import device, heartbeat
from mixviz.training.config import RunConfig
from mixviz.training.jobs import Jobs
from mixviz.training.requests import check_live
from mixviz.training.trainer import Trainer
from tests.training.conftest import (
    assert_same_training,
    at_call,
    begin,
    finish,
    raising,
    short_plan,
    until,
)


@pytest.fixture
def jobs(store, eager):
    """Jobs whose runs are all stopped in the end."""
    jobs = Jobs(store)
    yield jobs
    for run in store.runs():
        if jobs.alive(run.id):
            store.send(run.id, "stop")
            jobs.wait(run.id, 30)


@pytest.fixture
def endless(jobs, store):
    """Id of a run that trains in the background."""
    run = jobs.start(short_plan(epochs=100_000), name="endless")
    until(lambda: store.get(run).step > 0)
    return run


def status_is(store, run, status):
    return until(lambda: (found := store.get(run)).status is status and found)


def saved_step(store, run):
    return json.loads((store.checkpoint_folder(run) / "state.json").read_bytes())["step"]


# ---- pause and stop --------------------------------------------------------------------------


def test_pause_writes_a_checkpoint_and_time_stands_still(store, endless):
    assert saved_step(store, endless) == 0
    store.send(endless, "pause")
    before = status_is(store, endless, Status.PAUSED)
    assert saved_step(store, endless) == store.terms(endless)[-1][0] > 0
    assert store.snapshot_steps(endless)[-1] == saved_step(store, endless)
    beaten = before.heartbeat
    later = until(lambda: (found := store.get(endless)).heartbeat > beaten + 0.6 and found)
    assert later.status is Status.PAUSED
    assert later.step == saved_step(store, endless)
    assert later.seconds == pytest.approx(before.seconds, abs=0.3)

    store.send(endless, "resume")
    running = until(lambda: (found := store.get(endless)).step > later.step and found)
    assert running.status is Status.RUNNING


def test_paused_run_does_not_count_the_pause_as_training(store, jobs, endless):
    store.send(endless, "pause")
    paused = status_is(store, endless, Status.PAUSED)
    until(lambda: store.get(endless).heartbeat > paused.heartbeat + 0.8)
    store.send(endless, "stop")
    jobs.wait(endless, 30)
    found = store.get(endless)
    assert found.status is Status.STOPPED
    assert found.step == saved_step(store, endless)
    assert found.seconds < paused.seconds + 0.3


def test_setting_changed_in_a_pause_holds_from_the_next_step(store, endless):
    store.send(endless, "pause")
    status_is(store, endless, Status.PAUSED)
    store.send(endless, "set", "z_prior_floor", 2.0)
    (event,) = until(lambda: store.events(endless))
    assert event == Event(saved_step(store, endless), "z_prior_floor", 2.0, 0.0)
    assert store.get(endless).status is Status.PAUSED


def test_stopped_run_is_resumed_in_the_background(store, jobs, endless):
    store.send(endless, "stop")
    jobs.wait(endless, 30)
    stopped = store.get(endless)
    assert (stopped.status, stopped.owner) == (Status.STOPPED, "")
    jobs.resume(endless)
    until(lambda: store.get(endless).step > stopped.step)
    assert jobs.alive(endless)


def test_resume_wakes_a_paused_run_instead_of_training_it_twice(store, jobs, endless):
    store.send(endless, "pause")
    paused = status_is(store, endless, Status.PAUSED)
    jobs.resume(endless)
    running = status_is(store, endless, Status.RUNNING)
    assert running.owner == paused.owner


def test_checkpoint_is_written_on_request(store, endless):
    store.send(endless, "checkpoint")
    until(lambda: saved_step(store, endless) > 0)
    assert store.get(endless).status is Status.RUNNING


# ---- one trainer per run ---------------------------------------------------------------------


def test_second_trainer_is_refused_in_one_line(store, endless):
    with pytest.raises(MixvizError, match="is being trained by process") as caught:
        Trainer(store, endless).train()
    assert "\n" not in str(caught.value)
    assert store.get(endless).status is Status.RUNNING


def stolen(store, run, status):
    """Return a progress function that hands the run to another owner after step 4."""

    def progress(step, total, terms):
        if step == 4:
            store.update(run, owner="thief", status=status)

    return progress


@pytest.mark.parametrize("checkpoint_seconds", [1e-6, 3600])
def test_lost_run_is_left_to_its_new_owner(store, eager, checkpoint_seconds):
    run = begin(store, checkpoint_seconds=checkpoint_seconds)
    status = Trainer(store, run, stolen(store, run, Status.PAUSED)).train()
    found = store.get(run)
    assert (status, found.status, found.owner) == (Status.PAUSED, Status.PAUSED, "thief")
    assert [step for step, _, _ in store.terms(run)] == [1, 2, 3, 4]
    assert saved_step(store, run) <= 4
    assert found.message == ""


def test_failure_of_a_lost_run_is_not_written(store, eager, monkeypatch):
    at_call(monkeypatch, "gmvae-v2", 5, raising(RuntimeError("out of luck")))
    run = begin(store)
    Trainer(store, run, stolen(store, run, Status.RUNNING)).train()
    found = store.get(run)
    assert (found.status, found.owner, found.message) == (Status.RUNNING, "thief", "")


def test_live_settings_are_checked_before_they_are_sent(store):
    run = store.get(begin(store))
    check_live(run, "z_prior_floor", 1.0)
    with pytest.raises(MixvizError, match=r"components cannot be changed .* z_prior_floor"):
        check_live(run, "components", 3)
    for value in (-1.0, 5.1, float("nan")):
        with pytest.raises(MixvizError, match=r"z_prior_floor=.*allowed: 0 to 5"):
            check_live(run, "z_prior_floor", value)
    assert run.config == store.get(run.id).config


# ---- several runs in one process -------------------------------------------------------------


def test_two_runs_at_once_are_as_one_after_the_other(store, monkeypatch):
    plans = [
        {"model": "gmvae-v2", "seed": 1, "epochs": 5},
        {"model": "gmvae-v1", "seed": 2, "dataset": "digits", "batch_size": 200},
    ]
    alone = [finish(store, begin(store, **values)) for values in plans]
    together = threading.Barrier(2)
    for name in ("gmvae-v1", "gmvae-v2"):
        for number in (1, 10, 20):
            at_call(monkeypatch, name, number, lambda _, step: (together.wait(30), step())[1])
    jobs = Jobs(store)
    started = [jobs.start(short_plan(**values)) for values in plans]
    for run, other in zip(started, alone, strict=True):
        jobs.wait(run, 60)
        assert store.get(run).status is Status.FINISHED
        assert_same_training(store, run, other)


def test_small_run_takes_no_processors_from_later_ones(monkeypatch):
    found = {}

    def take(name, config, shape):
        device.use_threads(config, shape)
        found[name] = torch.get_num_threads()

    monkeypatch.setattr(device, "PROCESSORS", 3)
    for name, config, shape in (
        ("points", RunConfig(), (2,)),
        ("images", RunConfig(), (1, 8, 8)),
        ("chosen", RunConfig(threads=2), (1, 8, 8)),
    ):
        thread = threading.Thread(target=take, args=(name, config, shape))
        thread.start()
        thread.join()
    assert found == {"points": 1, "images": 3, "chosen": 2}


def test_streams_of_a_run_are_its_own():
    seeds = {
        device.stream_seed(seed, purpose, index)
        for seed in (0, 1)
        for purpose in ("start", "noise", "order", "snapshot", "evaluation")
        for index in (0, 1)
    }
    assert len(seeds) == 20
    first = torch.rand(5, generator=device.stream(3, "order", 2))
    torch.manual_seed(0)
    assert torch.equal(first, torch.rand(5, generator=device.stream(3, "order", 2)))


def test_every_observation_is_seen_once_an_epoch(store, monkeypatch):
    seen = []
    cls = model_class("gmvae-v2")
    original = cls.training_step
    monkeypatch.setattr(
        cls, "training_step", lambda self, x, g: (seen.append(x), original(self, x, g))[1]
    )
    finish(store, begin(store, epochs=2))
    epochs = [torch.cat(seen[:10]), torch.cat(seen[10:])]
    assert not torch.equal(*epochs)
    rows = [sorted(map(tuple, epoch.tolist())) for epoch in epochs]
    assert len(set(rows[0])) == 10_000
    assert rows[0] == rows[1]


def test_heartbeat_goes_on_while_one_piece_of_work_takes_long(store, monkeypatch):
    monkeypatch.setattr(heartbeat, "HEARTBEAT", 0.02)
    run = begin(store)
    beats = []

    def slow(*_):
        for _ in range(10):
            time.sleep(0.03)
            beats.append(store.get(run).heartbeat)

    monkeypatch.setattr("mixviz.training.config.load", lambda *given: slow() or load(*given))
    assert Trainer(store, run).train() is Status.FINISHED
    assert len(set(beats)) > 5
