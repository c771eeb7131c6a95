"""What all sessions of one server share: the run store, the jobs, the files it serves."""

import importlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from mixviz.cli.app import app_file
from mixviz.runs import RunStore
from mixviz.runs.bundle import import_shipped
from mixviz.training.worker import Worker

if TYPE_CHECKING:
    from mixviz.training.jobs import Jobs

ICON = str(Path(__file__).with_name("icon.svg"))


@st.cache_resource(show_spinner="Unpacking the shipped runs …")
def store() -> RunStore:
    """Return the run store, with the shipped runs in it."""
    opened = RunStore()
    import_shipped(opened, app_file().parent / "checkpoints")
    return opened


@st.cache_resource(show_spinner=False)
def worker() -> Worker:
    """Return the process that trains; it imports PyTorch while the first page is read."""
    return Worker(store().home)


@st.cache_resource(show_spinner="Starting PyTorch …")
def jobs() -> "Jobs":
    """Return the registry of background jobs; the first call imports PyTorch."""
    from mixviz.training.jobs import Jobs

    return Jobs(store(), worker().train)


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """Import in the background what Train needs, PyTorch first of all, so that it does not wait."""
    worker()

    def load() -> None:
        for module in ("mixviz.training.jobs", "mixviz.ui.setup", "mixviz.ui.live"):
            importlib.import_module(module)

    threading.Thread(target=load, daemon=True).start()
