"""The program `mixviz`: train, watch, evaluate and share runs from a terminal."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from mixviz import __version__
from mixviz.errors import MixvizError
from mixviz.runs import Run, RunStore, Status

_PORT = 8501  # where Streamlit serves unless told otherwise

# Everything that imports PyTorch is imported by the command that needs it: listing runs is instant.


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
    """Run the program; returns its exit status: 0 done, 1 the run ended badly, 2 bad usage."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command is not _app:
        parser.error(f"unrecognised arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except MixvizError as error:
        print(f"mixviz: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Python flushes stdout once more at its end, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mixviz", description=__import__("mixviz").__doc__)
    parser.add_argument("--version", action="version", version=f"mixviz {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Any, help: str, **keywords: Any) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(
            name, help=help, description=help, **keywords
        )
        added.set_defaults(command=command)
        return added

    train = add("train", _train, "Train a model and store the run.")
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
        "cluster", _cluster, "Cluster a data set with a model, K and settings that suit it."
    )
    clustering.add_argument("dataset", help="see: mixviz datasets, mixviz add")
    clustering.add_argument(
        "--components", type=int, metavar="K", help="how many (default: the data suggest it)"
    )
    clustering.add_argument("--seed", default=0, help="the setting seed")
    clustering.add_argument("--name", default="", help="name shown in lists")
    _json_option(clustering)
    sweep = add(
        "sweep",
        _sweep,
        "Train the runs of a YAML file that are missing, several at once.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_SWEEP_FILE,
    )
    sweep.add_argument("file", type=Path)
    sweep.add_argument("--jobs", type=int, help="runs at once (default: one for each core)")
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
        "report", _report_sweep, "Write the table of a sweep's results beside the papers' figures."
    )
    report.add_argument("file", type=Path, nargs="?", default=Path("benchmarks/results.yaml"))
    report.add_argument(
        "--records",
        type=Path,
        default=Path("benchmarks/results.json"),
        help="single runs, to which finished ones of the run store are added",
    )
    report.add_argument("--output", type=Path, default=Path("docs/RESULTS.md"))
    resume = add("resume", _resume, "Carry on an interrupted or stopped run from its checkpoint.")
    resume.add_argument("run")
    resume.add_argument("--epochs", type=int, help="train to this many epochs instead")
    _json_option(resume)
    for name, help in (
        ("pause", "Pause a run, wherever it trains."),
        ("continue", "Let a paused run go on where it is held."),
        ("stop", "Stop a run; it keeps its checkpoint."),
        ("checkpoint", "Write a checkpoint now."),
    ):
        add(name, _send, help).add_argument("run")
        commands.choices[name].set_defaults(sends="resume" if name == "continue" else name)
    live = add("set", _set, "Change a live setting of a run while it trains.")
    live.add_argument("run")
    live.add_argument("assignment", metavar="NAME=VALUE")
    listing = add("runs", _runs, "List runs, newest first.")
    listing.add_argument("--limit", type=int, default=100)
    _json_option(listing)
    evaluation = add("evaluate", _evaluate, "Score a run's model on its own or another data set.")
    evaluation.add_argument("run")
    evaluation.add_argument("--dataset")
    _json_option(evaluation)
    export = add("export", _export, "Write a run into one file to share.")
    export.add_argument("run")
    export.add_argument("file", type=Path)
    importing = add("import", _import, "Read a run from a file that was exported.")
    importing.add_argument("file", type=Path)
    add("presets", _presets, "List the presets.")
    settings = add("settings", _settings, "List the settings of a model and of a run.")
    settings.add_argument("model")
    add("datasets", _datasets, "List the data sets and whether they are at hand.")
    own = add("add", _add, "Make a data set of a file or folder, for every model and page.")
    own.add_argument(
        "path", type=Path, help="CSV, Parquet, NPY, NPZ, or a ZIP or folder of pictures"
    )
    own.add_argument("--name", default="", help="its name (default: that of the file)")
    own.add_argument("--columns", metavar="A,B,…", help="features (default: all numbers)")
    own.add_argument(
        "--label", help="column that scores the clusters (default: guessed; '' for none)"
    )
    own.add_argument("--scaling", choices=("standardise", "range", "none"), default="standardise")
    own.add_argument("--size", type=int, help="pixels along each side of images")
    colours = own.add_mutually_exclusive_group()
    colours.add_argument("--grey", action="store_false", dest="colour", default=None)
    colours.add_argument("--colour", action="store_true", dest="colour", default=None)
    own.add_argument("--fit", choices=("crop", "pad", "stretch"), default="crop")
    own.add_argument("--no-folders", action="store_true", help="folders of pictures are no classes")
    _json_option(own)
    add("download", _download, "Fetch a data set, or compute features.").add_argument("dataset")
    add("app", _app, "Open the app in a browser; options after it go to streamlit run.")
    return parser


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


# ---- training ------------------------------------------------------------------------------


def _train(options: argparse.Namespace) -> int:
    from mixviz.training.config import plan
    from mixviz.training.trainer import check, create_run

    values = dict(_assignment(text) for text in options.set)
    values |= {k: v for k in ("epochs", "seed") if (v := getattr(options, k)) is not None}
    chosen = plan(
        dataset=options.dataset, model=options.model, preset_name=options.preset, values=values
    )
    check(chosen)
    store = RunStore()
    return _train_here(store, create_run(store, chosen, options.name), options.json)


def _cluster(options: argparse.Namespace) -> int:
    from mixviz.analysis.suggest import clustering, stored_suggestion, suggest_components
    from mixviz.data import source
    from mixviz.training.trainer import check, create_run

    store, dataset, components = RunStore(), source(options.dataset).name, options.components
    if components is None:
        suggestion = stored_suggestion(store, dataset)
        if suggestion is None:
            with _share_bar() as report:
                suggest_components(store, report, dataset)
            suggestion = stored_suggestion(store, dataset)
        assert suggestion is not None
        components = suggestion.components
    chosen = clustering(store, dataset, components, options.seed)
    check(chosen.plan)
    run = create_run(store, chosen.plan, options.name or chosen.name)
    store.annotate([run], note=chosen.reason)
    if not options.json:
        print(chosen.reason, flush=True)
    return _train_here(store, run, options.json, components=components, reason=chosen.reason)


@contextmanager
def _share_bar() -> Iterator[Callable[[float, str], None]]:
    """Show on a terminal what is being done and what share of it; nothing of it remains after."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}%"
    with tqdm(total=1.0, file=sys.stderr, leave=False, bar_format=form, disable=None) as bar:

        def report(share: float, text: str) -> None:
            bar.set_description(text, refresh=False)
            bar.update(share - bar.n)

        yield report


def _resume(options: argparse.Namespace) -> int:
    from mixviz.training.config import Plan
    from mixviz.training.trainer import check

    store = RunStore()
    run = store.get(options.run)
    if run.status is Status.DIVERGED:
        raise MixvizError(
            f"Run {run.id} diverged and would diverge again; "
            "train a new one with a lower learning rate."
        )
    if options.epochs is not None:
        if run.status.live:
            raise MixvizError(f"Run {run.id} is training; stop it before changing its epochs.")
        from mixviz.models import build
        from mixviz.training.config import RunConfig

        config = dict(run.config)
        config["run"] = build(RunConfig, config["run"] | {"epochs": options.epochs}).model_dump()
        store.update(run.id, config=config)
    check(Plan.from_json(store.get(run.id).config))
    return _train_here(store, run.id, options.json)


def _train_here(store: RunStore, run: str, as_json: bool, **chosen: Any) -> int:
    """Train a run in this process; the JSON document also holds what was `chosen` for it."""
    from tqdm import tqdm

    from mixviz.training.trainer import Trainer

    with tqdm(unit=" steps", file=sys.stderr, dynamic_ncols=True) as bar:

        def progress(step: int, total: int, terms: dict[str, float]) -> None:
            bar.total = total
            if not bar.n:
                bar.initial = bar.n = step
            finite = {name: value for name, value in terms.items() if value is not None}
            bar.set_postfix({name: f"{v:.3g}" for name, v in finite.items()}, refresh=False)
            bar.update(step - bar.n)

        def stop(signum: int, frame: object) -> None:
            store.send(run, "stop")

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        status = Trainer(store, run, progress).train()
    finished = store.get(run)
    if as_json:
        print(
            json.dumps({"run": run, "status": status, **chosen, **finished.result}, allow_nan=False)
        )
    else:
        _report(finished)
    if status in (Status.DIVERGED, Status.FAILED):
        print(f"mixviz: run {run} {status}: {finished.message}", file=sys.stderr)
        return 1
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mixviz.sweep import LocalPool, Outcome, Pool, read_sweep, train_all

    if options.jobs is not None and options.jobs < 1:
        raise MixvizError(f"--jobs {options.jobs}: at least one run is trained at once.")
    sweep, store = read_sweep(options.file), RunStore()
    pool: Pool = LocalPool(store, options.jobs)
    if options.ray is not None:
        from mixviz.sweep.on_ray import RayPool

        pool = RayPool(store, sweep.resources, options.ray or None, options.jobs)
    with tqdm(unit=" steps", file=sys.stderr, dynamic_ncols=True) as bar:

        def progress(now: Outcome) -> None:
            bar.total = now.total_steps
            bar.set_postfix_str(f"{now.ended} of {now.planned} runs", refresh=False)
            bar.update(now.steps - bar.n)

        outcome = train_all(store, sweep, pool, progress)
    if options.json:
        said = {"runs": outcome.runs, "best": outcome.best, "left_out": outcome.left_out}
        print(json.dumps({"name": sweep.name, **said}))
    else:
        for status in Status:
            if count := outcome.count(status):
                print(f"{status:<11}  {count}")
        for reason, count in outcome.left_out.items():
            print(f"left out     {count}  {reason}")
        for found in outcome.best:
            values = "  ".join(f"{name}={value}" for name, value in found["values"].items())
            print(f"best of {found['title']}  {values}")
            print(f"  {found['criterion']} {found['mean']:.3f}  runs {' '.join(found['runs'])}")
    if outcome.interrupted:
        print("mixviz: interrupted; the same command goes on.", file=sys.stderr)
        return 1
    return int(outcome.count(Status.FINISHED) < len(outcome.runs))


def _report_sweep(options: argparse.Namespace) -> int:
    from mixviz.sweep import read_sweep
    from mixviz.sweep.report import merged, read_records, report, rows, write_records

    sweep = read_sweep(options.file)
    before = read_records(options.records)
    records = merged(before, RunStore(), sweep.trials())
    found = rows(sweep, records)
    text = report(found, options.file.as_posix(), options.records.as_posix())
    try:
        if len(records) > len(before):
            write_records(records, options.records)
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MixvizError(f"{error.filename} cannot be written: {error.strerror}.") from error
    filled = sum(bool(row.records) for row in found)
    print(f"{options.output}  {filled} of {len(found)} configurations have runs")
    print(f"{options.records}  runs: {len(records)}, new: {len(records) - len(before)}")
    return 0


def _report(run: Run) -> None:
    print(f"run      {run.id}  {run.name}  {run.status}")
    if run.verdict:
        print(f"verdict  {run.verdict}")
    if run.result:
        _print_scores(run, run.result)


def _print_scores(run: Run, result: dict[str, Any]) -> None:
    from mixviz.data import part
    from mixviz.models import model_class

    units = model_class(run.model).units
    terms = "  ".join(
        f"{name} {'not finite' if value is None else f'{value:.3f}'}"
        for name, value in result["terms"].items()
    )
    print(f"terms    {terms}  ({units}, mean over the {part(result['split'])})")
    if result["accuracy"]:
        scores = result["accuracy"] | {"nmi": result["nmi"], "ari": result["ari"]}
        print("scores   " + "  ".join(f"{name} {value:.3f}" for name, value in scores.items()))


def _assignment(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise MixvizError(f"{text!r} is not of the form NAME=VALUE.")
    return name.strip(), value.strip()


# ---- steering ------------------------------------------------------------------------------


def _live_run(store: RunStore, name: str) -> Run:
    run = store.get(name)
    if not run.status.live:
        raise MixvizError(
            f"Run {run.id} is {run.status}, no process trains it; "
            f"carry it on with: mixviz resume {run.id}."
        )
    return run


def _send(options: argparse.Namespace) -> int:
    store = RunStore()
    store.send(_live_run(store, options.run).id, options.sends)
    return 0


def _set(options: argparse.Namespace) -> int:
    from mixviz.training.trainer import check_live

    store = RunStore()
    run = _live_run(store, options.run)
    name, text = _assignment(options.assignment)
    try:
        value = float(text)
    except ValueError:
        raise MixvizError(f"{text!r} is not a number.") from None
    check_live(run, name, value)
    store.send(run.id, "set", name, value)
    return 0


# ---- runs ----------------------------------------------------------------------------------


def _runs(options: argparse.Namespace) -> int:
    runs = RunStore().runs(options.limit)
    if options.json:
        keys = ["id", "name", "model", "dataset", "status", "message", "step", "total_steps"]
        keys += ["created", "seconds", "samples_per_second", "verdict", "result", "config"]
        print(json.dumps([{key: getattr(run, key) for key in keys} for run in runs]))
        return 0
    for run in runs:
        done = f"{run.step}/{run.total_steps}"
        print(f"{run.id}  {run.status:<11}  {done:>13}  {run.name:<40.40}  {run.verdict}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from mixviz.training.saved import evaluate_run

    run = RunStore().get(options.run)
    result = evaluate_run(RunStore(), run.id, options.dataset)
    if options.json:
        print(json.dumps({"run": run.id, **result}, allow_nan=False))
    else:
        print(f"run      {run.id}  {run.name}\nverdict  {result['verdict']}")
        _print_scores(run, result)
    return 0


def _export(options: argparse.Namespace) -> int:
    from mixviz.runs.bundle import export_run

    store = RunStore()
    export_run(store, store.get(options.run).id, options.file)
    print(options.file)
    return 0


def _import(options: argparse.Namespace) -> int:
    from mixviz.runs.bundle import import_run

    print(import_run(RunStore(), options.file))
    return 0


# ---- lists ---------------------------------------------------------------------------------


def _presets(options: argparse.Namespace) -> int:
    from mixviz.models import presets

    for name, (model, preset) in presets().items():
        print(f"{name:<18}  {model:<9}  {preset.dataset:<8}  {preset.title}")
    return 0


def _settings(options: argparse.Namespace) -> int:
    from mixviz.models import extra, model_class
    from mixviz.training.config import RunConfig

    for config in (model_class(options.model).Config, RunConfig):
        for name, field in config.model_fields.items():
            notes = extra(config, name)
            marks = ["live"] if notes.get("live") else []
            marks += [f"paper: {notes['paper']}"] if notes.get("paper") else []
            suffix = f" [{'; '.join(marks)}]" if marks else ""
            print(f"{name}={field.default}  {field.description}{suffix}")
    return 0


def _datasets(options: argparse.Namespace) -> int:
    from mixviz.data import SOURCES

    for item in SOURCES.values():
        print(f"{item.name:<22}  {item.missing or 'ready'}")
    return 0


def _add(options: argparse.Namespace) -> int:
    from mixviz.data.own import add_file, own_sets
    from mixviz.data.own_prepare import Options

    chosen = Options(
        columns=None if options.columns is None else tuple(options.columns.split(",")),
        label=options.label,
        scaling=options.scaling,
        side=options.size,
        colour=options.colour,
        fit=options.fit,
        folders=not options.no_folders,
    )
    before = own_sets()
    with _share_bar() as report:
        added = add_file(options.path, chosen, options.name, report=report)
    if options.json:
        print(added.model_dump_json())
        return 0
    size = "x".join(map(str, added.shape))
    print(f"{added.name}  {added.size:,} observations of shape {size}")
    if added.name in before:
        print("kept     already, with just this content; nothing was added")
    if added.labelled:
        print(f"labels   {len(added.label_names)}: {', '.join(added.label_names[:10])}")
    print(f"scaling  {added.scaling}")
    for dropped in added.dropped:
        print(f"dropped  {dropped}")
    print(f"next     mixviz cluster {added.name}")
    return 0


def _download(options: argparse.Namespace) -> int:
    from mixviz.data import source

    source(options.dataset).download()
    return 0


def _app(options: argparse.Namespace) -> int:
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--server.address", dest="address", default="127.0.0.1")
    reader.add_argument(
        "--server.port", dest="port", default=os.environ.get("STREAMLIT_SERVER_PORT")
    )
    given, _ = reader.parse_known_args(options.rest)
    port = given.port or _free_port(given.address)
    print(f"mixviz opens at http://{given.address}:{port} (Ctrl-C ends it)", flush=True)
    with subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(app_file())]
        + ["--server.port", str(port), *options.rest],
        cwd=app_file().parent,  # where the configuration lies
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
