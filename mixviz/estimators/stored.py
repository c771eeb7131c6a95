"""Fitted models as plain values and back, as a checkpoint has them: no class of a model is pickled."""

import io
from typing import Any

import torch

from mixviz.models import MixtureModel, build, create, model_class
from mixviz.training.device import stream


def pack(name: str, model: MixtureModel, noise: torch.Generator) -> dict[str, Any]:
    """Return the model called `name` and its stream of noise as plain values and bytes."""
    tensors = {
        "weights": model.state_dict(),
        "optimizers": {key: value.state_dict() for key, value in model.optimizers().items()},
        "noise": noise.get_state(),
    }
    content = io.BytesIO()
    torch.save(tensors, content)
    return {
        "name": name,
        "settings": model.config.model_dump(),
        "shape": model.shape,
        "device": noise.device.type,
        "tensors": content.getvalue(),
    }


def unpack(stored: dict[str, Any], seed: int, epoch: int) -> tuple[MixtureModel, torch.Generator]:
    """Build the model again, on its kind of device if there is one here and else on the processor.

    The noise goes on where it was; on another kind of device it starts anew, from the seed and the
    number of epochs done.
    """
    here = torch.accelerator.current_accelerator(check_available=True)
    same = stored["device"] in ("cpu", here and here.type)
    device = torch.device(stored["device"] if same else "cpu")
    tensors = torch.load(io.BytesIO(stored["tensors"]), map_location="cpu", weights_only=True)
    name = stored["name"]
    settings = build(model_class(name).Config, stored["settings"])
    model = create(name, settings, tuple(stored["shape"]), stream(seed, "start"))
    model.load_state_dict(tensors["weights"])
    model.to(device).train()
    model.make_optimizers()
    for key, optimizer in model.optimizers().items():
        optimizer.load_state_dict(tensors["optimizers"][key])
    noise = stream(seed, "noise", epoch, device)
    if same:
        noise.set_state(tensors["noise"])
    return model, noise
