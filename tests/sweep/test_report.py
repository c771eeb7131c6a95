"""Tests of the table of results: what is recorded, matched, counted and left empty."""

import json
import re
from pathlib import Path
from statistics import mean, stdev

import pytest

from mixviz.cli import main
from mixviz.errors import MixvizError
from mixviz.evaluation.published import PUBLISHED
from mixviz.runs import Event, RunStore, Status
from mixviz.sweep import LocalPool, Sweep, read_sweep, train_all
from mixviz.sweep.report import (
    merged,
    read_records,
    report,
    rows,
    write_records,
)
from mixviz.training.config import configuration
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results.yaml"


def sweep(*blocks, seeds=2, **values):
    return Sweep.model_validate({"name": "made", "seeds": seeds, "runs": blocks} | values)


K_MEANS = {"models": "k-means", "datasets": "arcs", "set": {"components": 5, "epochs": 3}}
PAPER = {"presets": "amm-mnist-paper", "set": {"components": [10, 20]}}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "home")


def record(trial, accuracy, seconds=60.0, **more):
    names = ("hungarian", "majority", "most_confident", "nmi", "effective_components")
    result = dict.fromkeys(names, accuracy) | {"seconds": seconds, "split": "test"}
    return {
        "config": configuration(trial.plan.as_json()),
        "seed": trial.seed,
        "result": result,
    } | more


def line(text, *parts):
    """The one line of the table that has all the parts, as cells."""
    (found,) = [each for each in text.splitlines() if all(part in each for part in parts)]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_figures_stand_beside_the_published(store):
    made = sweep(PAPER)
    ten = [trial for trial in made.trials() if trial.plan.settings.components == 10]
    records = [
        record(ten[0], 0.9, 100.0, hardware="A GPU", commit="abc1234"),
        record(ten[1], 0.96, 7300.0, hardware="A GPU", commit="abc1234"),
    ]
    text = report(rows(made, records), "a.yaml", "a.json")
    cells = line(text, "AMM table 1", "96.68")
    assert cells[2:8] == ["mnist", "10", "–", "one-to-one", "train", "96.68 ± 0.39"]
    assert cells[8:12] == ["93.00 ± 4.24", "train", "2", "62 min"]
    assert cells[12:] == ["A GPU", "`amm-mnist-paper components=10`", "abc1234"]
    empty = line(text, "AMM table 1", "96.01")
    assert empty[8:] == ["–", "train", "0", "–", "–", "`amm-mnist-paper components=20`", "–"]
    assert line(text, "MPCC table 4", "98.48")[8:] == ["–"] * 7  # not in this sweep
    assert line(text, "| `amm` | 10 |", "0.930 ± 0.042")
    assert "`mixviz sweep a.yaml && mixviz report a.yaml`" in text and "`a.json`" in text


def test_runs_that_ended_early_are_counted(store):
    made = sweep(K_MEANS)
    first, second = made.trials()
    failed = {"config": configuration(second.plan.as_json()), "seed": 1, "result": {"failed": True}}
    text = report(rows(made, [record(first, 0.5), failed]), "a", "b")
    assert line(text, "`k-means`")[3] == "0.500"
    assert line(text, "`k-means`")[8:] == [
        *["train", "2 (1 ended early)", "60 s", "–", "`epochs=3`", "–"]
    ]


def test_rows_under_k_means_are_named_and_gaps_in_records_too():
    blocks = [
        {"models": ["k-means", "gmm"], "datasets": "arcs", "set": {"components": 5}},
        {"presets": ["v2-arcs-laptop", "dec-arcs-laptop", "nvisa-arcs-laptop"]},
    ]
    made = Sweep.model_validate({"name": "made", "seeds": 2, "runs": blocks})
    trials = made.trials()
    accuracy = {"k-means": 0.9, "gmm": 0.898, "gmvae-v2": 0.7, "dec": 0.99}
    records = [
        record(trial, accuracy[trial.plan.model] + 0.002 * trial.seed, 1.0)
        for trial in trials
        if trial.plan.model in accuracy
    ]
    del records[0]["result"]["seconds"]
    records[0]["commit"] = "abc1234"
    text = report(rows(made, records), "a", "b")
    under = text.split("Under k-means on the same data")[1].split("\n\n")[1]
    assert under == "* Arcs, k-means 0.901: `gmvae-v2` 0.701 (`v2-arcs-laptop`)."
    assert line(text, "`k-means`")[-4] == "1 s"
    assert line(text, "`k-means`")[-1] == "abc1234, 1 not recorded"
    nothing = report(rows(made, records[:1]), "a", "b")
    assert "Under k-means on the same data" not in nothing


def test_settings_of_the_run_tell_rows_apart():
    longer = {**K_MEANS, "set": {"components": 5, "epochs": [3, 9], "split": ["train", "all"]}}
    text = report(rows(sweep(longer), []), "a", "b")
    assert line(text, "`k-means`", "`epochs=3` |")[8] == "train"
    assert line(text, "`k-means`", "`epochs=9` `split=all` |")[8] == "train and test"
    titles = [trial.title for trial in sweep(longer, seeds=1).trials()]
    assert titles[-1] == "k-means on arcs components=5 epochs=9 split=all"
    preset = sweep({"presets": "v2-arcs-laptop", "set": {"epochs": 7, "device": "cpu"}})
    assert line(report(rows(preset, []), "a", "b"), "`v2-arcs-laptop epochs=7` |")


def test_both_classifiers_of_a_model_are_reported(store):
    made = sweep({"models": "amm", "datasets": "arcs", "set": {"epochs": 1, "network": "small"}})
    trials = made.trials()
    assert train_all(store, made, LocalPool(store)).ended == 2
    records = merged([], store, trials)
    found = [record["result"]["classifiers"] for record in records]
    assert all(found[i]["head"]["hungarian"] == records[i]["result"]["hungarian"] for i in (0, 1))
    text = report(rows(made, records), "a", "b")
    (note,) = [each for each in text.splitlines() if "by each classifier" in each]
    for name, words in (("head", "by the head"), ("bayes", "by Bayes' rule")):
        values = [scores[name]["hungarian"] for scores in found]
        assert f"{mean(values):.3f} ± {stdev(values):.3f} {words}" in note
    assert "(2 seeds)" in note


def test_finished_runs_are_recorded_once(store):
    made = sweep(K_MEANS)
    first, second = made.trials()
    run = create_run(store, first.plan)
    create_run(store, second.plan)  # never trained
    assert Trainer(store, run).train() is Status.FINISHED
    records = merged([], store, made.trials())
    (found,) = records
    assert found["seed"] == 0
    result = store.get(run).result
    assert found["result"]["hungarian"] == result["accuracy"]["hungarian"]
    assert found["result"]["seconds"] == result["seconds"]
    assert re.search(r"\d+ cores?$|GPU", found["hardware"])
    assert re.fullmatch(r"[0-9a-f]{7,}(-dirty)?|v\d\S*", found["commit"])
    assert merged(records, store, made.trials()) == records
    (row,) = rows(made, records)
    assert row.records == records


@pytest.mark.parametrize("kind", ["steered", "shipped"])
def test_runs_that_say_nothing_of_a_configuration_are_not_recorded(store, kind):
    made = sweep(K_MEANS, seeds=1)
    (trial,) = made.trials()
    run = create_run(store, trial.plan)
    store.update(run, status=Status.FINISHED, result={"seconds": 1.0})
    assert len(merged([], store, made.trials())) == 1
    if kind == "shipped":
        store.update(run, shipped=1)
    else:
        store.send(run, "set", "learning_rate", 0.5)
        (command,) = store.open_commands(run)
        store.finish_command(command, run, Event(3, "learning_rate", 0.5, 0.25))
    assert merged([], store, made.trials()) == []


def test_a_diverged_run_is_recorded_as_such(store):
    made = sweep(K_MEANS, seeds=1)
    (trial,) = made.trials()
    store.update(create_run(store, trial.plan), status=Status.DIVERGED)
    assert [each["result"] for each in merged([], store, made.trials())] == [{"failed": True}]


def test_a_record_from_before_a_setting_was_added_still_counts(store):
    made = sweep({"presets": "v2-arcs-laptop"}, seeds=1)
    (trial,) = made.trials()
    old = record(trial, 0.9)
    assert old["config"]["settings"].pop("likelihood") == "auto"
    (row,) = rows(made, [old])
    assert row.records == [old]
    old["config"]["settings"]["of_another_time"] = 1
    (row,) = rows(made, [old])
    assert row.records == []


def test_records_are_read_as_they_were_written(tmp_path):
    made = sweep(K_MEANS)
    records = [record(trial, 0.5) for trial in made.trials()]
    assert read_records(tmp_path / "none.json") == []
    write_records(records, tmp_path / "some.json")
    assert read_records(tmp_path / "some.json") == records


@pytest.mark.parametrize("text", ["[", "{}", '[{"config": {}}]', '[{"seed": 1}]', "[1]"])
def test_other_files_are_no_records(tmp_path, text):
    path = tmp_path / "records.json"
    path.write_text(text)
    with pytest.raises(MixvizError, match=r"records\.json") as caught:
        read_records(path)
    assert "\n" not in str(caught.value)


def test_the_command_writes_the_table_and_the_records(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "home"))
    made = sweep(K_MEANS, seeds=1)
    (trial,) = made.trials()
    path, records, output = (tmp_path / name for name in ("a.yaml", "a.json", "A.md"))
    path.write_text(json.dumps(made.model_dump()))  # JSON is YAML
    command = ["report", str(path), "--records", str(records), "--output", str(output)]
    assert main(command) == 0
    assert "0 of 1 configurations have runs" in capsys.readouterr().out
    assert not records.exists()
    opened = RunStore()
    assert Trainer(opened, create_run(opened, trial.plan)).train() is Status.FINISHED
    assert main(command) == 0
    assert "runs: 1, new: 1" in capsys.readouterr().out
    assert len(read_records(records)) == 1
    assert "`k-means`" in output.read_text()
    assert main([*command[:-1], str(tmp_path / "nowhere" / "A.md")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_sweep_leaves_out_what_it_has_no_data_for(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path))
    blocks = K_MEANS, K_MEANS | {"datasets": "mnist"}
    with pytest.raises(MixvizError, match="MNIST"):
        train_all(store, sweep(*blocks), LocalPool(store))
    done = create_run(store, sweep(K_MEANS, seeds=1).trials()[0].plan)
    store.update(done, status=Status.FINISHED)
    outcome = train_all(store, sweep(*blocks, seeds=1, leave_out=True), LocalPool(store))
    assert outcome.runs == {done: Status.FINISHED}
    ((reason, count),) = outcome.left_out.items()
    assert "MNIST" in reason and count == 1


def test_every_published_figure_has_a_row_that_can_be_run():
    made = read_sweep(RESULTS)
    text = report(rows(made, []), "a", "b")
    for published in PUBLISHED:
        theirs = published.source, published.accuracy, f"| {published.dataset} |"
        ours = line(text, *theirs, "-paper")  # beside the laptop preset of the same K and S
        assert ours[8] == "–", published


def test_the_page_is_what_the_records_give():
    records = read_records(RESULTS.with_suffix(".json"))
    found = rows(read_sweep(RESULTS), records)
    text = report(found, "benchmarks/results.yaml", "benchmarks/results.json")
    assert (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8") == text
