"""The table of `peers.py`: who is ahead on each data set within each budget, and every measurement."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]

LEVEL = 0.005  # accuracies that differ by less are called level
FAMILIES = {"any model": None, "VaDE": "VaDE", "DEC": "DEC"}
# Why mixviz is behind, by data set, minutes and family, where the figures themselves do not say.
REASONS: dict[tuple[str, float, str], str] = {
    ("mnist-70000", 2.0, "DEC"): (
        "centres come from a Gaussian mixture of twenty starts, 20 s that k-means does not take: 33 of "
        "45 epochs, of clustpy's 43"
    ),
    ("mnist-70000", 10.0, "DEC"): (
        "more epochs of our network, 256-256, do not help (stretched: 210 epochs, 0.677); clustpy's is "
        "500-500-2000"
    ),
}

_NONE = "–"
_INTRODUCTION = """\
# Beside other libraries

One-to-one accuracy (the best assignment of ten clusters to ten classes) and NMI that each library
reaches within a budget of wall time, on the same machine, no GPU; each fit has the threads that the heading
names. Labels score and do nothing
else. Time is that of fitting and labelling, without imports and loading; epochs are as many as end within
the budget, found from a short fit. *default*: the library's own settings, at most its own epochs; *ours*:
mixviz's `laptop` preset, all of it for mixviz, learning rates and a start from clusters among UMAP
coordinates included, which the others lack, and network, latent size, batch size and epochs for the
others; *stretched*: the default with as many epochs as the budget holds. mixviz's presets were
chosen by looking at a few seeds of the same data, the other libraries' defaults were not. Images have
values in [0, 1].

ClustPy labels by `labels_`, a mixture or k-means fitted again to the final latents, and by the model
itself, `vade_labels_` or `dec_labels_`. pythae's VAMP has no labels; here they are of k-means and of a
Gaussian mixture with full covariances on the means of q(z|x), ten starts each.

Made by `make bench-peers`; single measurements are in `benchmarks/peers.json`.
"""


@dataclass(frozen=True)
class Row:
    """What a model with settings, read by one kind of labels, reached over seeds."""

    library: str
    model: str
    settings: str
    labels: str
    records: Sequence[Record]

    @property
    def name(self) -> str:
        """The row in words."""
        labels = "" if self.library == "mixviz" else f", `{self.labels}`"
        return f"{self.library} {self.model}, {self.settings}{labels}"

    def mean(self, score: str) -> float:
        """Mean of a score over seeds."""
        return statistics.mean(self.values(score))

    def values(self, score: str) -> list[float]:
        """Return a score by seed."""
        return [record["scores"][self.labels][score] for record in self.records]

    def spread(self, score: str) -> str:
        """Mean, and the deviation where there are seeds enough."""
        values = self.values(score)
        mean = f"{statistics.mean(values):.3f}"
        return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def rows(records: Iterable[Record]) -> list[Row]:
    """Gather the seeds of all measurements that did not fail."""
    found: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in records:
        for labels in record.get("scores", {}):
            key = (record["library"], record["model"], record["settings"], labels)
            found.setdefault(key, []).append(record)
    return [Row(*key, records) for key, records in found.items()]


def table(records: Sequence[Record]) -> str:
    """Write all of it as Markdown."""
    parts = [_INTRODUCTION]
    for hardware, threads in dict.fromkeys((r["hardware"], r["threads"]) for r in records):
        here = [r for r in records if (r["hardware"], r["threads"]) == (hardware, threads)]
        each = f"{threads} thread{'s' * (threads != 1)} a fit"
        parts.append(f"\n## {hardware}, {each}\n\n{_made_with(here)}{_summary(here)}")
        for data, minutes in _groups(here):
            chosen = [r for r in here if (r["data"], r["minutes"]) == (data, minutes)]
            parts.append(f"\n### {_words(data)}, {minutes:g} minutes\n\n{_details(chosen)}")
    return "".join(parts)


def _groups(records: Iterable[Record]) -> list[tuple[str, float]]:
    """Data sets and budgets, in order."""
    return sorted({(record["data"], record["minutes"]) for record in records}, key=_order)


def _order(group: tuple[str, float]) -> tuple[int, float]:
    return (("digits", "mnist-10000", "mnist-70000").index(group[0]), group[1])


def _words(data: str) -> str:
    return {"digits": "Digits 8x8", "mnist-10000": "MNIST, 10,000"}.get(data, "MNIST, 70,000")


def _made_with(records: Iterable[Record]) -> str:
    """Versions and commits, each once."""
    versions = sorted({item for r in records for item in r.get("versions", {}).items()})
    commits = sorted({r["commit"] for r in records if r["library"] == "mixviz" and "commit" in r})
    named = [f"{name} {version}" for name, version in versions]
    named += [f"mixviz at {', '.join(commits)}"] if commits else []
    return f"With {', '.join(named)}.\n\n" if named else ""


def _summary(records: Sequence[Record]) -> str:
    lines = [
        "| data | minutes | of | mixviz | others | ahead | by, points | why mixviz is behind |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data, minutes in _groups(records):
        chosen = [r for r in records if (r["data"], r["minutes"]) == (data, minutes)]
        for family, model in FAMILIES.items():
            taken = [r for r in chosen if model is None or r["model"] == model]
            cells = [_words(data), f"{minutes:g}", family, *_compared(taken, data, minutes, family)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _compared(records: Sequence[Record], data: str, minutes: float, family: str) -> list[str]:
    """Cells of both sides' best rows, who is ahead, by how much and why."""
    found = rows(records)
    own = max((r for r in found if r.library == "mixviz"), key=_accuracy, default=None)
    other = max((r for r in found if r.library != "mixviz"), key=_accuracy, default=None)
    cells = [_cell(own), _cell(other)]
    if own is None or other is None:
        return [*cells, _NONE, _NONE, _NONE]
    lead = own.mean("accuracy") - other.mean("accuracy")
    by = f"{100 * abs(lead):.1f}"
    if abs(lead) < LEVEL:
        return [*cells, "level", by, _NONE]
    sure = _certainty(own, other, abs(lead))
    if lead > 0:
        return [*cells, f"mixviz{sure}", by, _NONE]
    written = REASONS.get((data, minutes, family))
    return [*cells, f"{other.library}{sure}", by, written or computed_reason(own, other, records)]


def _certainty(own: Row, other: Row, lead: float) -> str:
    """What keeps a lead from being sure: a single seed, or seeds that differ by more."""
    both = (own, other)
    if min(len(row.records) for row in both) == 1:
        return ", one seed"
    within = max(statistics.stdev(row.values("accuracy")) for row in both)
    return ", within the spread" if lead < within else ""


def computed_reason(own: Row, other: Row, records: Sequence[Record]) -> str:
    """Say what the figures say: what was cut to the budget, what did not fit, else nothing."""
    if own.settings != "stretched" and not own.records[0]["whole"]:
        return f"the budget holds {_done(own)} epochs; of {other.library}'s {_done(other)}"
    failed = sorted(
        {
            f"{r['model']} {r['settings']}"
            for r in records
            if r["library"] == "mixviz" and "error" in r
        }
    )
    if failed:
        return f"without a result: {', '.join(failed)}"
    return "not known"


def _done(row: Row) -> str:
    """Epochs done of those wanted, in the first of the seeds."""
    first = row.records[0]
    return f"{sum(first['epochs'].values())} of {sum(first['wanted'].values())}"


def _accuracy(row: Row) -> float:
    return row.mean("accuracy")


def _cell(row: Row | None) -> str:
    if row is None:
        return _NONE
    seeds = len(row.records)
    return f"{row.spread('accuracy')} ({row.name}; {seeds} seed{'s' * (seeds != 1)})"


def _details(records: Sequence[Record]) -> str:
    lines = [
        "| library | model | settings | labels | one-to-one | NMI | seconds | epochs | MB | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows(records), key=_accuracy, reverse=True):
        seconds = statistics.median(record["seconds"] for record in row.records)
        memory = max(record["megabytes"] for record in row.records)
        epochs = " + ".join(str(count) for count in row.records[0]["epochs"].values())
        cells = [row.library, row.model, row.settings, f"`{row.labels}`"]
        cells += [row.spread("accuracy"), row.spread("nmi"), f"{seconds:.0f}", epochs]
        lines.append(f"| {' | '.join([*cells, f'{memory:,}', str(len(row.records))])} |")
    for record in records:
        if "error" in record:
            named = " | ".join(record[name] for name in ("library", "model", "settings"))
            lines.append(
                f"| {named} | seed {record['seed']}: {_plain(record['error'])} | | | | | | |"
            )
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return text.replace("|", "\\|")
