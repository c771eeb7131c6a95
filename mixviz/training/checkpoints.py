"""Checkpoints: weights, optimisers and random streams, as safetensors and JSON, never pickled."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from operator import methodcaller
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save
from torch import Tensor

from mixviz.errors import MixvizError
from mixviz.models import MixtureModel, invalid
from mixviz.runs.files import write_atomically

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


def put_checkpoint(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a checkpoint beside `folder`, then put them in its place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    old = folder.with_name(".checkpoint.old")
    for leftover in folder.parent.glob(".checkpoint.*"):  # of a process killed while it saved
        if leftover != old:
            shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".checkpoint."))
    for file, content in files.items():
        write_atomically(fresh / file, methodcaller("write", content))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(fresh, folder)
    except OSError:  # a reader took the moment between the two for a crash, and mended it
        os.rename(folder, old)
        os.rename(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


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
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a whole checkpoint; mends one that was being replaced during a crash."""
    old = folder.with_name(".checkpoint.old")
    if not folder.exists():
        with suppress(OSError):  # nothing to mend, or the writer was faster
            os.rename(old, folder)
    return (folder / "state.json").is_file()


def load_state(folder: Path) -> dict[str, Any]:
    """Return the plain values of a checkpoint."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_bytes())
    except (OSError, ValueError) as error:
        raise MixvizError(f"The checkpoint cannot be read ({error}).") from error
    return state


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


def load_optimizers(folder: Path, model: MixtureModel, stream: torch.Generator) -> None:
    """Load optimiser moments and the noise stream, after `load_weights`.

    Raises
    ------
    MixvizError
        When the file is missing, damaged, or of another model.
    """
    try:
        restore_moments(load_file(folder / "optimizer.safetensors"), model, stream)
    except Exception as error:  # safetensors and torch raise many kinds
        reason = _line(error)
        raise MixvizError(f"The optimiser of this run cannot be loaded ({reason}).") from error


def _line(error: Exception) -> str:
    """One line of what may be a long report."""
    return " ".join(str(error).split())[:200]


def all_finite(model: MixtureModel) -> bool:
    """Whether every parameter and floating-point buffer is finite."""
    values = [v for v in model.state_dict().values() if v.is_floating_point()]
    return all(bool(torch.isfinite(value).all()) for value in values)
