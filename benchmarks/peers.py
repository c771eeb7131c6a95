"""mixviz beside ClustPy and pythae: what each reaches in the same wall time on the same machine.

    python benchmarks/peers.py [--data digits ...] [--minutes 2 5 10] [--seeds N] [--only NAME ...]
    python benchmarks/peers.py --table

Every measurement is a process of its own, with the threads that are asked for and no GPU. Results are written to `peers.json`
beside this file as they come, and what is there is not measured again. `--table` writes
`docs/PEERS.md` from them and prints it. `make bench-peers` makes the other libraries' environment first.
"""

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.peers_table import table  # noqa: E402
from mixviz.data import Dataset, load, source  # noqa: E402
from mixviz.evaluation import accuracies, clustering_scores  # noqa: E402
from mixviz.models import preset  # noqa: E402
from mixviz.models.networks.autoencoder import layers  # noqa: E402
from mixviz.runs.files import write_atomically  # noqa: E402
from mixviz.training.machine import commit, hardware  # noqa: E402

RECORDS = Path(__file__).with_suffix(".json")
TABLE = ROOT / "docs" / "PEERS.md"
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"

CLUSTERS = 10
DATA = {"digits": "digits", "mnist-10000": "mnist", "mnist-70000": "mnist"}
PRESETS = {
    "VaDE": "vade-{}-laptop",
    "DEC": "dec-{}-laptop",
    "NVISA": "nvisa-{}-laptop",
    "GMVAE": "v2-{}-laptop",
}
# Epochs by stage, as each library's own defaults have them.
OWN_EPOCHS = {
    ("mixviz", "VaDE"): {"pretrain_epochs": 20, "epochs": 80},
    ("mixviz", "DEC"): {"pretrain_epochs": 20, "epochs": 80},
    ("mixviz", "NVISA"): {"epochs": 100},
    ("mixviz", "GMVAE"): {"epochs": 100},
    ("clustpy", "VaDE"): {"pretrain_epochs": 100, "clustering_epochs": 150},
    ("clustpy", "DEC"): {"pretrain_epochs": 100, "clustering_epochs": 150},
    ("pythae", "VAMP"): {"num_epochs": 100},
}
AIM = 0.92  # share of the budget that a plan may fill: a machine is not always as fast
LEFT = 0.8  # of the budget, under which a fit that was cut is made again with more epochs
SHORT = 0.25  # of the smallest budget, for the second of the two short fits

Record = dict[str, Any]
Worker = Callable[[dict[str, Any], float], dict[str, Any]]


class Failed(Exception):
    """A measurement that cannot be made, in one sentence."""


@dataclass(frozen=True)
class Case:
    """A model of a library with settings.

    Attributes
    ----------
    settings
        `default`; `ours`, mixviz's laptop preset as far as the library takes it; `stretched`, the
        default with as many epochs as the budget holds, where the others never do more than theirs.
    values, epochs
        What the library is given beside its defaults, and epochs by stage.
    """

    library: str
    model: str
    settings: str
    values: dict[str, Any] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Library, model and settings."""
        return f"{self.library} {self.model} {self.settings}"


def cases(data: str) -> list[Case]:
    """Everything that is measured on a data set."""
    found = []
    for (library, model), epochs in OWN_EPOCHS.items():
        default = Case(library, model, "default", {}, epochs)
        found += [default, ours(default, data), replace(default, settings="stretched")]
    return found


def ours(case: Case, data: str) -> Case:
    """Give a case mixviz's laptop preset: its network, latent size, batch size and epochs."""
    name = "vae-gmm-{}-laptop" if case.library == "pythae" else PRESETS[case.model]
    chosen = dict(preset(name.format(DATA[data]))[1].settings)
    # Ten clusters for all, and estimators compute in 32 bits.
    epochs, _, _ = (chosen.pop(key, None) for key in ("epochs", "components", "precision"))
    pretrain = chosen.pop("pretrain_epochs", 0)
    stages = {"pretrain_epochs": pretrain} if pretrain else {}
    if case.library == "mixviz":
        return replace(
            case, settings="ours", values=chosen, epochs=stages | {"epochs": epochs - pretrain}
        )
    network = layers(chosen.get("network", "auto"), source(DATA[data]).shape)
    size, batch = chosen.get("latent_size") or network.latent_size, chosen["batch_size"]
    hidden = {"hidden": list(network.units)}
    if case.library == "pythae":
        values = {"latent_dim": size, "per_device_train_batch_size": batch}
        return replace(case, settings="ours", values=hidden | values, epochs={"num_epochs": epochs})
    return replace(
        case,
        settings="ours",
        values=hidden | {"embedding_size": size, "batch_size": batch},
        epochs=stages | {"clustering_epochs": epochs - pretrain},
    )


# ---- the budget ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Seconds of a fit that are there whatever the epochs, and of one epoch of each stage."""

    fixed: float
    epoch: dict[str, float]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "Timing":
        """Take the median epoch of each stage; what is above it belongs to no epoch."""
        stages = {name: seconds for name, seconds in answer["stages"].items() if seconds}
        epoch = {name: statistics.median(seconds) for name, seconds in stages.items()}
        trained = sum(len(seconds) * epoch[name] for name, seconds in stages.items())
        return cls(max(0.0, answer["seconds"] - trained), epoch)

    def seconds(self, epochs: dict[str, int]) -> float:
        """How long a fit of so many epochs takes."""
        return self.fixed + sum(count * self.epoch[stage] for stage, count in epochs.items())


def share_within(case: Case, timing: Timing, budget: float) -> float:
    """Share of the case's epochs that `budget` seconds hold; above 1 only where stretched."""
    wanted = timing.seconds(case.epochs) - timing.fixed
    share = max(0.0, AIM * budget - timing.fixed) / wanted
    return share if case.settings == "stretched" else min(1.0, share)


def epochs_within(case: Case, timing: Timing, budget: float) -> dict[str, int]:
    """Epochs of each stage, in the proportions of the case, that end within `budget` seconds.

    Raises
    ------
    Failed
        When one epoch of each stage takes longer.
    """
    share = share_within(case, timing, budget)
    # A hair is added because a share that should be exact may fall short of it.
    found = {
        stage: max(1, math.floor(share * count + 1e-9)) for stage, count in case.epochs.items()
    }
    seconds = timing.seconds(found)
    if seconds > budget:
        raise Failed(
            f"One epoch of each stage, with what goes before and after, takes {seconds:,.0f} s."
        )
    return found


# ---- measuring -----------------------------------------------------------------------------


@dataclass
class Measurer:
    """Measures cases on one data set; short fits are made once and kept for all budgets."""

    data: Dataset
    job: dict[str, Any]
    worker: Worker
    budgets: Sequence[float]
    timings: dict[str, Timing] = field(default_factory=dict)

    def measure(self, case: Case, minutes: float, seed: int) -> Record:
        """Return what a case reaches within a budget; a failure is a record with `error`."""
        budget = 60 * minutes
        try:
            timing = self.timing(case)
            answer, epochs = self.within(case, timing, budget, seed)
        except Failed as error:
            return {"error": str(error)}
        self.timings[_key(case)] = Timing.of(answer)
        scores = {name: self.score(found) for name, found in answer["labels"].items()}
        return {
            "scores": scores,
            "seconds": round(answer["seconds"], 2),
            "epochs": epochs,
            "whole": epochs == case.epochs,
            **{name: answer[name] for name in ("megabytes", "versions")},
            "commit": commit(),
        }

    def within(
        self, case: Case, timing: Timing, budget: float, seed: int
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """Fit with the epochs that the budget holds, and once more where the fit shows others.

        That is with fewer if it took too long; with more if it was cut and left much of the budget.
        """
        epochs = epochs_within(case, timing, budget)
        answer = self.fit(case, epochs, seed, 2 * budget)
        if answer["seconds"] > budget:
            late = Failed(
                f"It took {answer['seconds']:,.0f} s, though a shorter fit had promised to end in time."
            )
            try:
                epochs = epochs_within(case, Timing.of(answer), budget)
            except Failed:
                raise late from None
            answer = self.fit(case, epochs, seed, 2 * budget)
            if answer["seconds"] > budget:
                raise late
        elif epochs != case.epochs and answer["seconds"] < LEFT * budget:
            more = epochs_within(case, Timing.of(answer), budget)
            if sum(more.values()) > sum(epochs.values()):
                with suppress(Failed):  # what has been measured stays
                    again = self.fit(case, more, seed, 2 * budget)
                    if again["seconds"] <= budget:
                        return again, more
        return answer, epochs

    def timing(self, case: Case) -> Timing:
        """Time short fits: one of as few epochs as tell, another of more where there is time."""
        if _key(case) in self.timings:
            return self.timings[_key(case)]
        # mixviz ends its pretraining with a longer epoch, which only a median of three leaves out.
        few = 3 if "pretrain_epochs" in case.epochs and case.library == "mixviz" else 1
        timing = Timing.of(self.fit(case, dict.fromkeys(case.epochs, few), 0, max(self.budgets)))
        spare = SHORT * min(self.budgets) - timing.fixed
        more = min(20, math.floor(spare / max(1e-9, sum(timing.epoch.values()))))
        if more > few:
            timing = Timing.of(
                self.fit(case, dict.fromkeys(case.epochs, more), 0, max(self.budgets))
            )
        self.timings[_key(case)] = timing
        return timing

    def fit(self, case: Case, epochs: dict[str, int], seed: int, seconds: float) -> dict[str, Any]:
        """Let a worker fit; raise `Failed` if it does not within `seconds` and a minute to start."""
        share = sum(epochs.values()) / sum(case.epochs.values())
        asked = {"library": case.library, "model": case.model, "settings": case.values}
        asked |= {"epochs": epochs, "share": share, "seed": seed, "clusters": CLUSTERS}
        return self.worker(self.job | asked, seconds + 60)

    def score(self, found: Sequence[int]) -> dict[str, float]:
        """One-to-one accuracy and NMI of cluster numbers; the only use of labels."""
        clusters, labels = np.asarray(found), self.data.labels
        assert labels is not None
        member = clusters[:, None] == np.unique(clusters)  # (N, clusters)
        one_to_one = accuracies(member, labels)["hungarian"]
        return {
            "accuracy": round(one_to_one, 4),
            "nmi": round(clustering_scores(clusters, labels)["nmi"], 4),
        }


def _key(case: Case) -> str:
    return json.dumps([case.library, case.model, case.values], sort_keys=True)


def in_process(job: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Do a job in a process of its own, on its threads; raise `Failed` with its last words."""
    own = job["library"] == "mixviz"
    module = "benchmarks.peers_mixviz" if own else str(Path(__file__).with_name("peers_worker.py"))
    python = [sys.executable, "-m"] if own else [str(PEERS_PYTHON)]
    pools = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA")
    environment = {f"{name}_NUM_THREADS": str(job["threads"]) for name in pools}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job))
        try:
            done = subprocess.run(
                [*python, module, str(path)],
                env=os.environ | environment | {"MIXVIZ_HOME": folder},
                cwd=ROOT if own else folder,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"It had not ended after {seconds:,.0f} s.") from None
        except OSError as error:
            raise Failed(f"It could not be started: {error.strerror}.") from error
    if done.returncode:
        raise Failed(last_words(done.stderr, done.returncode))
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def last_words(printed: str, status: int) -> str:
    """Make one sentence of what a process printed before it failed."""
    if status < 0:
        return f"The process was ended by signal {-status}."
    lines = [line for line in printed.splitlines() if line.strip() and not line.startswith(" ")]
    said = " ".join((lines[-1] if lines else f"exit status {status}").split())[:200]
    return said if said.endswith((".", "!", "?")) else f"{said}."


def cores_here() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def dataset(name: str) -> Dataset:
    """Load the observations of a row: MNIST's first 10,000 training images, or all 70,000."""
    found = load(DATA[name], "train" if name == "mnist-10000" else "all")
    if name == "mnist-10000":
        assert found.labels is not None
        return replace(found, x=found.x[:10_000], labels=found.labels[:10_000], columns={})
    return found


# ---- records -------------------------------------------------------------------------------


def read() -> list[Record]:
    """Read what has been measured."""
    records: list[Record] = json.loads(RECORDS.read_text()) if RECORDS.exists() else []
    return records


def write(records: Iterable[Record]) -> None:
    """Write records, one a line, in place of the file."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    write_atomically(RECORDS, lambda file: file.write(f"[\n{lines}\n]\n".encode()))


def identity(case: Case, data: str, minutes: float, seed: int, threads: int) -> Record:
    """What tells a measurement from another; it opens the record."""
    named = {"library": case.library, "model": case.model, "settings": case.settings}
    return named | {
        "data": data,
        "minutes": minutes,
        "seed": seed,
        "values": case.values,
        "wanted": case.epochs,
        "threads": threads,
        "hardware": hardware_here(),
    }


@lru_cache(maxsize=1)
def hardware_here() -> str:
    """Name the processor and its cores."""
    return hardware(torch.device("cpu"))


def same(record: Record, wanted: Record) -> bool:
    """Whether a record is of a measurement."""
    return all(record.get(name) == value for name, value in wanted.items())


def replaced(record: Record, wanted: Record) -> bool:
    """Whether a record is of the same measurement, or of the same case when it had other settings."""
    place = wanted.keys() - {"values", "wanted", "minutes", "seed"}
    if not same(record, {name: wanted[name] for name in place}):
        return False
    return same(record, {name: wanted[name] for name in ("minutes", "seed")}) or not same(
        record, {name: wanted[name] for name in ("values", "wanted")}
    )


def twin(records: Iterable[Record], wanted: Record) -> Record | None:
    """Find a measurement whose fit would be the same again.

    That is one of a smaller budget that did all its epochs, or the default of the same budget that
    could not do all of its own where this one is to be stretched.
    """
    stretched = wanted["settings"] == "stretched"
    for record in records:
        smaller = not stretched and record["minutes"] < wanted["minutes"] and record.get("whole")
        if smaller and same(record, wanted | {"minutes": record["minutes"]}):
            return record
        cut = stretched and record.get("whole") is False
        if cut and same(record, wanted | {"settings": "default"}):
            return record
    return None


def missing(
    records: Sequence[Record], data: str, options: argparse.Namespace
) -> list[tuple[Case, float, int]]:
    """List what has not been measured on a data set, small budgets first."""
    return [
        (case, minutes, seed)
        for case in chosen(data, options.only)
        for seed in range(options.seeds)
        for minutes in sorted(options.minutes)
        if not any(
            same(record, identity(case, data, minutes, seed, options.threads)) for record in records
        )
    ]


def chosen(data: str, only: Sequence[str]) -> list[Case]:
    """Cases in whose name one of some texts occurs."""
    return [case for case in cases(data) if any(part.lower() in case.name.lower() for part in only)]


def measure_all(options: argparse.Namespace, worker: Worker = in_process) -> None:
    """Measure what is missing, and write each record as it comes."""
    records = read()
    for data in options.data:
        settled = [record for record in records if not (options.retry and "error" in record)]
        todo = missing(settled, data, options)
        if not todo:
            continue
        if gone := source(DATA[data]).missing:
            say(f"{data} is left out: {gone}.")
            continue
        with tempfile.TemporaryDirectory() as folder:
            found, path = dataset(data), Path(folder) / "x.npy"
            np.save(path, found.x, allow_pickle=False)
            budgets = [60 * minutes for minutes in options.minutes]
            job = {"x": str(path), "threads": options.threads}
            measurer = Measurer(found, job, worker, budgets)
            for number, (case, minutes, seed) in enumerate(todo, 1):
                wanted = identity(case, data, minutes, seed, options.threads)
                known = twin(records, wanted)
                if known is not None:
                    result = {**known, "as_at": [known["settings"], known["minutes"]]} | wanted
                else:
                    result = wanted | measurer.measure(case, minutes, seed)
                records = [r for r in records if not replaced(r, wanted)] + [result]
                write(records)
                say(
                    f"{data} {number}/{len(todo)} {case.name}, {minutes:g} min, seed {seed}: ",
                    result,
                )


def say(text: str, record: Record | None = None) -> None:
    """Print progress."""
    if record is not None:
        text += (
            record.get("error")
            or ", ".join(
                f"{name} {scores['accuracy']:.3f}" for name, scores in record["scores"].items()
            )
            + f" in {record['seconds']:.0f} s, {sum(record['epochs'].values())} epochs"
        )
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--minutes", nargs="+", type=float, default=[2.0, 5.0, 10.0])
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 (default: 1)")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        metavar="NAME",
        help='parts of names: "clustpy VaDE" ours',
    )
    parser.add_argument("--threads", type=int, default=cores_here(), help="default: all cores")
    parser.add_argument("--retry", action="store_true", help="measure again what failed")
    parser.add_argument(
        "--table", action="store_true", help=f"write docs/{TABLE.name} and print it"
    )
    options = parser.parse_args(arguments)
    if min(options.minutes) <= 0 or min(options.seeds, options.threads) < 1:
        parser.error("--minutes, --seeds and --threads must be above 0")
    if options.table:
        text = table(read())
        TABLE.write_text(text, encoding="utf-8")
        print(text, end="")
        return
    libraries = {case.library for case in chosen("digits", options.only)}
    if not libraries:
        parser.error(
            f"--only {' '.join(options.only)}: there is no such library, model or settings"
        )
    if libraries != {"mixviz"} and not PEERS_PYTHON.exists():
        parser.error("the other libraries are not installed; make bench-peers installs them")
    # So that a fit under way ends too, and its files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    measure_all(options)


if __name__ == "__main__":
    main()
