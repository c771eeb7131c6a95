"""Training as a moving picture: a GIF of one run, or a page that plays up to four together."""

import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files

from PIL import Image

from mixviz.figures.contours import extent_of
from mixviz.figures.latent import latent_figure
from mixviz.figures.player import PAGE
from mixviz.figures.still import DARK, LIGHT, latent_image
from mixviz.runs.snapshots import Snapshot, Subsample

MOST_RUNS = 4  # a browser keeps few WebGL contexts

_LAST_FRAME = 2000  # milliseconds for which the end is shown before the GIF starts again


def animation_gif(
    snapshots: Iterable[Snapshot],
    subsample: Subsample,
    *,
    progress: Callable[[float], None] | None = None,
    size: tuple[int, int] = (480, 400),
    colour_by: str = "component",
    dark: bool = False,
    frames_per_second: float = 8.0,
) -> bytes:
    """Return a GIF with one frame per snapshot, all in the same part of the plane.

    Parameters
    ----------
    snapshots
        In order of their steps.
    progress
        Called with the share that is done, in (0, 1].
    size
        Width and height, pixels.

    Raises
    ------
    ValueError
        When there are no snapshots.
    """
    moments = list(snapshots)
    if not moments:
        raise ValueError("there are no snapshots to animate")
    extent = extent_of(moments)
    frames = []
    for i, snapshot in enumerate(moments):
        picture = latent_image(
            snapshot,
            subsample,
            size=size,
            colour_by=colour_by,
            dark=dark,
            extent=extent,
            background=DARK if dark else LIGHT,
            caption=caption(snapshot),
        )
        frames.append(picture.convert("RGB").quantize(128, Image.Quantize.FASTOCTREE))
        if progress is not None:
            progress((i + 1) / len(moments))
    buffer = io.BytesIO()
    times = [round(1000 / frames_per_second)] * (len(frames) - 1) + [_LAST_FRAME]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return buffer.getvalue()


def animation_html(
    runs: Sequence[tuple[str, Iterable[Snapshot], Subsample]],
    *,
    colour_by: str = "component",
    points: int = 1500,
) -> str:
    """Return a page that plays up to four runs side by side, with one slider, without a network.

    The slider stands at the steps of all runs; a run shows its last snapshot up to there.

    Parameters
    ----------
    runs
        Title, snapshots in order of their steps, and subsample of each run.
    colour_by
        `component`, `label` or `confidence`.
    points
        Points shown of each run, evenly taken from its subsample.

    Raises
    ------
    ValueError
        When there is no run, more than four, or one without snapshots.
    """
    if not 1 <= len(runs) <= MOST_RUNS:
        raise ValueError(f"one to {MOST_RUNS} runs can be played together")
    played = [_run(title, list(moments), sub, colour_by, points) for title, moments, sub in runs]
    # No title or name can end the script element.
    data = json.dumps(played, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    plotly = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    before, between, after = PAGE.split("@@")
    return "".join([before, plotly, between, data, after])


def caption(snapshot: Snapshot) -> str:
    """Return the step and, where the model has one, the z-prior."""
    step, z_prior = f"step {snapshot.step:,}", snapshot.terms.get("z_prior", math.nan)
    return f"{step} · z-prior {z_prior:.2f} nats" if math.isfinite(z_prior) else step


def _run(
    title: str, moments: list[Snapshot], subsample: Subsample, colour_by: str, points: int
) -> dict:
    if not moments:
        raise ValueError(f"run {title!r} has no snapshots")
    extent = extent_of(moments)
    frames = []
    for snapshot in moments:
        spec = latent_figure(
            *_fewer(snapshot, subsample, points),
            colour_by=colour_by,
            uirevision="animation",
            extent=extent,
        )
        frames.append({"step": snapshot.step, "caption": caption(snapshot), "data": spec["data"]})
    return {"title": title, "layout": spec["layout"], "frames": frames}


def _fewer(snapshot: Snapshot, subsample: Subsample, points: int) -> tuple[Snapshot, Subsample]:
    stride = max(1, -(-len(snapshot.points) // points))
    thin = dataclasses.replace(
        snapshot,
        points=snapshot.points[::stride],
        assignments=snapshot.assignments[::stride],
        confidences=snapshot.confidences[::stride],
    )
    return thin, dataclasses.replace(subsample, labels=subsample.labels[::stride])
