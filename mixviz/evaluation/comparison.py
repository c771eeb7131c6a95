"""Many runs against each other: groups over seeds, accuracy against epochs, two configurations."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixviz.evaluation.clustering import MAPPINGS
from mixviz.evaluation.published import PUBLISHED

if TYPE_CHECKING:
    import pandas as pd

SCORES = (*MAPPINGS, "nmi", "ari", "silhouette", "effective_components")
GRID = 100  # epochs at which curves of several runs are averaged

Metrics = Sequence[tuple[int, float, Mapping[str, float]]]  # step, epoch, metrics


def groups(table: "pd.DataFrame") -> "pd.DataFrame":
    """Summarise runs whose configurations differ in the seed alone.

    Runs in which a live setting was changed are left out: no other run repeats them. Of several
    runs with one seed, which are all the same, the newest that has scores counts.

    Parameters
    ----------
    table
        What `RunStore.table` returns.

    Returns
    -------
    DataFrame
        One row a variant: `variant`, `model`, `dataset`, `components` (K), `samples` (S), `split`,
        `seeds`, `scored` (those with scores), `ended_early` (diverged or failed), and for each
        score its `…` mean and `…_sd` standard deviation over the scored runs (NaN for one).
    """
    steady = table[~table["steered"]]
    scored_first = steady.assign(unscored=steady["effective_components"].isna()).sort_values(
        "unscored", kind="stable"
    )
    repeated = scored_first.duplicated(["variant", "seed"]) & scored_first["seed"].notna()
    steady = steady.loc[steady.index.isin(scored_first.index[~repeated])]
    by = steady.groupby("variant", sort=False)
    found = by.agg(
        name=("name", "first"),
        model=("model", "first"),
        dataset=("dataset", "first"),
        components=("components", "first"),
        samples=("samples", "first"),
        split=("split", "first"),
        seeds=("id", "size"),
        scored=("effective_components", "count"),  # there are without labels too
    )
    early = steady["status"].isin(["diverged", "failed"])
    found["ended_early"] = early.groupby(steady["variant"], sort=False).sum()
    means, deviations = by[list(SCORES)].mean(), by[list(SCORES)].std()
    for score in SCORES:
        found[score], found[f"{score}_sd"] = means[score], deviations[score]
    return found.reset_index()


def published_rows(models: Iterable[str], datasets: Iterable[str]) -> "pd.DataFrame":
    """Return the papers' figures of some models and data sets as rows beside those of `groups`."""
    import pandas as pd

    models, datasets = set(models), set(datasets)
    return pd.DataFrame(
        [
            {
                "name": f"published: {p.source}" + (", the best run" if p.mean is None else ""),
                "model": p.model,
                "dataset": p.dataset,
                "components": float(p.components),
                "samples": np.nan if p.samples is None else float(p.samples),
                "split": p.split,
                p.mapping: p.figure / 100,
                f"{p.mapping}_sd": np.nan if p.deviation is None else p.deviation / 100,
            }
            for p in PUBLISHED
            if p.model in models and p.dataset in datasets
        ]
    )


class Course(NamedTuple):
    """Accuracy of several runs over epochs: mean and standard deviation, each (M,)."""

    epochs: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    runs: int


def accuracy_course(histories: Sequence[Metrics], mapping: str) -> Course | None:
    """Average the accuracies of runs at common epochs; None where no run has any.

    Each run is interpolated between its snapshots, and counts only where it has been.

    Parameters
    ----------
    histories
        Of each run, the metrics of its snapshots.
    mapping
        One of `MAPPINGS`.
    """
    curves = []
    for rows in histories:
        known = [(epoch, metrics[mapping]) for _, epoch, metrics in rows if mapping in metrics]
        if known:
            curves.append(np.array(known, np.float64).T)
    if not curves:
        return None
    epochs = np.linspace(0, max(x[-1] for x, _ in curves), GRID + 1)
    values = np.array([np.interp(epochs, x, y, left=np.nan, right=np.nan) for x, y in curves])
    seen = np.isfinite(values)
    kept = seen.any(0)
    values, seen, epochs = values[:, kept], seen[:, kept], epochs[kept]
    count = seen.sum(0)
    mean = np.where(seen, values, 0).sum(0) / count
    squares = np.where(seen, (values - mean) ** 2, 0).sum(0)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    return Course(epochs, mean, deviation, len(curves))


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, Any, Any]]:
    """Return what differs between two configurations: section, name, and both values.

    A setting that only one of them has is None in the other.
    """
    found = []
    for section in ("model", "dataset", "version"):
        if one.get(section) != other.get(section):
            found.append(("", section, one.get(section), other.get(section)))
    for section in ("settings", "run"):
        first, second = one.get(section) or {}, other.get(section) or {}
        for name in dict.fromkeys([*first, *second]):
            if first.get(name) != second.get(name):
                found.append((section, name, first.get(name), second.get(name)))
    return found
