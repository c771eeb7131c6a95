"""Fitted models as plain values and back, as a checkpoint has them: no class of a model is pickled."""

from typing import Any

import torch
from safetensors.torch import load

from mixviz.models import MixtureModel, build, create, model_class
from mixviz.training.checkpoints import moments_of, restore_moments, weights_of
from mixviz.training.device import place, stream


def pack(name: str, model: MixtureModel, noise: torch.Generator) -> dict[str, Any]:
    """Return the model called `name` and its stream of noise as plain values and bytes."""
    return {
        "name": name,
        "settings": model.config.model_dump(),
        "shape": model.shape,
        "device": noise.device.type,
        "weights": weights_of(model),
        "moments": moments_of(model, noise),
    }


def unpack(stored: dict[str, Any], seed: int, epoch: int) -> tuple[MixtureModel, torch.Generator]:
    """Build the model again, on its kind of device if there is one here and else on the processor.

    The noise goes on where it was; on another kind of device it starts anew, from the seed and the
    number of epochs done.
    """
    here = torch.accelerator.current_accelerator(check_available=True)
    same = stored["device"] in ("cpu", here and here.type)
    device = torch.device(stored["device"] if same else "cpu")
    name = stored["name"]
    settings = build(model_class(name).Config, stored["settings"])
    model = create(name, settings, tuple(stored["shape"]), stream(seed, "start"))
    model.load_state_dict(load(stored["weights"]))
    place(model, device)
    model.train()
    model.make_optimizers()
    noise = stream(seed, "noise", epoch, device)
    restore_moments(load(stored["moments"]), model, noise if same else None)
    return model, noise
