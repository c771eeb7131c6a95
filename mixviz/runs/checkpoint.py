"""The folder of a checkpoint, replaced as a whole; what its files hold is the trainer's affair."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from operator import methodcaller
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from mixviz.runs.files import write_atomically


class _State(BaseModel):
    """What every checkpoint holds beside tensors."""

    model_config = ConfigDict(strict=True, extra="allow")

    step: Annotated[int, Field(ge=0, le=2**53)]
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    live: dict[str, FiniteFloat]


def read_state(content: bytes) -> dict[str, Any]:
    """Return the step, the training seconds, the live settings and what else state.json holds.

    Raises
    ------
    ValueError
        When one of them is missing or is no number.
    """
    return _State.model_validate_json(content).model_dump()


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


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a whole checkpoint; mends one that was being replaced during a crash."""
    old = folder.with_name(".checkpoint.old")
    if not folder.exists():
        with suppress(OSError):  # nothing to mend, or the writer was faster
            os.rename(old, folder)
    return (folder / "state.json").is_file()
