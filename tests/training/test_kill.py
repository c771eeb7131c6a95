"""Tests with real processes: `mixviz train` under SIGKILL, and one trainer steered from another."""

import json
import random
import signal
import time

from mixviz.runs import Status
from mixviz.training.jobs import Jobs
from tests.training.conftest import (
    assert_same_training,
    begin,
    finish,
    program,
    short_plan,
    until,
)

SETTINGS = {"epochs": 30, "components": 5, "checkpoint_seconds": 0.3}


def training(store, run):
    """Whether the run's process has stepped beyond its checkpoint."""
    state = store.checkpoint_folder(run) / "state.json"
    return state.is_file() and store.get(run).step > json.loads(state.read_bytes())["step"]


def test_run_killed_at_random_moments_ends_in_the_same_bits(store):
    values = ["--dataset", "arcs", "--model", "gmvae-v2"]
    # A slow start holds the run back, so that there is time to kill it.
    for name, value in short_plan(**SETTINGS, slow_start=4).run.model_dump().items():
        values += ["--set", f"{name}={value}"]
    values += ["--set", "components=5"]
    seed = random.randrange(10**6)
    print(f"random seed {seed}")
    moments = random.Random(seed)

    process = program(store, "train", *values)
    run = until(lambda: store.runs())[0].id
    for again in (True, False):
        until(lambda: store.get(run).status is Status.RUNNING and training(store, run))
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        found = store.get(run)
        assert found.status is Status.INTERRUPTED
        assert 0 < found.step < found.total_steps
        print(f"killed at step {found.step} of {found.total_steps}")
        if again:
            process = program(store, "resume", run)
    out, errors = program(store, "resume", run, "--json").communicate()
    assert json.loads(out)["status"] == "finished", errors

    undisturbed = finish(store, begin(store, **SETTINGS))
    assert_same_training(store, run, undisturbed)
    assert [step for step, _, _ in store.terms(run)] == list(range(1, 301))


def test_run_is_steered_by_another_process(store):
    jobs = Jobs(store)
    run = jobs.start(short_plan(epochs=100_000))
    try:
        until(lambda: store.get(run).step > 0)

        def tell(*arguments):
            process = program(store, *arguments)
            _, errors = process.communicate()
            assert (process.returncode, errors) == (0, "")

        tell("pause", run)
        until(lambda: store.get(run).status is Status.PAUSED)
        tell("set", run, "z_prior_floor=1.25")
        (event,) = until(lambda: store.events(run))
        assert (event.field, event.value) == ("z_prior_floor", 1.25)
        tell("continue", run)
        until(lambda: store.get(run).status is Status.RUNNING)
    finally:
        tell("stop", run)
        jobs.wait(run, 30)
    assert store.get(run).status is Status.STOPPED
    assert not jobs.alive(run)
