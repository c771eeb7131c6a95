"""What plots ask the server for by themselves: Plotly's JavaScript, and the next picture of a run.

A plot that follows a run in this way costs no rerun of the page, whose whole tree Streamlit's part in
the browser goes through at every one.
"""

import asyncio
import importlib.util
import time
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from mixviz.errors import MixvizError
from mixviz.figures.latent import COLOURINGS
from mixviz.runs import RunStore

PLOTLY = "live/plotly.min.js"
PATIENCE = 1.0  # seconds that a plot is kept waiting for the next snapshot
LOOK = 0.03  # seconds between looks for it
_AS_IT_IS = {"Content-Encoding": "identity"}  # to compress it for this machine only takes time


def plotly_file() -> Path:
    """Return Plotly's JavaScript, which its Python package carries."""
    package = importlib.util.find_spec("plotly")
    if package is None or package.origin is None:
        raise MixvizError("Plotly is missing from this installation; install mixviz again.")
    return Path(package.origin).parent / "package_data" / "plotly.min.js"


async def plotly(request: Request) -> Response:
    """Give Plotly's JavaScript."""
    return FileResponse(plotly_file(), headers=_AS_IT_IS)


def latent_url(run: str, colour_by: str) -> str:
    """Return where a plot of a run's latent space gets its next picture, below the app's address."""
    return f"live/{run}/latent?colour={colour_by}"


async def latent(request: Request) -> Response:
    """Give the latent space of a run at its last snapshot, as soon as that is another than `after`.

    The query holds `colour`, one of the colourings, and `after`, the step of the picture that is
    there. The answer is 204 where there is nothing new, 404 where there is no such run.
    """
    run, colour_by = request.path_params["run"], request.query_params.get("colour")
    try:
        after = int(request.query_params["after"])
    except (KeyError, ValueError):
        return Response("after is the step of a snapshot", status_code=400)
    if colour_by not in COLOURINGS:
        return Response(f"colour is one of {', '.join(COLOURINGS)}", status_code=400)
    try:
        store = await run_in_threadpool(_watch, run)
    except MixvizError:
        return Response(status_code=404)
    limit = time.monotonic() + PATIENCE
    while not (steps := store.snapshot_steps(run)) or steps[-1] == after:
        if time.monotonic() > limit:
            return Response(status_code=204)
        await asyncio.sleep(LOOK)
    return await run_in_threadpool(_drawn, run, steps[-1], colour_by)


# The server imports this module before it runs, which what follows imports expects.


def _watch(run: str) -> RunStore:
    """Note that a run is looked at, and return the store; the first to ask for it opens it."""
    from mixviz.ui.services import store

    store().watch(store().get(run).id)
    return store()


def _drawn(run_id: str, step: int, colour_by: str) -> Response:
    from mixviz.ui import panels
    from mixviz.ui.services import store

    run = store().get(run_id)
    try:
        snapshot = store().snapshot(run_id, step)
    except FileNotFoundError:  # taken back meanwhile
        return Response(status_code=204)
    drawn = panels.latent_plot(
        run,
        snapshot,
        panels.subsample_of(run_id, run.created),
        colour_by,
        panels.running_extent(run_id, snapshot),
    )
    return JSONResponse(drawn, headers=_AS_IT_IS)


ROUTES = [Route(f"/{PLOTLY}", plotly), Route("/live/{run}/latent", latent)]
