"""What a result was made with: hardware and version of the program."""

import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch


def hardware(device: torch.device) -> str:
    """Name the device of a run: the GPU, or the processor and the cores that the machine has."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    cores = os.cpu_count() or 1
    kind = "Apple GPU, " if device.type == "mps" else ""
    return f"{kind}{_processor()}, {cores} core{'s' * (cores != 1)}"


@lru_cache(maxsize=1)
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    except OSError:  # no Linux
        pass
    return platform.processor() or platform.machine()


@lru_cache(maxsize=1)
def commit() -> str:
    """Name the commit of the source tree, with `-dirty` if it was changed since; else the version.

    It is looked up once in the life of a process, as modules are imported once.
    """
    tree = Path(__file__).parents[2]
    if (tree / ".git").exists() and (tree / "pyproject.toml").exists():
        command = ["git", "--no-optional-locks", "-C", str(tree), "describe"]
        command += ["--always", "--dirty", "--exclude=*"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return f"v{version('mixviz')}"
        if found.returncode == 0:
            return found.stdout.strip()
    return f"v{version('mixviz')}"
