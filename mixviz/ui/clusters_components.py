"""Each component: its figures and name in a table, its members next to what the model draws for it."""

import numpy as np
import pandas as pd
import streamlit as st

from mixviz.analysis.encoded import saved_model
from mixviz.analysis.generation import component_samples
from mixviz.analysis.members import ORDERS, chosen_members, mean_members
from mixviz.figures.grids import as_pixels
from mixviz.figures.members import component_rows
from mixviz.figures.planar import Layer
from mixviz.runs.names import given_names, name_component
from mixviz.ui import keys
from mixviz.ui.clusters_gallery import gallery, picture, plane
from mixviz.ui.clusters_view import View
from mixviz.ui.services import store

MEMBERS, SAMPLES = 10, 10
MOST_ROWS = 60
_TALLEST = 620  # pixels


def components_section(view: View) -> None:
    """Table of the components, then members and samples in rows."""
    st.subheader("Components", anchor=False)
    _table(view)
    _rows(view)


def components_table(view: View) -> pd.DataFrame:
    """One row for each group, in the order of the matrix."""
    clustering, matrix = view.clustering, view.matrix
    given = given_names(store(), view.run.id)
    rows = []
    for g in view.order.tolist():
        inside = clustering.assignments == g
        parts = clustering.members[g]
        row = {
            "component": " + ".join(str(k) for k in parts),
            "name": given.get(parts[0], "") if len(parts) == 1 else view.names[g],
            "observations": int(inside.sum()),
            "share": float(clustering.usage[g]),
            "confidence": float(clustering.confidences[inside].mean()) if inside.any() else None,
        }
        if matrix is not None:
            major = int(matrix.majorities[g])
            row["class"] = view.label_names[major] if major >= 0 else ""
            row["purity"] = float(matrix.purities[g]) if major >= 0 else None
        row["nearest"] = ", ".join(view.short_names[h] for h in view.nearest[g])
        rows.append(row)
    return pd.DataFrame(rows)


def _table(view: View) -> None:
    table = components_table(view)
    editable = not view.clustering.merged
    # What was typed is used up once: rows may stand for other components afterwards.
    turn = st.session_state.setdefault(keys.NAMES, 0)
    key = f"{keys.NAMES}.{view.run.id}.{view.clustering.count}.{view.encoding.key}.{turn}"
    share = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
    st.data_editor(
        table,
        key=key,
        hide_index=True,
        height=min(35 * (len(table) + 1) + 3, _TALLEST),
        disabled=[name for name in table.columns if name != "name" or not editable],
        on_change=_rename,
        args=(view, key),
        column_config={
            "name": st.column_config.TextColumn(
                help="Type a name; it is kept with the run and used wherever components are named.",
                max_chars=60,
            ),
            "share": share,
            "confidence": st.column_config.NumberColumn(
                format="%.3f", help="Mean probability of the component over its observations."
            ),
            "class": st.column_config.TextColumn(help="Most frequent class."),
            "purity": st.column_config.ProgressColumn(
                format="percent", min_value=0, max_value=1, help="Share of the most frequent class."
            ),
            "nearest": st.column_config.TextColumn(
                help="Most alike components, by what is chosen above."
            ),
        },
    )


def _rename(view: View, key: str) -> None:
    """Keep the names that were typed into the table, which is then a new one."""
    st.session_state[keys.NAMES] += 1
    for row, changes in st.session_state[key]["edited_rows"].items():
        if "name" in changes:
            component = view.clustering.members[int(view.order[int(row)])][0]
            name_component(store(), view.run.id, component, changes["name"] or "")


def _rows(view: View) -> None:
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        st.markdown(
            "**Mean · members · samples**",
            help="For each component: the mean of its observations, some of them, and draws of the "
            "model from it.",
        )
    with right:
        order = st.segmented_control(
            "Members",
            [name.capitalize() for name in ORDERS],
            default=ORDERS[0].capitalize(),
            required=True,
            key=keys.MEMBERS,
            bind="query-params",
            label_visibility="collapsed",
        ).lower()
    groups = view.order[:MOST_ROWS].tolist()
    members = [chosen_members(view.clustering, g, MEMBERS, order) for g in groups]
    means = mean_members(view.data.x, view.clustering.assignments, view.clustering.count)
    drawn = _samples(view)
    used = view.clustering.usage[groups] > 0
    if view.data.kind == "image":
        blocks = [
            [
                as_pixels(means[[g]] if some else means[:0])
                for g, some in zip(groups, used, strict=True)
            ],
            [as_pixels(view.data.x[indices]) for indices in members],
            [as_pixels(drawn[g]) for g in groups],
        ]
        label = "For each component: mean image, members, samples of the model"
        colours = [view.colours[g] for g in groups]
        picture(component_rows(blocks, colours, [view.short_names[g] for g in groups]), label)
    else:
        _vectors(
            view,
            groups,
            members,
            [means[[g]][: int(some)] for g, some in zip(groups, used, strict=True)],
            drawn,
        )
    if len(view.order) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} of {len(view.order)} components.")


def _vectors(
    view: View,
    groups: list[int],
    members: list[np.ndarray],
    means: list[np.ndarray],
    drawn: list[np.ndarray],
) -> None:
    """Means, where there are members, members and samples of all components: points in the plane, else rows of a table."""
    if view.data.shape == (2,):
        colours = np.array(view.colours)
        repeats = [len(indices) for indices in members]
        layers = [
            Layer(
                "members",
                view.data.x[np.concatenate(members)],
                np.repeat(colours[groups], repeats),
            ),
            Layer(
                "samples",
                np.concatenate([drawn[g] for g in groups]),
                np.repeat(colours[groups], SAMPLES),
                "x",
            ),
            Layer(
                "means",
                np.concatenate(means),
                np.repeat(colours[groups], [len(mean) for mean in means]),
                "diamond",
                12,
            ),
        ]
        plane(view.data.x, layers, key="clusters.members", label="Members and samples in the plane")
        return
    items, names, kinds = [], [], []
    for g, indices, mean in zip(groups, members, means, strict=True):
        for kind, values in (
            ("mean", mean),
            ("member", view.data.x[indices[:3]]),
            ("sample", drawn[g][:3]),
        ):
            items.append(values)
            names += [view.names[g]] * len(values)
            kinds += [kind] * len(values)
    gallery(
        np.concatenate(items),
        "Mean, members and samples of each component",
        facts={"component": names, "what": kinds},
    )


def _samples(view: View) -> list[np.ndarray]:
    """Draws for each group (n, *shape); a merged one gives those of its components in turn."""
    draws = sampled(view.encoding.key, view.run.id, SAMPLES)
    return [
        np.stack([draws[parts[i % len(parts)], i] for i in range(SAMPLES)])
        for parts in view.clustering.members
    ]


@st.cache_data(max_entries=8, show_spinner=False)
def sampled(key: str, run: str, each: int) -> np.ndarray:
    """Draws from every component of a run (K, each, *shape); `key` tells checkpoints apart."""
    return component_samples(saved_model(store(), run), each)
