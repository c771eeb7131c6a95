"""The command that opens the app."""

import argparse
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from mixviz.errors import MixvizError
from mixviz.home import named_folder

_PORT = 8501  # where Streamlit serves unless told otherwise


def app(options: argparse.Namespace) -> int:
    """Open the app in a browser."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--server.address", dest="address", default="127.0.0.1")
    reader.add_argument(
        "--server.port", dest="port", default=os.environ.get("STREAMLIT_SERVER_PORT")
    )
    given, _ = reader.parse_known_args(options.rest)
    port = given.port or _free_port(given.address)
    print(f"mixviz opens at http://{given.address}:{port} (Ctrl-C ends it)", flush=True)
    folders = {name: named_folder(name) for name in ("MIXVIZ_HOME", "MIXVIZ_DATA")}
    with subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(app_file())]
        + ["--server.port", str(port), *options.rest],
        cwd=app_file().parent,  # where the configuration lies
        env=os.environ | {name: str(folder) for name, folder in folders.items() if folder},
    ) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:  # the server hears it too, and ends
                continue


def _free_port(address: str) -> int:
    """Return the first port from Streamlit's usual one on that nobody listens to."""
    for port in range(_PORT, _PORT + 100):
        with socket.socket() as tried, suppress(OSError):
            if os.name != "nt":  # there it would bind to a port that another listens to
                # As the server does: connections of one that has just ended take no port.
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((address, port))
            return port
    return _PORT


def app_file() -> Path:
    """Path of `app.py`: beside the package in a source tree, else inside an installed wheel."""
    package = Path(str(files("mixviz")))
    for folder in (package.parent, package / "_app"):
        if (folder / "app.py").is_file():
            return folder / "app.py"
    raise MixvizError("The app's files are missing from this installation; install mixviz again.")
