"""Lightning's Fabric, imported without torchmetrics.

Lightning imports torchmetrics to ask for its version, and with it Matplotlib and torchvision: a third
of the time that a process takes before it trains. The package's metadata say it too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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

__all__ = ["DDPStrategy", "Fabric", "MisconfigurationException"]
