"""Tests of what a machine decides: precision, and how networks lie in memory."""

import pytest
import torch
from safetensors.torch import load
from torch import nn

from mixviz.models import build, create, model_class
from mixviz.models.networks.amm import Dropout
from mixviz.training import device
from mixviz.training.checkpoints import moments_of, restore_moments
from mixviz.training.config import RunConfig
from mixviz.training.device import make_fabric, place

SHAPE = (1, 28, 28)


def made(name="gmvae-v2"):
    """Return a model of convolutions with its optimisers, where it is trained."""
    config = build(model_class(name).Config, {"components": 3, "network": "conv28"})
    model = create(name, config, SHAPE, torch.Generator().manual_seed(0))
    place(model, torch.device("cpu"))
    model.make_optimizers()
    return model


@pytest.mark.parametrize("instructions", [True, False])
def test_bfloat16_is_for_processors_that_have_it(monkeypatch, instructions):
    monkeypatch.setattr(device, "fast_bfloat16", lambda: instructions)
    with make_fabric(RunConfig(precision="bf16-mixed", device="cpu")).autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype is (torch.bfloat16 if instructions else torch.float32)


def test_channels_last_changes_only_the_order_of_sums():
    x = torch.rand((5, *SHAPE), generator=torch.Generator().manual_seed(1))
    config = build(model_class("gmvae-v2").Config, {"components": 3, "network": "conv28"})
    plain = create("gmvae-v2", config, SHAPE, torch.Generator().manual_seed(0))
    placed = made()
    layer = next(part for part in placed.trunk.modules() if isinstance(part, nn.Conv2d))
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    for model in (plain, placed):
        model.eval()
    with torch.no_grad():
        for one, other in zip(plain.posterior(x), placed.posterior(x), strict=True):
            torch.testing.assert_close(one, other)


@pytest.fixture
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("name", "shape", "settings"),
    [
        ("gmvae-v2", SHAPE, {"network": "conv28"}),
        ("nvisa", SHAPE, {"network": "strided"}),
        ("amm", SHAPE, {"network": "conv28"}),
        ("samm", SHAPE, {"network": "conv28"}),
        ("mpcc", (1, 8, 8), {"network": "residual", "width": 3}),
        ("aim", (1, 8, 8), {"network": "residual", "width": 3}),
    ],
)
def test_steps_do_not_depend_on_how_networks_lie(double_precision, name, shape, settings):
    """A fused optimiser goes through memory, whatever strides its tensors have."""
    models = []
    for placed in (False, True):
        values = settings if name == "aim" else {"components": 3, **settings}
        config = build(model_class(name).Config, values)
        model = create(name, config, shape, torch.Generator().manual_seed(0)).train()
        if placed:
            place(model, torch.device("cpu"))
        for part in model.modules():
            if isinstance(part, Dropout):
                part.probability = 0.0  # whose mask is drawn in the order of memory
        model.make_optimizers()
        noise = torch.Generator().manual_seed(1)
        x = torch.rand((40, *shape), generator=noise)
        if name == "samm":
            model.supervise(x[:6], torch.arange(6) % 3)
        model.prepare(x, noise)
        for _ in range(2):
            model.training_step(x, noise)
        models.append(model)
    plain, placed = models
    assert any(
        p.ndim == 4 and not p.is_contiguous() and p.stride() != q.stride()
        for p, q in zip(placed.parameters(), plain.parameters(), strict=True)
    )
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(
            placed.state_dict()[key], value, msg=lambda m, k=key: f"{k}: {m}"
        )


def test_moments_lie_as_their_parameters_do():
    x = torch.rand((20, *SHAPE), generator=torch.Generator().manual_seed(1))
    model, noise = made(), torch.Generator().manual_seed(2)
    model.training_step(x, noise)
    other, same_noise = made(), torch.Generator()
    other.load_state_dict(model.state_dict())
    restore_moments(load(moments_of(model, noise)), other, same_noise)
    for parameter, its in zip(model.parameters(), other.parameters(), strict=True):
        state, again = model.optimizer.state[parameter], other.optimizer.state[its]
        for part in ("exp_avg", "exp_avg_sq"):
            assert state[part].stride() == again[part].stride() == parameter.stride()
    model.training_step(x, noise)
    other.training_step(x, same_noise)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
