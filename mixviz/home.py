"""The folder in which the program keeps what it makes."""

import os
from pathlib import Path

from platformdirs import user_data_path


def default_home() -> Path:
    """Folder of the run store and of the user's data sets: `MIXVIZ_HOME`, else the user's data folder."""
    configured = os.environ.get("MIXVIZ_HOME")
    return Path(os.path.expanduser(configured)) if configured else user_data_path("mixviz")
