"""The table of results: what a sweep's configurations reached, beside the papers' figures.

Single runs are records in a JSON file, so that the table can be made again on any machine; finished
runs of the store are added to them.
"""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixviz.data import source
from mixviz.errors import MixvizError
from mixviz.evaluation.published import PUBLISHED, Published
from mixviz.models import preset
from mixviz.runs import Run, RunStore, Status
from mixviz.runs.catalogue import OBSERVING
from mixviz.runs.files import write_atomically
from mixviz.sweep.drive import OVER, usable
from mixviz.sweep.spec import Sweep, Trial
from mixviz.training.config import Plan, configuration

Record = dict[str, Any]

SCORES = {
    "hungarian": "one-to-one",
    "majority": "majority",
    "most_confident": "most confident",
    "nmi": "NMI",
    "effective_components": "effective components",
}
_KEPT = ("nmi", "ari", "silhouette", "effective_components", "seconds", "verdict", "split")
_CLASSIFIERS = {"head": "the head", "bayes": "Bayes' rule"}
_NONE = "–"
_LEVEL = 0.005  # accuracies that differ by less are called level
_INTRODUCTION = """\
# Results

Mean and standard deviation over seeds; accuracies are shares of the observations scored, under the
mapping named. Time is the median wall time of training one run, from its first step on: what a start
does before it comes on top, a minute and a half for each map of MNIST by UMAP on two cores. Other work ran beside some of the
runs, whose times are upper bounds. A row without figures has not
been run: for lack of time, or of its data, or of a GPU. Where no hardware and commit are named,
the runs were made on two processor cores before these were recorded.

No model saw a label in training but SAMM, whose labelled subset is part of its preset. A run is scored after its last epoch, never
stopped by a score: on the test part, or on all observations where there is none or both parts were trained on. K is the number of
components, S that of samples of the latents for each observation. The settings of the `laptop` presets were chosen by
looking at the accuracy of one to three seeds on the same data, those of the starts from UMAP's clusters
(weight and epochs of the teacher, lower bound of the standard deviations, decay of the steps) at seed 0
on MNIST, of AMM and SAMM at seeds 0 and 1, the blur before UMAP of Fashion-MNIST at seed 0 there, how a mixture among UMAP's coordinates is chosen, and
how many maps there are, by looking at maps of Fashion-MNIST from other seeds and from seed 0. Their figures are what a user can expect, not an estimate free of selection.

{under}`gmm` on digits has scikit-learn's defaults (a higher floor of the covariances and the best of five starts put it
above, neither does alone), on MNIST and Fashion-MNIST diagonal covariances, which hundreds of pixels that depend on each other do not have;
MPCC on MNIST is explained beside its preset; AIM has one component; arcs are five strokes that k-means tells apart, so that a row there has
points, or a component, at the wrong end of one. Before its components were fixed and its steps made to shrink, AMM on MNIST left the clusters it was
taught, from 0.97 to 0.62. Runs made before commit 15755f6 took the most confident point of a component among its own points alone, which differs
where components overlap; those before 7943819 took the first of several whose probability is rounded to 1,
and those before bd7af1e compared probabilities, not their logarithms, which matters to mixtures of the data themselves.
Starts from UMAP's clusters took the likeliest mixture before 17b3b74, of the three likeliest the one most like the others until
29e115e, and take the likeliest of about equal weights since. On a map of MNIST all three are the same; of digits they were not compared. MPCC and AIM learned wrongly on images from 979d5a3 to 6675243; no row has such a run.

Made by `mixviz sweep {sweep} && mixviz report {sweep}`,
which trains what is missing and writes this page; single runs are in `{records}`.
"""


@dataclass(frozen=True)
class Row:
    """A configuration of the sweep, with the records of its seeds."""

    trial: Trial
    records: Sequence[Record]

    @property
    def scored(self) -> list[Record]:
        """Records of runs that came to a good end."""
        return [record for record in self.records if not record["result"].get("failed")]

    def spread(self, score: str, factor: float = 1.0) -> str:
        """Mean and standard deviation of a score."""
        values = [record["result"].get(score) for record in self.scored]
        found = [factor * value for value in values if value is not None]
        if not found:
            return _NONE
        return _mean(found, 3 if factor == 1.0 else 2)

    @property
    def mean(self) -> float | None:
        """Mean one-to-one accuracy of the runs that came to a good end."""
        found = [record["result"].get("hungarian") for record in self.scored]
        return statistics.mean(each for each in found if each is not None) if any(found) else None

    @property
    def seeds(self) -> str:
        """How many seeds there are, and how many of them did not reach the end."""
        early = len(self.records) - len(self.scored)
        return f"{len(self.records)} ({early} ended early)" if early else str(len(self.records))

    @property
    def trained_on(self) -> str:
        """Parts of the data that were trained on."""
        return "train and test" if self.trial.plan.run.split == "all" else "train"

    @property
    def time(self) -> str:
        """Median wall time of a run."""
        found = [record["result"].get("seconds") for record in self.scored]
        seconds = [value for value in found if value is not None]
        return _duration(statistics.median(seconds)) if seconds else _NONE

    def named(self, what: str) -> str:
        """Return everything of a kind that the records name, and how many do not."""
        found = Counter(record.get(what) or "" for record in self.scored)
        missing = found.pop("", 0)
        unnamed = [f"{missing} not recorded"] if missing and found else []
        return ", ".join([*found, *unnamed]) or _NONE


def read_records(path: Path) -> list[Record]:
    """Read the records of earlier runs; none where there is no file.

    Raises
    ------
    MixvizError
        When the file is something else.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except (OSError, ValueError) as error:
        raise MixvizError(f"{path} cannot be read as JSON.") from error
    whole = isinstance(records, list) and all(
        isinstance(record, dict)
        and isinstance(record.get("config"), dict)
        and isinstance(record.get("seed"), int)
        and isinstance(record.get("result"), dict)
        for record in records
    )
    if not whole:
        raise MixvizError(f"{path} is no list of records with config, seed and result.")
    return list(records)


def write_records(records: Sequence[Record], path: Path) -> None:
    """Write records, for `read_records`."""
    content = json.dumps(records, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(content.encode()))


def merged(records: Sequence[Record], store: RunStore, trials: Iterable[Trial]) -> list[Record]:
    """Return the records with those of the store's finished runs added that are not among them."""
    known = {_key(record["config"], record["seed"]) for record in records}
    added = []
    for trial in trials:
        if _key(configuration(trial.plan.as_json()), trial.seed) in known:
            continue
        run = usable(store, trial)
        if run is not None and run.status in OVER:
            added.append(record_of(run, trial))
    return [*records, *added]


def record_of(run: Run, trial: Trial) -> Record:
    """Return what is kept of a run that is over."""
    record: Record = {
        "config": configuration(trial.plan.as_json()),
        "seed": trial.seed,
        "result": {},
    }
    if run.status is Status.DIVERGED:
        record["result"] = {"failed": True}
    else:
        kept = {name: run.result.get(name) for name in _KEPT}
        record["result"] = {**(run.result.get("accuracy") or {}), **kept}
        if several := run.result.get("classifiers"):
            record["result"]["classifiers"] = several
    made = {name: run.result.get(name) for name in ("hardware", "commit")}
    return record | {name: value for name, value in made.items() if value}


def _key(config: Mapping[str, Any], seed: int | None = None) -> str:
    """Tell configurations apart."""
    return json.dumps([configuration(config), seed], sort_keys=True)


def rows(sweep: Sweep, records: Sequence[Record]) -> list[Row]:
    """Return every configuration of the sweep in its order, with its records if there are any."""
    by: dict[str, list[Record]] = {}
    for record in records:
        by.setdefault(_key(record["config"]), []).append(record)
    trials = {_key(configuration(trial.plan.as_json())): trial for trial in sweep.trials()}
    return [Row(trial, by.get(key, [])) for key, trial in trials.items()]


def report(found: Sequence[Row], made_by: str, kept_in: str) -> str:
    """Return the whole page in Markdown.

    Parameters
    ----------
    found
        What `rows` gives.
    made_by, kept_in
        Paths of the sweep and of the records, as the page names them.
    """
    datasets = dict.fromkeys(row.trial.plan.dataset for row in found)
    text = [
        _INTRODUCTION.format(sweep=made_by, records=kept_in, under=_under_k_means(found)),
        *_published_section(found),
        *(line for name in datasets for line in _dataset_section(name, found)),
    ]
    return "\n".join(text).rstrip() + "\n"


def _under_k_means(found: Sequence[Row]) -> str:
    """Say which rows lie under k-means on the same data; empty where none does."""
    parts = []
    for name in dict.fromkeys(row.trial.plan.dataset for row in found):
        here = [row for row in found if row.trial.plan.dataset == name]
        plain = [row.mean for row in here if row.trial.plan.model == "k-means"]
        if plain and plain[0] is not None:
            below = [
                f"`{row.trial.plan.model}` {row.mean:.3f} ({_preset(row)})"
                for row in here
                if row.mean is not None and row.mean < plain[0] - _LEVEL
            ]
            if below:
                parts.append(
                    f"* {source(name).title}, k-means {plain[0]:.3f}: {', '.join(below)}.\n"
                )
    if not parts:
        return ""
    return (
        "Under k-means on the same data, one-to-one by half a point or more, are:\n\n"
        f"{''.join(parts)}\n"
    )


def _published_section(found: Sequence[Row]) -> list[str]:
    columns = ["published in", "model", "data", "K", "S", "mapping", "paper trained on"]
    columns += [
        "published, %",
        "ours, %",
        "ours trained on",
        "seeds",
        "time",
        "hardware",
        "preset",
        "commit",
    ]
    lines = ["## Beside the papers", "", *_header(columns)]
    for published in PUBLISHED:
        theirs = [
            published.source,
            f"`{published.model}`",
            published.dataset,
            str(published.components),
            _NONE if published.samples is None else str(published.samples),
            SCORES[published.mapping],
            "train and test" if published.split == "all" else "train",
            published.accuracy,
        ]
        ours = [row for row in found if _same(row.trial.plan, published)]
        for row in ours:
            lines.append(_line([*theirs, *_ours(row, published.mapping)]))
        if not ours:
            lines.append(_line([*theirs, *[_NONE] * 7]))
    return [*lines, ""]


def _same(plan: Plan, published: Published) -> bool:
    """Whether a configuration has the model, data, K and S of a published figure."""
    samples = getattr(plan.settings, "samples", None) if published.samples else None
    return (
        (plan.model, plan.dataset) == (published.model, published.dataset)
        and plan.settings.components == published.components
        and samples == published.samples
    )


def _ours(row: Row, mapping: str) -> list[str]:
    return [
        row.spread(mapping, 100.0),
        row.trained_on,
        row.seeds,
        row.time,
        row.named("hardware"),
        _preset(row),
        row.named("commit"),
    ]


def _dataset_section(name: str, found: Sequence[Row]) -> list[str]:
    columns = ["model", "K", "S", *SCORES.values(), "trained on"]
    columns += ["seeds", "time", "hardware", "preset", "commit"]
    lines = [f"## {source(name).title}", "", *_header(columns)]
    here = [row for row in found if row.trial.plan.dataset == name]
    for row in here:
        settings = row.trial.plan.settings
        samples = getattr(settings, "samples", None)
        cells = [f"`{row.trial.plan.model}`", str(settings.components)]
        cells += [_NONE if samples is None else str(samples), *map(row.spread, SCORES)]
        cells += [row.trained_on, row.seeds, row.time, row.named("hardware")]
        lines.append(_line([*cells, _preset(row), row.named("commit")]))
    reasons = {
        row.trial.preset: preset(row.trial.preset)[1].reason for row in here if row.trial.preset
    }
    notes = [f"* `{name}`: {reason}" for name, reason in reasons.items() if reason]
    notes += filter(None, map(_by_classifier, here))
    return [*lines, "", *notes, *([""] if notes else [])]


def _by_classifier(row: Row) -> str:
    """Say what each classifier of a model with several reaches; empty where no record tells."""
    found = [record["result"].get("classifiers") for record in row.scored]
    found = [scores for scores in found if scores]
    if not found:
        return ""
    said = " and ".join(
        f"{_mean([scores[name]['hungarian'] for scores in found])} by {_CLASSIFIERS.get(name, name)}"
        for name in found[0]
    )
    seeds = f"{len(found)} seed" + "s" * (len(found) != 1)
    return f"* {_preset(row)}, one-to-one by each classifier ({seeds}): {said}."


def _mean(values: Sequence[float], digits: int = 3) -> str:
    """Mean and, of several values, standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _preset(row: Row) -> str:
    """The preset, with what was changed of it; without one, the settings that are no defaults."""
    if row.trial.preset:
        return f"`{row.trial.title}`"
    plan = row.trial.plan
    changed = plan.settings.model_dump(exclude_defaults=True, exclude={"components"})
    changed |= plan.run.model_dump(exclude_defaults=True, exclude=OBSERVING)
    return " ".join(f"`{name}={value}`" for name, value in changed.items()) or "defaults"


def _header(columns: Sequence[str]) -> list[str]:
    return [_line(columns), "|" + "---|" * len(columns)]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
