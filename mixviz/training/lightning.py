"""Lightning's Fabric, imported without torchmetrics, and how the processes of a run find each other.

Lightning imports torchmetrics to ask for its version, and with it Matplotlib and torchvision: a third
of the time that a process takes before it trains. The package's metadata say it too.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core import imports


@contextmanager
def _metadata_asked() -> Iterator[None]:
    original = imports.compare_version

    def compare(package: str, op: Any, version: str, *rest: Any, **more: Any) -> bool:
        if package == "torchmetrics":
            return bool(imports.RequirementCache(f"{package}>={version}"))
        return original(package, op, version, *rest, **more)

    imports.compare_version = compare
    try:
        yield
    finally:
        imports.compare_version = original


with _metadata_asked():
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy
    from lightning_fabric.utilities.exceptions import MisconfigurationException

__all__ = ["Fabric", "MisconfigurationException", "TeamStrategy"]


class TeamStrategy(DDPStrategy):
    """New processes of one machine, which meet in a file.

    Lightning's own meet at a port that is free when they are started. It leaves the port in the
    environment, where every later team finds it, and by then it may be another program's.
    """

    def __init__(self) -> None:
        """Choose where the processes meet."""
        # They wait for each other for as long as their run is paused.
        super().__init__(start_method="spawn", timeout=timedelta(days=365))
        self.meeting = Path(tempfile.gettempdir(), f"mixviz-{secrets.token_hex(16)}")

    def setup_environment(self) -> None:
        """Connect the processes; called in each of them."""
        on_gpu = self.root_device.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(self.root_device)
        torch.distributed.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=self.meeting.as_uri(),
            timeout=self._timeout,
            rank=self.local_rank,
            world_size=self.num_processes,
            device_id=self.root_device if on_gpu else None,
        )
        super().setup_environment()
