"""The table of all runs, and what people do to runs in it; stores of earlier versions."""

import json
import sqlite3
import time
from datetime import UTC, datetime

import pytest

from mixviz.errors import MixvizError
from mixviz.runs import RunStore, Status
from mixviz.runs.bundle import export_run, import_run
from mixviz.runs.catalogue import MOST_TAGS, UNDO_SECONDS
from tests.runs.conftest import make_config


def add(store, seed=0, status=Status.FINISHED, name="", result=None, **settings):
    config = make_config(**settings)
    config["run"] = {"epochs": 4, "seed": seed, "threads": seed}
    run = store.create(model="gmvae-v1", dataset="digits", config=config, name=name)
    store.update(run, status=status, result=result or {})
    return run


def result(share):
    names = ("hungarian", "majority", "most_confident")
    return {"accuracy": dict.fromkeys(names, share), "nmi": share, "ari": share, "split": "test"}


def test_table_has_a_row_for_every_run(store):
    old = add(store, 3, result=result(0.25), components=7, samples=2)
    new = add(store, status=Status.DIVERGED, name="Second")
    table = store.table().set_index("id")
    assert list(table.index) == [new, old]
    row = table.loc[old]
    assert (row["components"], row["samples"], row["seed"]) == (7, 2, 3)
    assert (row["hungarian"], row["nmi"], row["split"]) == (0.25, 0.25, "test")
    assert table.loc[new, "name"] == "Second"
    assert table.loc[new, "status"] == "diverged"
    assert table["hungarian"].isna().tolist() == [True, False]


def test_one_odd_run_leaves_the_table_of_the_others(store):
    good = add(store, result=result(0.25))
    odd = add(store, result={"accuracy": {"hungarian": "z"}, "nmi": [1], "ari": {}, "split": 3})
    store.update(odd, created=1e300)
    table = store.table().set_index("id")
    assert table.loc[good, ["hungarian", "nmi"]].tolist() == [0.25, 0.25]
    assert table.loc[odd, ["hungarian", "nmi", "ari"]].isna().all()
    assert datetime.fromtimestamp(table.loc[odd, "created"], UTC).year == 9999


def test_variants_differ_in_more_than_the_seed(store):
    one, other = add(store, 0), add(store, 1)
    third = add(store, 0, eta=0.75)
    variant = store.table().set_index("id")["variant"]
    assert variant[one] == variant[other] != variant[third]
    config = store.get(other).config
    store.update(other, config={**config, "run": {**config["run"], "epochs": 9}})
    variant = store.table().set_index("id")["variant"]
    assert variant[one] != variant[other]


def test_empty_table_has_its_columns(store):
    table = store.table()
    assert len(table) == 0
    assert {"id", "hungarian", "tags", "variant", "status"} <= set(table.columns)


def test_run_whose_process_died_is_interrupted_in_the_table(store):
    run = add(store, status=Status.RUNNING)
    assert store.table()["status"].tolist() == ["running"]
    store.update(run, host="elsewhere", heartbeat=1.0)
    assert store.table()["status"].tolist() == ["interrupted"]


def test_tags_notes_and_names(store):
    one, other = add(store), add(store)
    store.tag([one, other], " to  show ")
    store.tag([one], "best")
    store.tag([one], "best")
    assert store.get(one).tags == ("to show", "best")
    assert store.tags() == ["best", "to show"]
    store.tag([one], "to show", remove=True)
    store.annotate([one], name="  New\nname ", note="Why:\n*because*")
    found = store.get(one)
    assert (found.tags, found.name, found.note) == (("best",), "New name", "Why:\n*because*")
    with pytest.raises(MixvizError, match="needs a name"):
        store.annotate([one], name="  ")
    for i in range(MOST_TAGS - 1):
        store.tag([one], f"tag {i}")
    with pytest.raises(MixvizError, match="at most"):
        store.tag([one], "one more")
    assert store.get(other).tags == ("to show",)


def test_archived_runs_are_out_of_sight(store):
    one, other = add(store), add(store)
    store.archive([one])
    assert [run.id for run in store.runs()] == [other]
    assert store.table("archived")["id"].tolist() == [one]
    assert store.get(one).archived
    store.archive([one], False)
    assert len(store.table()) == 2


def test_deleted_runs_come_back_whole(store, run):
    before = store.get(run)
    store.delete([run])
    assert not store.runs()
    assert store.table("deleted")["id"].tolist() == [run]
    with pytest.raises(MixvizError, match="There is no run"):
        store.get(run)
    store.restore([run])
    assert store.get(run) == before
    assert store.snapshot(run, 20).step == 20


def test_run_that_trains_is_not_deleted(store):
    done, live = add(store), add(store, status=Status.RUNNING)
    with pytest.raises(MixvizError, match="stop it"):
        store.delete([done, live])
    assert len(store.runs()) == 2


def test_long_deleted_runs_are_removed_for_good(store, run, monkeypatch):
    shipped, fresh = add(store), add(store)
    store.update(shipped, shipped=True)
    store.delete([run, shipped])
    later = time.time() + UNDO_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    store.delete([fresh])
    assert set(store.table("deleted")["id"]) == {shipped, fresh}
    assert not store.folder(run).exists()
    assert not store.terms(run)
    assert not store.snapshot_steps(run)


def test_importing_a_deleted_run_brings_it_back_but_shipped_ones_stay_away(store, run, tmp_path):
    path = tmp_path / "run.mixviz"
    export_run(store, run, path)
    store.delete([run])
    assert import_run(store, path, shipped=True) == run
    assert not store.runs()
    assert import_run(store, path) == run
    assert [found.id for found in store.runs()] == [run]


@pytest.mark.parametrize("deleted", [True, False])
def test_importing_an_archived_run_lists_it_again(store, run, tmp_path, deleted):
    path = tmp_path / "run.mixviz"
    export_run(store, run, path)
    store.archive([run])
    if deleted:
        store.delete([run])
    assert import_run(store, path, shipped=True) == run
    assert not store.runs()
    assert import_run(store, path) == run
    assert [found.id for found in store.runs()] == [run]


def test_store_of_an_earlier_version_opens(tmp_path, store, run):
    """A database as version 0.1.0 made it has no columns for tags and what follows."""
    new = [row["name"] for row in store._db.execute("PRAGMA table_info(runs)")]
    kept = ", ".join(new[: new.index("tags")])
    home = tmp_path / "old"
    home.mkdir()
    database = sqlite3.connect(home / "runs.sqlite")
    database.execute("ATTACH ? AS now", (str(store.home / "runs.sqlite"),))
    database.execute(f"CREATE TABLE runs AS SELECT {kept} FROM now.runs")
    database.commit()
    database.close()
    old = RunStore(home)
    assert old.get(run) == store.get(run)
    old.tag([run], "kept")
    assert old.table()["tags"].tolist() == [["kept"]]
    assert old.table()["components"].tolist() == [3]
    assert RunStore(home).get(run).tags == ("kept",)


def test_configurations_are_parsed_once(store, monkeypatch):
    for seed in range(5):
        add(store, seed)
    store.table()
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    store.table()
    assert not [text for text in parsed if "settings" in text]
