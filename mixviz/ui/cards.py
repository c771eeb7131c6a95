"""Runs as cards: a thumbnail of the latent space, the verdict, and where to go from here."""

import hashlib
import io
from contextlib import suppress
from pathlib import Path

import streamlit as st

from mixviz.figures.still import latent_image
from mixviz.runs import Run
from mixviz.runs.files import write_atomically
from mixviz.ui.moments import written
from mixviz.ui.runs import badge, label_of_page, literal, open_run, shown_on
from mixviz.ui.services import store

_SIZE = (360, 240)
_OWN = 8  # of a user's own runs shown at most


def thumbnail(run: Run, dark: bool) -> bytes | None:
    """Picture of a run's last snapshot, kept on disk beside the run; None if there is none."""
    steps = store().snapshot_steps(run.id)
    if not steps:
        return None
    of = f"{steps[-1]} {written(run.id, steps[-1])} {dark} {_SIZE}"
    name = hashlib.sha256(of.encode()).hexdigest()[:16]
    cached: Path = store().folder(run.id) / "thumbnails" / f"{name}.png"
    if not cached.is_file():
        snapshot, subsample = store().snapshot(run.id, steps[-1]), store().subsample(run.id)
        image = latent_image(snapshot, subsample, size=_SIZE, colour_by="component", dark=dark)
        content = io.BytesIO()
        image.save(content, "PNG")
        write_atomically(cached, lambda file: file.write(content.getvalue()))
    return cached.read_bytes()


def gallery(here: str = "") -> None:
    """Draw the newest runs and the shipped ones as cards.

    They lead to where a run is watched or replayed, or are chosen for the page `here`.
    """
    own = store().runs(_OWN, shipped=False)
    shipped = sorted(store().runs(shipped=True), key=lambda run: run.name)
    if own:
        st.subheader("Your runs", anchor=False)
        _cards(own, here)
    if shipped:
        st.subheader("Runs to explore", anchor=False)
        _cards(shipped, here)


def choose(here: str) -> None:
    """Offer the runs on the page `here`, which shows one of them, where none is chosen."""
    st.title(here.capitalize(), anchor=False)
    st.info("Choose a run here or in the sidebar.", icon=":material/info:")
    gallery(here)


def _cards(runs: list[Run], here: str, columns: int = 4) -> None:
    dark = st.context.theme.type == "dark"
    for start in range(0, len(runs), columns):
        for column, run in zip(st.columns(columns), runs[start : start + columns], strict=False):
            with column, st.container(border=True):
                picture = _thumbnail_if_any(run, dark)
                if picture:
                    st.image(picture, width="stretch")
                st.markdown(f"**{literal(run.name)}** {badge(run) if not run.shipped else ''}")
                st.caption(literal(run.verdict or run.message) or "No picture yet.")
                with st.container(horizontal=True):
                    to = here or shown_on(run)
                    away = to if to != here else ""
                    st.button(
                        label_of_page(to),
                        key=f"card.{run.id}",
                        on_click=open_run,
                        args=(run.id, away),
                    )


def _thumbnail_if_any(run: Run, dark: bool) -> bytes | None:
    """Return the picture of a run, or None: one damaged run must not hide all others."""
    with suppress(OSError, ValueError, IndexError):
        return thumbnail(run, dark)
    return None
