"""Tests of a sweep on a real Ray on this machine: lost workers, failed runs, interruption."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import ray
import yaml

from mixviz.cli import main
from mixviz.errors import MixvizError
from mixviz.runs import RunStore, Status
from mixviz.sweep import Sweep, train_all
from mixviz.sweep.on_ray import RayPool
from mixviz.sweep.spec import Resources
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from tests.training.conftest import assert_same_training, bits

SET = {
    "components": 3,
    "epochs": 8,
    "batch_size": 1000,
    "snapshot_points": 100,
    "threads": 1,
    "checkpoint_seconds": 0.3,
}


@pytest.fixture(scope="module")
def cluster():
    """A Ray with two processors for all tests of this module."""
    ray.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    yield
    ray.shutdown()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path))
    return RunStore(tmp_path)


def sweep(seeds=1, **settings):
    block = {"models": "gmvae-v2", "datasets": "arcs", "set": SET | settings}
    return Sweep.model_validate({"name": "made", "seeds": seeds, "runs": [block]})


def undisturbed(store, trial):
    run = create_run(store, trial.plan)
    assert Trainer(store, run).train() is Status.FINISHED
    return run


@pytest.mark.parametrize("address", ["ray://host:10001", "nowhere", "127.0.0.1:9"])
def test_an_address_without_ray_is_refused_in_one_line(store, address):
    assert not ray.is_initialized()  # these come before all that need the cluster
    with pytest.raises(MixvizError, match=address) as caught:
        train_all(store, sweep(), RayPool(store, Resources(), address))
    assert "\n" not in str(caught.value)


def test_a_failed_run_is_carried_on_from_its_checkpoint(store, cluster):
    made = sweep()
    (trial,) = made.trials()
    run = create_run(store, trial.plan)

    def stop(step, total, terms):
        store.send(run, "stop")

    assert Trainer(store, run, stop).train() is Status.STOPPED
    begun = store.get(run).step
    assert 0 < begun < 80
    moments = store.checkpoint_folder(run) / "optimizer.safetensors"
    whole = moments.read_bytes()
    moments.write_bytes(b"damaged")
    messages = []

    class Mending(RayPool):
        def start(self, run):
            if message := store.get(run).message:
                messages.append(message)
                moments.write_bytes(whole)
            super().start(run)

    outcome = train_all(store, made, Mending(store, Resources(retries=1)))
    assert outcome.runs == {run: Status.FINISHED}
    assert "optimiser of this run cannot be loaded" in messages[0]
    assert bits(store, run) == bits(store, undisturbed(store, trial))


def test_a_run_that_fails_again_and_again_is_given_up(store, cluster):
    made = sweep()
    (trial,) = made.trials()
    run = create_run(store, trial.plan)
    folder = store.checkpoint_folder(run)
    folder.mkdir()
    (folder / "state.json").write_text("{")
    outcome = train_all(store, made, RayPool(store, Resources(retries=1)))
    assert outcome.runs == {run: Status.FAILED}
    assert "checkpoint cannot be read" in store.get(run).message


def test_a_search_on_ray(store, cluster):
    ranges = {"components": {"low": 2, "high": 9}, "epochs": 20, "threads": 1}
    block = {"models": "k-means", "datasets": "arcs", "set": ranges}
    made = Sweep.model_validate({"name": "made", "search": {"trials": 3}, "runs": [block]})
    outcome = train_all(store, made, RayPool(store, Resources(), jobs=1))
    assert list(outcome.runs.values()) == [Status.FINISHED] * 3
    scores = {run: store.get(run).result["silhouette"] for run in outcome.runs}
    assert outcome.best[0]["runs"] == [max(scores, key=scores.get)]


def test_a_worker_killed_in_the_middle_loses_nothing(store, cluster):
    made = sweep(slow_start=4.0)
    killed = {}

    def kill(outcome):
        for run in map(store.get, outcome.runs):
            state = store.checkpoint_folder(run.id) / "state.json"
            if killed or run.status is not Status.RUNNING or not state.exists():
                continue
            if json.loads(state.read_bytes())["step"] and run.step < run.total_steps:
                assert run.pid != os.getpid()
                os.kill(run.pid, signal.SIGKILL)
                killed[run.id] = run.step

    outcome = train_all(store, made, RayPool(store, Resources()), kill)
    assert list(outcome.runs.values()) == [Status.FINISHED]
    assert outcome.share == 1
    ((run, step),) = killed.items()
    assert 0 < step < 80
    again = train_all(store, made, RayPool(store, Resources(gpus=64)))
    assert again.runs == outcome.runs  # nothing is missing: Ray is not even asked
    assert_same_training(store, run, undisturbed(store, made.trials()[0]))
    assert [step for step, _, _ in store.terms(run)] == list(range(1, 81))


def test_a_run_lost_at_its_last_attempt_is_recorded(store, cluster):
    made = sweep(slow_start=4.0)

    def kill(outcome):
        for run in map(store.get, outcome.runs):
            if run.status is Status.RUNNING and run.step:
                os.kill(run.pid, signal.SIGKILL)

    outcome = train_all(store, made, RayPool(store, Resources(retries=0)), kill)
    ((run, status),) = outcome.runs.items()
    assert status is Status.INTERRUPTED
    assert "Lost by Ray" in store.get(run).message
    assert not store.get(run).owner


def test_resources_that_no_node_has_are_refused(store, cluster):
    pool = RayPool(store, Resources(cpus=2, gpus=0.5))
    with pytest.raises(MixvizError, match=r"2 CPUs and 0\.5 GPUs"):
        train_all(store, sweep(), pool)


def test_an_interrupted_command_leaves_runs_that_go_on(store, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep(seeds=2, slow_start=8.0).model_dump()))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "mixviz", "sweep", str(path), "--ray", "local", "--jobs", "1"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not any(run.step > 3 for run in store.runs()):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "interrupted; the same command goes on" in errors
    assert "stopped      1" in out
    found = {run.status: run for run in store.runs()}
    assert set(found) == {Status.STOPPED, Status.INTERRUPTED}
    assert 3 < found[Status.STOPPED].step < 80
    assert found[Status.INTERRUPTED].step == 0
    for run in found.values():
        store.update(run.id, config={**run.config, "run": {**run.config["run"], "slow_start": 0}})
        assert Trainer(store, run.id).train() is Status.FINISHED


def test_without_ray_the_command_says_what_to_install(store, tmp_path, monkeypatch, capsys):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep().model_dump()))
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "mixviz.sweep.on_ray")
    assert main(["sweep", str(path), "--ray"]) == 2
    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err
    assert not store.runs()
