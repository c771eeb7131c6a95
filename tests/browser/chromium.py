"""Find a Chromium for the browser tests, or install one.

`python tests/browser/chromium.py` prints its path.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium(install: bool) -> Path:
    """Return the path of a Chromium that starts.

    Looked for in this order: `$CHROMIUM`, a system's browser on `PATH`, Playwright's own.

    Parameters
    ----------
    install
        Whether to install one when there is none: with apt-get where possible, else Playwright's.

    Raises
    ------
    RuntimeError
        When there is none, or `$CHROMIUM` is not one; the message says what to do.
    """
    configured = os.environ.get("CHROMIUM")
    if configured:
        if not _starts(Path(configured)):
            raise RuntimeError(f"CHROMIUM is {configured}, which is not a Chromium that starts.")
        return Path(configured)
    found = _on_path() or _of_playwright()
    if found is None and install:
        _install()
        found = _on_path() or _of_playwright()
    if found is None:
        raise RuntimeError(
            "There is no Chromium for the browser tests; install one, "
            "or set CHROMIUM to the path of its program."
        )
    return found


def _on_path() -> Path | None:
    for name in NAMES:
        path = shutil.which(name)
        if path and _starts(Path(path)):
            return Path(path)
    return None


def _of_playwright() -> Path | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if _starts(path) else None


def _starts(path: Path) -> bool:
    """Tell whether the program runs: some systems have only a stand-in that asks for a package."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _install() -> None:
    """Install a Chromium; what the installers say goes to stderr, for stdout is the path."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        commands = (["apt-get", "update"], ["apt-get", "install", "-y", "chromium"])
        if (
            all(
                subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode
                == 0
                for command in commands
            )
            and _on_path()
        ):
            return
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    subprocess.run(command, stdout=sys.stderr, check=False)


if __name__ == "__main__":
    try:
        print(find_chromium(install=True))
    except RuntimeError as error:
        sys.exit(str(error))
