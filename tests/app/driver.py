"""What the tests of the pages share: an app over a store of its own, and how its pages are read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from mixviz.runs import RunStore, Status
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from mixviz.ui import services

ROOT = Path(__file__).parents[2]
SHORT = {"epochs": 2, "batch_size": 1000, "components": 4, "snapshot_points": 200, "threads": 1}
OUTSIDE = "![x](http://host/p.png) *a* _b_ $c$ `d` :blue[e]\n\n# <b>"
_BOUND = ("view", "alike", "cells", "members", "show")  # what Streamlit itself binds to the link


class NoWorker:
    """Stands in for the process that trains: these tests train nothing through the pages."""

    def train(self, run):
        raise AssertionError("a page trained a run")


@contextmanager
def served(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunStore]:
    """Give the store in `home`, which the pages use meanwhile."""
    monkeypatch.setenv("MIXVIZ_HOME", str(home))
    monkeypatch.setattr(services, "import_shipped", lambda *_: None)
    monkeypatch.setattr(services, "Worker", lambda home: NoWorker())
    st.cache_resource.clear()
    st.cache_data.clear()
    yield RunStore(home)
    st.cache_resource.clear()
    st.cache_data.clear()


def trained(store, model="gmvae-v2", name="Shown", dataset="arcs"):
    """Train a short run and return its id."""
    run = create_run(store, plan(dataset=dataset, model=model, values=SHORT), name)
    assert Trainer(store, run).train() is Status.FINISHED
    return run


def show(page, run=None, **link):
    """Run the app, as a link to one of its pages does."""
    app = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60)
    app.run()
    if run is not None:
        app.query_params["run"] = run
        app.session_state["run"] = run
    for name, value in link.items():
        app.query_params[name] = value
        if name in _BOUND:
            app.session_state[name] = value
    if page != "home":
        app.switch_page(f"{page}.py")
    app.run()
    assert not app.exception, app.exception
    return app


def written(app):
    """Everything that a page says, as Streamlit gets it."""
    kinds = (app.markdown, app.caption, app.info, app.error, app.subheader, app.title, app.metric)
    return "\n".join(
        f"{getattr(element, 'label', '')} {element.value}".strip()
        for kind in kinds
        for element in kind
    )


def texts(app):
    """Everything that a page says, as it is read: without the backslashes of Markdown."""
    return re.sub(r"\\(?=[!-/:-@\[-`{-~])", "", written(app))


def buttons(app):
    """Labels of all buttons."""
    return {element.label for element in app.button}
