"""Compare: seeds grouped beside the papers' figures, curves, accuracy by K and S, two configurations."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from mixviz.errors import MixvizError
from mixviz.evaluation.comparison import (
    accuracy_course,
    difference,
    groups,
    published_rows,
)
from mixviz.figures.comparison import (
    MOST_CURVES,
    Band,
    Curve,
    course_figure,
    curves_figure,
)
from mixviz.figures.curves import METRICS
from mixviz.runs import Run, Status
from mixviz.ui import keys
from mixviz.ui.live_plot import live_plot
from mixviz.ui.moments import History
from mixviz.ui.plots import units_of
from mixviz.ui.runs import linked, literal, number_in, show_in_link
from mixviz.ui.services import store

MOST_RUNS = 60  # whose snapshots are averaged; the newest
_MOST_NAMED = 3  # settings in the name of a configuration
_TALL, _LEGEND_LINE = 460, 10  # pixels
_FIRST_TERMS = ("hungarian", "objective", "elbo")
_SHOWN_SCORES = {**METRICS, "nmi": "NMI", "silhouette": "Silhouette"}


def seeds(table: pd.DataFrame) -> None:
    """Mean and standard deviation over seeds, and below them what the papers print."""
    found = groups(table)
    if found.empty:
        st.info("No runs pass the filters.", icon=":material/info:")
        return
    both = pd.concat([found, published_rows(found["model"], found["dataset"])], ignore_index=True)
    text = pd.DataFrame(
        {"Config": both["name"], "Model": both["model"], "Data set": both["dataset"]}
    )
    text["K"], text["S"] = both["components"], both["samples"]
    text["Seeds"], text["Ended early"] = both["seeds"], both["ended_early"]
    for score, title in _SHOWN_SCORES.items():
        pairs = zip(both[score], both[f"{score}_sd"], strict=True)
        text[title] = [_spread(mean, deviation) for mean, deviation in pairs]
    text["Scored on"] = both["split"]
    whole = st.column_config.NumberColumn(format="%d")
    st.dataframe(
        text,
        hide_index=True,
        column_config=dict.fromkeys(("K", "S", "Seeds", "Ended early"), whole),
        placeholder="–",
        height=min(35 * (len(text) + 1) + 3, 700),
        alt="Groups of runs that differ in the seed alone, and published figures",
    )
    st.caption(
        "Mean ± standard deviation over the seeds of one configuration; runs that were steered are "
        "left out. Published figures are the papers', each under the mapping in whose column it "
        "stands, at their own budgets."
    )
    _csv(both, "groups.csv")


def _spread(mean: float, deviation: float) -> str | None:
    if not np.isfinite(mean):
        return None
    return f"{mean:.3f} ± {deviation:.3f}" if np.isfinite(deviation) else f"{mean:.3f}"


# ---- curves ----------------------------------------------------------------------------------


def curves(chosen: Sequence[str]) -> None:
    """Any terms of the chosen runs in one picture."""
    runs = _runs(chosen)
    if not runs:
        st.info("Choose runs to draw their curves.", icon=":material/info:")
        return
    if len(chosen) > MOST_CURVES:
        st.caption(f"The first {MOST_CURVES} of {len(chosen)} chosen runs.")
    histories = {run.id: History.of(run) for run in runs}
    named = {
        run.id: {
            **dict.fromkeys(_names(history.terms), history.terms),
            **dict.fromkeys(_names(history.metrics), history.metrics),
        }
        for run, history in ((run, histories[run.id]) for run in runs)
    }
    counts = Counter(name for rows in named.values() for name in rows)
    options = sorted(counts, key=lambda name: (-counts[name], name))
    if not options:
        st.info("The chosen runs have no curves yet.", icon=":material/info:")
        return
    terms, over = _choose_terms(options)
    labels = _labels(runs)
    drawn = [
        Curve(
            i,
            j,
            labels[run.id] + (f" · {_called(term)}" if len(terms) > 1 else ""),
            named[run.id][term],
            term,
            run.status is Status.DIVERGED,
        )
        for i, run in enumerate(runs)
        for j, term in enumerate(terms)
        if term in named[run.id]
    ]
    if len(drawn) > MOST_CURVES:
        st.caption(f"The first {MOST_CURVES} of {len(drawn)} curves.")
    units = {_units(term, run, histories[run.id]) for run in runs for term in terms} - {""}
    axis = ", ".join(_called(term) for term in terms[:3])
    figure = curves_figure(
        drawn[:MOST_CURVES],
        over=over,
        units=f"{axis} ({', '.join(sorted(units))})" if units else axis,
        uirevision=f"{over}.{terms}",
    )
    described = f"{axis} of {len(runs)} runs over {over}s"
    live_plot(figure, key="compare.curves", height=_TALL, label=described)
    ended = [labels[run.id] for run in runs if run.status is Status.DIVERGED]
    if ended:
        st.caption(f"Diverged, marked where they end: {literal(', '.join(ended))}.")
    st.download_button(
        "Curves as CSV",
        lambda: _curves_csv(runs, drawn),
        "curves.csv",
        "text/csv",
        icon=":material/table:",
        on_click="ignore",
    )


def _choose_terms(options: list[str]) -> tuple[list[str], str]:
    linked(keys.COMPARE_TERMS, st.query_params.get_all(keys.COMPARE_TERMS))
    asked = [name for name in st.session_state.get(keys.COMPARE_TERMS, []) if name in options]
    first = next((name for name in _FIRST_TERMS if name in options), options[0])
    st.session_state[keys.COMPARE_TERMS] = asked or [first]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        terms = st.multiselect(
            "Curves", options, key=keys.COMPARE_TERMS, format_func=_called, persist_state="session"
        )
    with right:
        over = st.segmented_control(
            "Over",
            ["epoch", "step"],
            default="epoch",
            required=True,
            format_func=lambda name: f"{name}s".capitalize(),
            key=keys.COMPARE_AXIS,
            bind="query-params",
        )
    show_in_link(keys.COMPARE_TERMS, terms)
    return terms or [first], over


def _names(rows: Sequence[tuple[int, float, dict[str, float]]]) -> list[str]:
    ends = (*rows[:1], *rows[-1:])  # a model that trains in stages has other terms at the end
    return list(dict.fromkeys(name for _, _, values in ends for name in values))


def _units(term: str, run: Run, history: History) -> str:
    """Units of a term; none of a metric, which counts or is a share, but for the information."""
    if term in _names(history.metrics):
        return "nats" if term == "information" else ""
    return units_of(run) if term in _names(history.terms) else ""


def _called(term: str) -> str:
    return {**METRICS, "z_prior": "z-prior"}.get(term, term.replace("_", " "))


def _runs(chosen: Sequence[str]) -> list[Run]:
    found = []
    for run in chosen[:MOST_CURVES]:
        try:
            found.append(store().get(run, deleted=True))
        except MixvizError:
            continue
    return found


def _labels(runs: Sequence[Run]) -> dict[str, str]:
    """Names of runs, with the seed or the time where several have the same."""
    names = Counter(run.name for run in runs)
    labels = {
        run.id: run.name
        if names[run.name] == 1
        else f"{run.name}, seed {run.config.get('run', {}).get('seed', '?')}"
        for run in runs
    }
    seen = Counter(labels.values())
    return {id: f"{name} · {id[-6:]}" if seen[name] > 1 else name for id, name in labels.items()}


def _curves_csv(runs: Sequence[Run], drawn: Sequence[Curve]) -> bytes:
    rows = [
        {"run": runs[c.run].id, "name": runs[c.run].name, "term": c.key, "step": s, "epoch": e, "value": v.get(c.key)}
        for c in drawn
        for s, e, v in c.rows
    ]  # fmt: skip
    return pd.DataFrame(rows).to_csv(index=False).encode()


# ---- accuracy by K and S ---------------------------------------------------------------------


def _group(run: pd.Series) -> str:
    """Model, data, K and, where the model draws samples, S of a run."""
    samples = f", S={run['samples']:.0f}" if np.isfinite(run["samples"]) else ""
    components = f", K={run['components']:.0f}" if np.isfinite(run["components"]) else ""
    return f"{run['model']}, {run['dataset']}{components}{samples}"


def _variant_names(firsts: pd.DataFrame) -> dict[str, str]:
    """Name variants, of each of which one run is given; those alike by the settings that differ."""
    named = {}
    for group, alike in firsts.groupby(firsts.apply(_group, axis=1), sort=False):
        configs = [_settings(run) for run in alike["id"]] if len(alike) > 1 else [{}]
        known = dict.fromkeys(name for config in configs for name in config)
        differ = [name for name in known if len({str(c.get(name)) for c in configs}) > 1]
        for (_, run), config in zip(alike.iterrows(), configs, strict=True):
            more = [f"{name}={config.get(name)}" for name in differ[:_MOST_NAMED]]
            if len(alike) > 1 and not 0 < len(differ) <= _MOST_NAMED:
                more.append(run["id"])
            named[run["variant"]] = ", ".join([group, *more])
    return named


def _settings(run: str) -> dict[str, Any]:
    from mixviz.training.config import configuration  # brings PyTorch

    config = configuration(store().get(run).config)
    return config["settings"] | config["run"]


def courses(table: pd.DataFrame) -> None:
    """Accuracy against epochs, averaged over the runs of each model, K and S."""
    training = table["status"].isin([status for status in Status if status.live])
    scored = table[(table["hungarian"].notna() | training) & ~table["steered"]]
    if scored.empty:
        st.info("No finished run with labels passes the filters.", icon=":material/info:")
        return
    left, middle, right = st.columns(3)
    with left:
        components = _numbers("Components (K)", keys.COMPARE_K, scored["components"])
    with middle:
        samples = _numbers("Samples (S)", keys.COMPARE_S, scored["samples"].dropna())
    with right:
        mapping = st.selectbox(
            "Mapping",
            list(METRICS),
            format_func=METRICS.__getitem__,
            key=keys.COMPARE_MAPPING,
            bind="query-params",
        )
    scored = scored[scored["components"].isna() | scored["components"].isin(components)]
    scored = scored[scored["samples"].isna() | scored["samples"].isin(samples)]
    used = scored.head(MOST_RUNS)
    bands = []
    by = ["model", "dataset", "components", "samples"]
    names = _variant_names(used.drop_duplicates("variant"))
    for variant, part in used.sort_values(by, kind="stable").groupby("variant", sort=False):
        course = accuracy_course([store().snapshot_metrics(run) for run in part["id"]], mapping)
        if course is not None:
            name = f"{names[str(variant)]} ({course.runs} run{'s' * (course.runs != 1)})"
            bands.append(Band(name, course.epochs, course.mean, course.deviation))
    if not bands:
        st.info("No run of this K and S has been scored.", icon=":material/info:")
        return
    figure = course_figure(bands, title=f"accuracy, {METRICS[mapping]}", uirevision=mapping)
    label = "Accuracy against epochs: " + "; ".join(f"{b.name}: {b.mean[-1]:.3f}" for b in bands)
    height = _TALL + _LEGEND_LINE * len(bands)  # of which two or three share a line
    live_plot(figure, key="compare.courses", height=height, label=label)
    more = f" The newest {MOST_RUNS} of {len(scored):,} runs." if len(scored) > MOST_RUNS else ""
    st.caption(
        "Mean over the seeds of one configuration, with its standard deviation; each run is scored on "
        f"the points of its snapshots.{more}"
    )
    frame = pd.concat(
        [
            pd.DataFrame(
                {"group": b.name, "epoch": b.epochs, "mean": b.mean, "deviation": b.deviation}
            )
            for b in bands
        ]
    )
    _csv(frame, "accuracy.csv")


def _numbers(label: str, key: str, values: pd.Series) -> list[int]:
    options = sorted({int(value) for value in values.dropna()})
    found = map(number_in, st.query_params.get_all(key))
    asked = [number for number in found if number is not None]
    linked(key, asked)
    st.session_state[key] = [v for v in st.session_state.get(key, []) if v in options]
    chosen = st.multiselect(label, options, key=key, placeholder="all", persist_state="session")
    show_in_link(key, [str(value) for value in chosen])
    return chosen or options


# ---- two configurations ----------------------------------------------------------------------


def configurations(chosen: Sequence[str]) -> None:
    """What differs between the configurations of the first two chosen runs."""
    from mixviz.training.config import completed  # brings PyTorch

    runs = _runs(chosen)[:2]
    if len(runs) < 2:
        st.info("Choose two runs to see how their configurations differ.", icon=":material/info:")
        return
    labels = _labels(runs)
    first, second = (labels[run.id] for run in runs)
    rows = difference(*(completed(run.config) for run in runs))
    if rows:
        found = pd.DataFrame(
            [
                (_title(section, name), _value(one), _value(other))
                for section, name, one, other in rows
            ],
            columns=["Setting", first, second if second != first else f"{second} "],
        )
        st.dataframe(found, hide_index=True, alt="Settings that differ between two runs")
        _csv(found, "difference.csv")
    else:
        st.success("The configurations are the same.", icon=":material/check:")
    for run in runs:
        if events := store().events(run.id):
            moved = "; ".join(
                f"{e.field} {e.previous:g} → {e.value:g} at step {e.step:,}" for e in events[:10]
            )
            st.caption(f"{literal(labels[run.id])} was steered: {literal(moved)}.")


def _title(section: str, name: str) -> str:
    if name == "version":
        return "content of the data"
    where = {"settings": "model", "run": "run"}.get(section, "")
    return f"{name} ({where})" if where else name


def _value(value: object) -> str:
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value)


def _csv(frame: pd.DataFrame, name: str) -> None:
    st.download_button(
        "Data as CSV",
        lambda: frame.to_csv(index=False).encode(),
        name,
        "text/csv",
        icon=":material/table:",
        on_click="ignore",
    )
