"""Training in processes beside the app's, so that pages and training do not share one interpreter.

Watched in a browser, a run that trains in a thread of the server stands still whenever a page is put
together. The worker imports PyTorch once, while the first page is read; where the system can fork,
each run then starts at once in a child of it.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path

from mixviz.runs import RunStore

FORKS = sys.platform == "linux"  # elsewhere PyTorch does not survive a fork


class Worker:
    """A process that trains runs for this one; it ends, and its runs stop, with this one."""

    def __init__(self, home: Path):
        """Start the process; it gets ready in the background."""
        self.home = home
        self._lock = threading.Lock()
        self._training: dict[str, threading.Event] = {}  # of the present process
        self._process: subprocess.Popen[str] | None = None
        if FORKS:
            with self._lock:
                self._ready()

    def train(self, run: str) -> None:
        """Train a run to its end; its outcome is in the store."""
        if not FORKS:
            command = [sys.executable, "-m", "mixviz", "resume", run]
            environment = {**os.environ, "MIXVIZ_HOME": str(self.home)}
            silent = subprocess.DEVNULL
            subprocess.run(command, env=environment, stdout=silent, stderr=silent, check=False)
            return
        ended = threading.Event()
        with self._lock:
            process = self._ready()
            self._training[run] = ended
            assert process.stdin is not None
            process.stdin.write(f"{run}\n")
            process.stdin.flush()
        ended.wait()

    def _ready(self) -> subprocess.Popen[str]:
        """Return the process, started anew if it has died."""
        if self._process is None or self._process.poll() is not None:
            self._training = {}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mixviz.training.worker", str(self.home)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            threading.Thread(
                target=self._listen, args=(self._process, self._training), daemon=True
            ).start()
        return self._process

    def _listen(self, process: subprocess.Popen[str], training: dict[str, threading.Event]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._lock:
                ended = training.pop(line.strip(), None)
            if ended is not None:
                ended.set()
        with self._lock:
            for ended in training.values():
                ended.set()
            training.clear()


def serve(home: Path) -> None:
    """Fork a child for each run named on standard input; print each that has ended."""
    # Before the forks, so that children need not.
    import mixviz.training.lightning
    import mixviz.training.trainer  # noqa: F401

    if not select.select([sys.stdin], [], [], 1.0)[0]:
        import sklearn.decomposition  # noqa: F401  needed by some runs, while none waits

    children: dict[int, str] = {}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the app, whose end is ours

    def reap(*_: object) -> None:
        while children:
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            print(children.pop(pid, ""), flush=True)

    signal.signal(signal.SIGCHLD, reap)
    while line := sys.stdin.readline():
        run = line.strip()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            _train(home, run)
        children[pid] = run
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    for pid in children:
        os.waitpid(pid, 0)


def _train(home: Path, run: str) -> None:
    """Train in a child, which never returns; SIGTERM stops the run, which keeps its last checkpoint."""
    from mixviz.training.trainer import Trainer

    code = 1
    try:
        silent = os.open(os.devnull, os.O_RDWR)
        os.dup2(silent, 0)
        os.dup2(silent, 1)
        store = RunStore(home)
        signal.signal(signal.SIGTERM, lambda *_: store.send(run, "stop"))
        Trainer(store, run).train()
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
