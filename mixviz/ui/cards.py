"""Runs as cards: a thumbnail of the latent space, the verdict, and where to go from here."""

import hashlib
import io
from contextlib import suppress
from pathlib import Path

import streamlit as st

from mixviz.figures.still import latent_image
from mixviz.runs import Run
from mixviz.runs.files import write_atomically
from mixviz.ui import keys
from mixviz.ui.runs import badge, literal
from mixviz.ui.services import store

_SIZE = (360, 240)


def thumbnail(run: Run, dark: bool) -> bytes | None:
    """Picture of a run's last snapshot, kept on disk beside the run; None if there is none."""
    steps = store().snapshot_steps(run.id)
    if not steps:
        return None
    name = hashlib.sha256(f"{steps[-1]} {dark} {_SIZE}".encode()).hexdigest()[:16]
    cached: Path = store().folder(run.id) / "thumbnails" / f"{name}.png"
    if not cached.is_file():
        snapshot, subsample = store().snapshot(run.id, steps[-1]), store().subsample(run.id)
        image = latent_image(snapshot, subsample, size=_SIZE, colour_by="component", dark=dark)
        content = io.BytesIO()
        image.save(content, "PNG")
        write_atomically(cached, lambda file: file.write(content.getvalue()))
    return cached.read_bytes()


def cards(runs: list[Run], columns: int = 4) -> None:
    """Draw runs as a grid of cards."""
    dark = st.context.theme.type == "dark"
    for start in range(0, len(runs), columns):
        for column, run in zip(st.columns(columns), runs[start : start + columns], strict=False):
            with column, st.container(border=True):
                picture = _thumbnail_if_any(run, dark)
                if picture:
                    st.image(picture, width="stretch")
                st.markdown(f"**{literal(run.name)}** {badge(run) if not run.shipped else ''}")
                st.caption(literal(run.verdict) or "No picture yet.")
                with st.container(horizontal=True):
                    page = "train" if run.status.live else "replay"
                    label = "Watch" if run.status.live else "Replay"
                    st.button(label, key=f"card.{run.id}", on_click=_open, args=(run.id, page))


def _thumbnail_if_any(run: Run, dark: bool) -> bytes | None:
    """Return the picture of a run, or None: one damaged run must not hide all others."""
    with suppress(OSError, ValueError, IndexError):
        return thumbnail(run, dark)
    return None


def _open(run: str, page: str) -> None:
    st.session_state[keys.RUN] = run
    st.switch_page(f"pages/{page}.py")
