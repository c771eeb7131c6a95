"""Tests of what a machine decides: precision, and how networks lie in memory."""

import pytest
import torch
from safetensors.torch import load
from torch import nn

from mixviz.models import build, create, model_class
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
