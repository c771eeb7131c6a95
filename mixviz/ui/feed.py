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

from mixviz.errors import MixvizError, unknown
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


def plot_url(run: str, name: str, colour_by: str) -> str:
    """Return where a plot of a run gets its next picture, below the app's address."""
    return f"live/{run}/{name}?colour={colour_by}"


async def plot(request: Request) -> Response:
    """Give a plot of a run, one of `mixviz.ui.plots.PLOTS`, at the run's last snapshot.

    The query holds `colour`, one of the colourings, and `after`, the version of the picture that is
    there. The answer is 204 where that is the last, 404 where there is no such run or plot. That for
    the latent space waits a moment for the next snapshot; a browser has few connections to wait on.
    """
    run, name = request.path_params["run"], request.path_params["plot"]
    colour_by, after = request.query_params.get("colour"), request.query_params.get("after")
    if after is None:
        return Response("after is the version of the picture that is there", status_code=400)
    if colour_by not in COLOURINGS:
        return Response(f"colour is one of {', '.join(COLOURINGS)}", status_code=400)
    limit = time.monotonic() + (PATIENCE if name == "latent" else 0.0)
    try:
        store = await run_in_threadpool(_watch, run, name)
        while _last_version(store, run, name) in (None, after):
            if time.monotonic() >= limit:
                return Response(status_code=204)
            await asyncio.sleep(LOOK)
    except MixvizError as error:
        return Response(str(error), status_code=404)
    return await run_in_threadpool(_drawn, store, run, name, colour_by)


# What is imported below expects a server that runs; app.py imports this module before one does.


def _watch(run: str, name: str) -> RunStore:
    """Note that a run is looked at, and return the store; the first to ask for it opens it."""
    from mixviz.ui.plots import PLOTS
    from mixviz.ui.services import store

    if name not in PLOTS:
        raise unknown("plot", name, PLOTS)
    found = store().get(run)
    if name == "latent":
        store().watch(found.id)
    return store()


def _last_version(store: RunStore, run_id: str, name: str) -> str | None:
    from mixviz.ui.plots import CURVES, version

    steps = store.snapshot_steps(run_id)
    if not steps or name not in CURVES:
        return version(steps[-1]) if steps else None
    run = store.get(run_id)
    return version(steps[-1], run.step, store.events(run_id, run.step))


def _drawn(store: RunStore, run_id: str, name: str, colour_by: str) -> Response:
    from mixviz.ui.moments import Moment
    from mixviz.ui.plots import drawn

    try:
        run = store.get(run_id)
        snapshot = store.snapshot(run_id, store.snapshot_steps(run_id)[-1])
        answer = drawn(Moment(run, snapshot, colour_by=colour_by), name)
    except (FileNotFoundError, IndexError):  # taken back meanwhile
        return Response(status_code=204)
    except (MixvizError, ValueError):  # a run that was removed, a density of data that have none
        return Response(status_code=404)
    return JSONResponse(answer, headers=_AS_IT_IS)


ROUTES = [Route(f"/{PLOTLY}", plotly), Route("/live/{run}/{plot}", plot)]
