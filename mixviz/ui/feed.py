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

    The query holds `colour`, and of the picture that is there `after`, its step, and `extent`, its
    left, right, bottom and top. The answer is 204 where there is nothing new, 404 where there is no
    such run.
    """
    # Pages import these too; they expect a server that runs.
    from mixviz.ui.services import store

    run = request.path_params["run"]
    try:
        await run_in_threadpool(store().get, run)
        after = int(request.query_params["after"])
        extent = tuple(map(float, request.query_params["extent"].split(",")))
        colour_by = request.query_params["colour"]
    except MixvizError:
        return Response(status_code=404)
    except (KeyError, ValueError):
        return Response("after, extent and colour are wanted", status_code=400)
    await run_in_threadpool(store().watch, run)
    limit = time.monotonic() + PATIENCE
    while not (steps := store().snapshot_steps(run)) or steps[-1] == after:
        if time.monotonic() > limit:
            return Response(status_code=204)
        await asyncio.sleep(LOOK)
    return await run_in_threadpool(_drawn, run, steps[-1], colour_by, extent)


def _drawn(run_id: str, step: int, colour_by: str, extent: tuple[float, ...]) -> Response:
    from mixviz.figures.latent import COLOURINGS
    from mixviz.ui import panels
    from mixviz.ui.services import store

    if colour_by not in COLOURINGS or len(extent) != 4:
        return Response("there is no such picture", status_code=400)
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
        panels.following(snapshot, extent),
    )
    return JSONResponse(drawn, headers=_AS_IT_IS)


ROUTES = [Route(f"/{PLOTLY}", plotly), Route("/live/{run}/latent", latent)]
