"""Device, precision and random streams, chosen in one place."""

import os

import numpy as np
import torch

from mixviz.errors import MixvizError
from mixviz.training.config import RunConfig
from mixviz.training.lightning import Fabric

PROCESSORS = torch.get_num_threads()  # asked before any run sets its own number
_PURPOSES = ("start", "noise", "order", "snapshot", "evaluation", "labels")


def make_fabric(config: RunConfig, on_host: bool = False) -> Fabric:
    """Return the Fabric that places tensors and runs the networks in the chosen precision.

    A model that computes `on_host` gets the processor whatever was chosen.

    Raises
    ------
    MixvizError
        When the device is not there.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(config.device, True):
        raise MixvizError(f"There is no {config.device} device on this machine; use device=auto.")
    accelerator = "cpu" if on_host else config.device
    fabric = Fabric(accelerator=accelerator, devices=1, precision=config.precision)
    # Lightning makes every look for a GPU, one in each step of Adam, open the driver's library anew.
    # That protects processes about to be forked; the one that trains has been.
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    return fabric


def use_threads(config: RunConfig, shape: tuple[int, ...]) -> None:
    """Set this thread's share of the processors; small networks are fastest on one."""
    small = len(shape) == 1
    torch.set_num_threads(config.threads or (1 if small else PROCESSORS))


def stream_seed(seed: int, purpose: str, index: int = 0) -> int:
    """Return a seed for one of a run's independent random streams."""
    sequence = np.random.SeedSequence([seed, _PURPOSES.index(purpose), index])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def stream(
    seed: int, purpose: str, index: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the generator of one of a run's independent random streams."""
    return torch.Generator(device).manual_seed(stream_seed(seed, purpose, index))
