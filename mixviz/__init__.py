"""Watch the clusters of deep mixture models form or collapse while they train."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixviz.estimators import AMM, DEC, GMVAE, MPCC, NVISA, VaDE

__version__ = "0.1.0"

__all__ = ["AMM", "DEC", "GMVAE", "MPCC", "NVISA", "VaDE", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the estimators when one is asked for: they need PyTorch, and most imports do not."""
    if name in __all__:
        return getattr(importlib.import_module("mixviz.estimators"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
