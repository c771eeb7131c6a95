"""Checkpoints: weights, optimisers and random streams, as safetensors and JSON, never pickled."""

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save
from torch import Tensor

from mixviz.errors import MixvizError
from mixviz.models import MixtureModel, invalid
from mixviz.runs.checkpoint import has_checkpoint as has_checkpoint
from mixviz.runs.checkpoint import put_checkpoint, read_state

_STREAM = "stream"


def save_checkpoint(
    folder: Path, model: MixtureModel, stream: torch.Generator, state: dict[str, Any]
) -> None:
    """Write all three files of a checkpoint.

    Parameters
    ----------
    stream
        The run's noise generator; its state is stored with the optimisers'.
    state
        Plain values: the step, training seconds, current settings.
    """
    files = {
        "model.safetensors": weights_of(model),
        "optimizer.safetensors": moments_of(model, stream),
        "state.json": json.dumps(state).encode(),
    }
    put_checkpoint(folder, files)


def weights_of(model: MixtureModel) -> bytes:
    """Return parameters and buffers in the safetensors format."""
    return save({name: value.detach().contiguous() for name, value in model.state_dict().items()})


def moments_of(model: MixtureModel, stream: torch.Generator) -> bytes:
    """Return the state of the optimisers and of the noise stream in the safetensors format."""
    moments = {_STREAM: stream.get_state()}
    for name, optimizer in model.optimizers().items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                moments[f"{name}.{index}.{key}"] = value.contiguous()
    return save(moments)


def restore_moments(
    moments: dict[str, Tensor], model: MixtureModel, stream: torch.Generator | None
) -> None:
    """Give the optimisers what `moments_of` returned, read back; the noise stream too, if given."""
    if stream is not None:
        stream.set_state(moments[_STREAM])
    for name, optimizer in model.optimizers().items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in moments.items():
            owner, _, place = key.partition(".")
            if owner == name and place:
                index, part = place.split(".")
                state.setdefault(int(index), {})[part] = value
        groups = optimizer.state_dict()["param_groups"]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for number, values in state.items():
            for part, value in values.items():
                if value.shape == parameters[number].shape:  # a moment lies as its parameter does
                    values[part] = torch.empty_like(parameters[number], device="cpu").copy_(value)
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def can_go_on(folder: Path) -> bool:
    """Whether training can go on here: from the start, or with the optimiser of the checkpoint."""
    return not has_checkpoint(folder) or (folder / "optimizer.safetensors").exists()


def load_state(folder: Path) -> dict[str, Any]:
    """Return the plain values of a checkpoint.

    Raises
    ------
    MixvizError
        When the file is missing or damaged.
    """
    try:
        return read_state((folder / "state.json").read_bytes())
    except (OSError, ValueError) as error:
        raise MixvizError(f"The checkpoint cannot be read ({_line(error)}).") from error


def restore_live(state: dict[str, Any], model: MixtureModel) -> None:
    """Set the live settings to what they were at the checkpoint.

    Raises
    ------
    MixvizError
        When the state names a setting the model does not have, or a value out of bounds.
    """
    for name, value in state["live"].items():
        if name not in model.config.live_fields():
            raise MixvizError(f"The checkpoint sets {name!r}, which is no live setting.")
        try:
            model.set_live(name, value)
        except ValidationError as error:
            raise invalid(type(model.config), error) from error


def load_weights(folder: Path, model: MixtureModel) -> None:
    """Load the weights of a checkpoint into a model of the same configuration.

    Raises
    ------
    MixvizError
        When the file is missing, damaged, or of another model.
    """
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except Exception as error:  # safetensors and torch raise many kinds
        raise MixvizError(f"The weights of this run cannot be loaded ({_line(error)}).") from error


def load_optimizers(folder: Path, model: MixtureModel, stream: torch.Generator) -> bool:
    """Load optimiser moments and the noise stream, after `load_weights`.

    Returns whether the stream goes on where it was: it cannot on another kind of device, where it is
    left as it is.

    Raises
    ------
    MixvizError
        When the file is missing, damaged, or of another model.
    """
    try:
        moments = load_file(folder / "optimizer.safetensors")
        same = moments[_STREAM].shape == stream.get_state().shape
        restore_moments(moments, model, stream if same else None)
    except Exception as error:  # safetensors and torch raise many kinds
        reason = _line(error)
        raise MixvizError(f"The optimiser of this run cannot be loaded ({reason}).") from error
    return same


def _line(error: Exception) -> str:
    """One line of what may be a long report."""
    return " ".join(str(error).split())[:200]


def all_finite(model: MixtureModel) -> bool:
    """Whether every parameter and floating-point buffer is finite."""
    values = [v for v in model.state_dict().values() if v.is_floating_point()]
    return all(bool(torch.isfinite(value).all()) for value in values)
