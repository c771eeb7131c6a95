"""The program `mixviz`: train, watch, evaluate and share runs from a terminal.

Everything that imports PyTorch is imported by the command that needs it: listing runs is instant.
"""

import argparse
import errno
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mixviz import __version__
from mixviz.cli import app, choices, stored, training
from mixviz.errors import MixvizError

_SWEEP_FILE = """\
FILE:
  name: spread                 # tag of the runs
  seeds: 3                     # or a list of them
  runs:                        # one block or more; each has presets or models
    - models: gmvae-v2
      datasets: arcs           # a preset brings its own
      set:                     # settings of the model or the run
        components: [5, 10]    # a list: one run each
        learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}   # searched by Optuna,
        z_prior_floor: {choices: [0, 1.5]}                      # as are these
  search: {trials: 20, criterion: silhouette}   # combinations tried; what is made large
  resources: {cpus: 1, gpus: 0, retries: 2}     # of each run on Ray
  leave_out: false             # true: pass over what has no data or device here

The same command again trains only what is missing, and carries on what was interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status: 0 done, 1 the run ended badly, 2 bad usage or disk, 130 Ctrl-C."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command is not app.app:
        parser.error(f"unrecognised arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except MixvizError as error:
        print(f"mixviz: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # as a shell says that Ctrl-C ended a program
    except BrokenPipeError:
        # Python flushes stdout once more at its end, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, sqlite3.Error) as error:
        print(f"mixviz: {_unwritten(error)}", file=sys.stderr)
        return 2
    return status


_UNWRITABLE = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM,
    errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
}  # fmt: skip


def _unwritten(error: OSError | sqlite3.Error) -> str:
    """Say what the system, or the run store, could not do, and what to look at where that is a file."""
    reason = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, sqlite3.Error) or error.errno in _UNWRITABLE:
        return (
            f"{reason}; see that there is room on the disk and that its folders are yours to write."
        )
    return f"{reason}."


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without all its usage before it."""

    def error(self, message: str) -> NoReturn:
        """Print the message and where help is; exit with status 2."""
        self.exit(2, f"mixviz: {message}; see: {self.prog} --help\n")


def _count(text: str) -> int:
    """Read an argument that counts something."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mixviz", description=__import__("mixviz").__doc__)
    parser.add_argument("--version", action="version", version=f"mixviz {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Any, help: str, **keywords: Any) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(
            name, help=help, description=help, **keywords
        )
        added.set_defaults(command=command)
        return added

    train = add("train", training.train, "Train a model and store the run.")
    train.add_argument("--dataset", help="data set (default: the preset's, else arcs)")
    train.add_argument("--model", help="model (default: the preset's, else gmvae-v2)")
    train.add_argument("--preset", help="named settings; see: mixviz presets")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the model or the run; see: mixviz settings MODEL",
    )
    train.add_argument("--epochs", help="the setting epochs")
    train.add_argument("--seed", help="the setting seed")
    train.add_argument("--name", default="", help="name shown in lists")
    _json_option(train)
    clustering = add(
        "cluster", training.cluster, "Cluster a data set with a model, K and settings that suit it."
    )
    clustering.add_argument("dataset", help="see: mixviz datasets, mixviz add")
    clustering.add_argument(
        "--components", type=_count, metavar="K", help="how many (default: the data suggest it)"
    )
    clustering.add_argument("--seed", default=0, help="the setting seed")
    clustering.add_argument("--name", default="", help="name shown in lists")
    _json_option(clustering)
    sweep = add(
        "sweep",
        training.sweep,
        "Train the runs of a YAML file that are missing, several at once.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_SWEEP_FILE,
    )
    sweep.add_argument("file", type=Path)
    sweep.add_argument(
        "--jobs", type=_count, help="runs at once (default: one for each GPU, else for each core)"
    )
    sweep.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="train on the Ray cluster at ADDRESS (HOST:PORT), on which this machine is a node; "
        "without one, where RAY_ADDRESS says, else on a Ray started here (local: always); `resources` in FILE "
        "says what each run gets; needs requirements-cluster.txt",
    )
    _json_option(sweep)
    report = add(
        "report",
        training.report,
        "Write the table of a sweep's results beside the papers' figures.",
    )
    report.add_argument("file", type=Path, nargs="?", default=Path("benchmarks/results.yaml"))
    report.add_argument(
        "--records",
        type=Path,
        default=Path("benchmarks/results.json"),
        help="single runs, to which finished ones of the run store are added",
    )
    report.add_argument("--output", type=Path, default=Path("docs/RESULTS.md"))
    resume = add(
        "resume", training.resume, "Carry on an interrupted or stopped run from its checkpoint."
    )
    resume.add_argument("run")
    resume.add_argument("--epochs", help="train to this many epochs instead")
    _json_option(resume)
    for name, help in (
        ("pause", "Pause a run, wherever it trains."),
        ("continue", "Let a paused run go on where it is held."),
        ("stop", "Stop a run; it keeps its checkpoint."),
        ("checkpoint", "Write a checkpoint now."),
    ):
        add(name, stored.send, help).add_argument("run")
        commands.choices[name].set_defaults(sends="resume" if name == "continue" else name)
    live = add("set", stored.set_live, "Change a live setting of a run while it trains.")
    live.add_argument("run")
    live.add_argument("assignment", metavar="NAME=VALUE")
    listing = add("runs", stored.list_runs, "List runs, newest first.")
    listing.add_argument("--limit", type=_count, default=100)
    _json_option(listing)
    evaluation = add(
        "evaluate", stored.evaluate, "Score a run's model on its own or another data set."
    )
    evaluation.add_argument("run")
    evaluation.add_argument("--dataset")
    _json_option(evaluation)
    export = add("export", stored.export, "Write a run into one file to share.")
    export.add_argument("run")
    export.add_argument("file", type=Path)
    importing = add("import", stored.import_, "Read a run from a file that was exported.")
    importing.add_argument("file", type=Path)
    add("presets", choices.presets, "List the presets.")
    settings = add("settings", choices.settings, "List the settings of a model and of a run.")
    settings.add_argument("model")
    add("datasets", choices.datasets, "List the data sets and whether they are at hand.")
    own = add("add", choices.add, "Make a data set of a file or folder, for every model and page.")
    own.add_argument(
        "path", type=Path, help="CSV, Parquet, NPY, NPZ, or a ZIP or folder of pictures"
    )
    own.add_argument("--name", default="", help="its name (default: that of the file)")
    own.add_argument("--columns", metavar="A,B,…", help="features (default: all numbers)")
    own.add_argument(
        "--label", help="column that scores the clusters (default: guessed; '' for none)"
    )
    own.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="the first line of a text table names its columns, or not (default: judged)",
    )
    own.add_argument("--scaling", choices=("standardise", "range", "none"), default="standardise")
    own.add_argument("--size", type=_count, help="pixels along each side of images")
    colours = own.add_mutually_exclusive_group()
    colours.add_argument("--grey", action="store_false", dest="colour", default=None)
    colours.add_argument("--colour", action="store_true", dest="colour", default=None)
    own.add_argument("--fit", choices=("crop", "pad", "stretch"), default="crop")
    own.add_argument("--no-folders", action="store_true", help="folders of pictures are no classes")
    _json_option(own)
    add("download", choices.download, "Fetch a data set, or compute features.").add_argument(
        "dataset"
    )
    add("app", app.app, "Open the app in a browser; options after it go to streamlit run.")
    return parser


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
