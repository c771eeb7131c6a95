"""Device, precision and random streams, chosen in one place."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from mixviz.errors import MixvizError
from mixviz.processors import usable_cores
from mixviz.training.config import RunConfig

if TYPE_CHECKING:
    from mixviz.training.lightning import Fabric

PROCESSORS = torch.get_num_threads()  # asked before any run sets its own number
_PURPOSES = ("start", "noise", "order", "snapshot", "evaluation", "labels")


def make_fabric(config: RunConfig, on_host: bool = False) -> "Fabric":
    """Return the Fabric that places tensors and runs the networks in the chosen precision.

    A model that computes `on_host` gets the processor whatever was chosen. Processors that would only
    imitate bfloat16 compute in single precision.

    Raises
    ------
    MixvizError
        When the device is not there.
    """
    # Three seconds.
    from mixviz.training.lightning import Fabric, MisconfigurationException, TeamStrategy

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(config.device, True):
        raise MixvizError(f"There is no {config.device} device on this machine; use device=auto.")
    accelerator = "cpu" if on_host else config.device
    several: dict[str, Any] = {}
    if config.devices > 1:
        several["strategy"] = TeamStrategy()

    def fabric_of(accelerator: str, precision: Any) -> "Fabric":
        return Fabric(
            accelerator=accelerator, devices=config.devices, precision=precision, **several
        )

    try:
        fabric = fabric_of(accelerator, config.precision)
    except MisconfigurationException as error:
        raise MixvizError(
            f"There are not {config.devices} devices for this run on this machine; take devices=1."
        ) from error
    if fabric.device.type == "cpu" and config.precision == "bf16-mixed" and not fast_bfloat16():
        fabric = fabric_of("cpu", "32-true")
    forget_forks()
    return fabric


def devices_here(config: RunConfig, on_host: bool = False) -> RunConfig:
    """Return how a run that has begun, maybe on another machine, is computed on this one.

    A device that is not here becomes `auto`; where there are too few for its team, one computes the
    same, to rounding, alone.

    Raises
    ------
    MixvizError
        When nothing here can compute it.
    """
    for changed in ({}, {"device": "auto"}):
        found = config.model_copy(update=changed)
        with suppress(MixvizError):
            make_fabric(found, on_host)
            return found
    alone = config.model_copy(update={"device": "auto", "devices": 1})
    make_fabric(alone, on_host)
    return alone


def forget_forks() -> None:
    """Undo what Lightning does for processes about to be forked; one that trains has been.

    It makes every look for a GPU, one in each step of Adam, open the driver's library anew.
    """
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


def fast_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16."""
    instructions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in instructions)


def place(model: nn.Module, device: torch.device) -> None:
    """Move a model to its device, its convolutions with the channels last.

    Their results are the same but for the order of sums; they take three quarters of the time in
    bfloat16.
    """
    model.to(device)
    model.to(memory_format=torch.channels_last)


def use_threads(config: RunConfig, shape: tuple[int, ...]) -> None:
    """Set this thread's share of the processors; small networks are fastest on one."""
    own = 1 if len(shape) == 1 else PROCESSORS
    if config.devices > 1:  # Lightning may have divided them already
        own = max(1, min(own, usable_cores() // config.devices))
    torch.set_num_threads(config.threads or own)


def stream_seed(seed: int, purpose: str, index: int = 0) -> int:
    """Return a seed for one of a run's independent random streams."""
    sequence = np.random.SeedSequence([seed, _PURPOSES.index(purpose), index])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def stream(
    seed: int, purpose: str, index: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the generator of one of a run's independent random streams."""
    return torch.Generator(device).manual_seed(stream_seed(seed, purpose, index))
