"""Tests that several processes, each with a share of every batch, train what one would."""

import socket
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mixviz.errors import MixvizError
from mixviz.models import create
from mixviz.models.shares import Share, SharedStream, random_values
from mixviz.runs import Status
from mixviz.training.config import RunConfig, plan
from mixviz.training.device import make_fabric, place
from mixviz.training.team import Team, launch, share_batch_norms
from mixviz.training.trainer import Trainer
from tests.training.conftest import begin, finish, program, until

BATCH, STEPS = 16, 3
CASES = {
    "images": ("gmvae-v2", (1, 28, 28), {}),
    "gated": ("gmvae-v2", (1, 8, 8), {"z_prior_floor": 0.5, "component_spread": 1.0, "samples": 2}),
    "head": ("gmvae-v1", (2,), {}),
    "vimco": ("nvisa", (1, 8, 8), {"estimator": "vimco", "likelihood": "bernoulli"}),
    "nvil": ("nvisa", (1, 8, 8), {"estimator": "nvil", "noise_levels": 256}),
    "vade": ("vade", (2,), {"pretrain_epochs": 1, "likelihood": "gaussian"}),
    "dec": ("dec", (2,), {"pretrain_epochs": 0}),
    "vae": ("vae-gmm", (2,), {}),
}


def steps(case, team=None):
    """Weights after a few steps of a model on random data, alone or as one of a team.

    In double precision: Adam makes steps as large of gradients that are nothing but rounding.
    """
    name, shape, values = CASES[case]
    torch.manual_seed(0)
    x = torch.rand(STEPS, BATCH, *shape, dtype=torch.float64)
    settings = plan(model=name, values={"components": 4} | values).settings
    model = create(name, settings, shape, torch.Generator().manual_seed(1)).double()
    noise = torch.Generator().manual_seed(2)
    place(model, torch.device("cpu"))
    if team:
        share_batch_norms(model, team)
        model.share = team
        noise = SharedStream().manual_seed(2)
    model.train()
    model.make_optimizers()
    model.prepare(x.flatten(0, 1), noise)
    for epoch, batch in enumerate(x):
        rows = torch.arange(BATCH)
        if team:
            rows, noise.share = team.part(rows), team
        model.training_step(batch[rows], noise)
        if team:
            noise.share = Share()
        model.end_epoch(epoch + 1, x.flatten(0, 1), noise)
        if team:
            team.match(model)
    return model.state_dict()


def write_steps(fabric, folder):
    """What each process of a team does: the steps of all cases, into a file."""
    torch.set_num_threads(1)
    found = {case: steps(case, Team(fabric)) for case in CASES}
    flat = {f"{case} {name}": v.contiguous() for case, s in found.items() for name, v in s.items()}
    save_file(flat, folder / f"{fabric.global_rank}.safetensors")


def test_steps_in_two_processes_are_those_of_one(tmp_path, monkeypatch):
    # What an earlier team leaves in the environment: by now the port is another program's.
    taken = socket.create_server(("", 0))
    monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
    fabric = make_fabric(RunConfig(devices=2, device="cpu"))
    launch(fabric, partial(write_steps, folder=tmp_path))
    taken.close()
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name  # bit for bit: else the processes would part
    for case in CASES:
        # Biases before batch normalisation have no gradient but rounding, more of it in convolutions.
        near = 1e-6 if case == "images" else 1e-8
        for name, value in steps(case).items():
            found = first[f"{case} {name}"]
            torch.testing.assert_close(found, value, rtol=1e-6, atol=near, msg=f"{case} {name}")


@pytest.mark.parametrize("fill", [Tensor.normal_, Tensor.uniform_, Tensor.exponential_])
def test_shares_of_noise_are_parts_of_the_noise_of_one(fill):
    like, parts = torch.zeros(()), []
    for index in range(3):
        stream = SharedStream().manual_seed(5)
        stream.share = type("Third", (), {"index": index, "count": 3})()
        parts.append(random_values(fill, (2, 4, 5), stream, like, batch=1))
    whole = random_values(fill, (2, 12, 5), torch.Generator().manual_seed(5), like, batch=1)
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_run_on_two_devices_is_steered_stopped_resumed_and_ends_like_that_on_one(store):
    values = {"components": 5, "component_spread": 1.0, "device": "cpu", "dataset": "digits"}
    values |= {"batch_size": 200, "z_prior_floor": 0.2}
    shared = begin(store, epochs=200, devices=2, **values)
    store.send(shared, "set", "z_prior_floor", 1.0)
    process = program(store, "resume", shared, "--json")
    try:
        until(lambda: store.get(shared).step > 8, seconds=120)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
    stopped = store.get(shared)
    assert stopped.status is Status.STOPPED
    assert stopped.step < stopped.total_steps
    (event,) = store.events(shared)
    assert (event.field, event.value) == ("z_prior_floor", 1.0)

    epochs = stopped.step // 8 + 2
    config = dict(store.get(shared).config)
    config["run"] |= {"epochs": epochs}
    store.update(shared, config=config)
    finish(store, shared)
    assert store.get(shared).step == store.get(shared).total_steps == 8 * epochs
    assert store.snapshot_steps(shared)[-1] == 8 * epochs

    alone = begin(store, epochs=epochs, **values)
    assert Steered(store, alone, event).train() is Status.FINISHED
    curves = [store.terms(run) for run in (shared, alone)]
    assert [row[0] for row in curves[0]] == list(range(1, 8 * epochs + 1))
    assert event.step < stopped.step < 8 * epochs
    for mine, other in zip(*curves, strict=True):
        assert mine[:2] == other[:2]
        assert mine[2] == pytest.approx(other[2], rel=0.02, abs=0.01), mine[0]


class Steered(Trainer):
    """Changes a live setting where an event says."""

    def __init__(self, store, run, event):
        super().__init__(store, run)
        self.event = event

    def between(self, terms):
        stop = super().between(terms)
        if self.step == self.event.step:
            self.change(self.event.field, self.event.value)
        return stop


def test_what_a_team_meets_is_said(store):
    """Points are no Bernoulli variables: all processes find that out, and none is left."""
    run = begin(store, model="nvisa", likelihood="bernoulli", devices=2, device="cpu")
    assert Trainer(store, run).train() is Status.FAILED
    assert "A Bernoulli likelihood needs values in [0, 1]" in store.get(run).message
    assert not store.get(run).owner


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"model": "amm"}, "AMM trains on one device; take devices=1"),
        ({"batch_size": 101}, "cannot be shared evenly by 2 devices; take batch_size=100"),
    ],
)
def test_what_several_devices_cannot_share_is_refused(values, reason):
    model = values.pop("model", "gmvae-v2")
    with pytest.raises(MixvizError, match=reason):
        plan(dataset="arcs", model=model, values=values | {"devices": 2, "device": "cpu"})
