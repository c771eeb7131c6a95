"""The worker process: same bits as in this process, and what happens when a process dies."""

import os
import signal
import subprocess
import sys

import pytest

from mixviz.runs import RunStore, Status
from mixviz.training.jobs import Jobs
from mixviz.training.worker import FORKS, Worker
from tests.training.conftest import assert_same_training, begin, finish, short_plan, until

pytestmark = pytest.mark.skipif(not FORKS, reason="runs train in forks on Linux alone")

# The app, reduced to what starts a run: it waits to be killed.
APP = """
import sys, threading
from pathlib import Path
from mixviz.runs import RunStore
from mixviz.training.jobs import Jobs
from mixviz.training.worker import Worker
home = Path(sys.argv[1])
Jobs(RunStore(home), Worker(home).train).resume(sys.argv[2])
threading.Event().wait()
"""


@pytest.fixture
def jobs(store):
    worker = Worker(store.home)
    yield Jobs(store, worker.train)
    process = worker._process
    process.stdin.close()
    process.wait(30)


def test_runs_in_the_worker_give_the_bits_of_runs_here(store, jobs):
    runs = [jobs.start(short_plan(seed=seed)) for seed in (1, 2)]
    for run in runs:
        jobs.wait(run, 120)
    for seed, run in zip((1, 2), runs, strict=True):
        assert store.get(run).status is Status.FINISHED
        assert store.get(run).pid not in (0, os.getpid())
        assert_same_training(store, run, finish(store, begin(store, seed=seed)))


def test_worker_that_died_is_started_again(store, jobs):
    run = jobs.start(short_plan(epochs=100_000))
    until(lambda: store.get(run).step > 50)
    os.kill(store.get(run).pid, signal.SIGKILL)
    jobs.wait(run, 30)
    assert store.get(run).status is Status.INTERRUPTED
    jobs.resume(run)
    until(lambda: store.get(run).status is Status.RUNNING and store.get(run).step > 50)
    store.send(run, "stop")
    jobs.wait(run, 30)
    assert store.get(run).status is Status.STOPPED


def test_runs_stop_with_a_checkpoint_when_the_app_is_killed(store):
    run = begin(store, epochs=100_000)
    store.update(run, status=Status.STOPPED)
    app = subprocess.Popen([sys.executable, "-c", APP, str(store.home), run])
    try:
        until(lambda: store.get(run).step > 50)
    finally:
        app.kill()
        app.wait()
    until(lambda: store.get(run).status is Status.STOPPED)
    stopped = RunStore(store.home).get(run)
    assert stopped.step > 50
    assert stopped.step in store.snapshot_steps(run)
