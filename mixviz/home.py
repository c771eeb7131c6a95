"""The folders that the program works in, as the environment names them."""

import os
from pathlib import Path

from platformdirs import user_data_path


def named_folder(variable: str) -> Path | None:
    """Absolute path of the folder that a variable of the environment names; None if it is not set."""
    named = os.environ.get(variable)
    return Path(os.path.expanduser(named)).absolute() if named else None


def default_home() -> Path:
    """Folder of the run store and of the user's data sets: `MIXVIZ_HOME`, else the user's data folder."""
    return named_folder("MIXVIZ_HOME") or user_data_path("mixviz")
