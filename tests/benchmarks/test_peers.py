"""Tests of the benchmark beside other libraries: budgets, what is measured again, the table."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers, peers_worker
from benchmarks.peers import Case, Failed, Timing, epochs_within
from benchmarks.peers_mixviz import shortened
from benchmarks.peers_table import table
from mixviz.data import load
from mixviz.models import presets

STAGES = {"pretrain_epochs": 100, "clustering_epochs": 150}
TIMING = Timing(5.0, {"pretrain_epochs": 0.1, "clustering_epochs": 0.2})  # 45 s for STAGES


def case(settings="default", epochs=STAGES):
    return Case("clustpy", "VaDE", settings, {}, dict(epochs))


class Worker:
    """Answers as a fit whose epochs take so long, with the labels themselves as clusters."""

    def __init__(self, epoch=0.1, fixed=1.0, fails="", slower=1.0, late=0):
        self.epoch, self.fixed, self.fails, self.slower = epoch, fixed, fails, slower
        self.late = late  # first jobs whose epochs take twice as long
        self.jobs = []

    def __call__(self, job, seconds):
        self.jobs.append(job)
        if self.fails and self.fails == job["library"]:
            raise Failed("It has no wings.")
        epoch = self.epoch * (2 if len(self.jobs) <= self.late else 1)
        stages = {name: [epoch] * count for name, count in job["epochs"].items()}
        total = sum(sum(found) for found in stages.values())
        clusters = (load("digits", "all").labels + 3) % 10
        return {
            "labels": {"labels_": clusters.tolist(), "own_labels_": [0] * len(clusters)},
            "seconds": self.fixed + total * (self.slower if total > 5 else 1),
            "stages": stages,
            "megabytes": 100,
            "versions": {job["library"]: "1.0"},
        }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "RECORDS", tmp_path / "peers.json")
    monkeypatch.setattr(peers, "TABLE", tmp_path / "PEERS.md")
    return tmp_path


def run(worker, monkeypatch, *arguments):
    monkeypatch.setattr(peers, "PEERS_PYTHON", Path(__file__))  # only has to be there
    monkeypatch.setattr(peers.measure_all, "__defaults__", (worker,))
    peers.main(["--data", "digits", *arguments])
    return peers.read()


class TestBudget:
    def test_all_epochs_where_they_fit(self):
        assert epochs_within(case(), TIMING, 60.0) == STAGES

    def test_fewer_in_the_same_proportions(self):
        found = epochs_within(case(), TIMING, 25.0)
        assert found == {"pretrain_epochs": 45, "clustering_epochs": 67}
        assert TIMING.seconds(found) <= 25.0

    def test_only_a_stretched_fit_does_more_than_its_own(self):
        found = epochs_within(case("stretched"), TIMING, 100.0)
        assert found == {"pretrain_epochs": 217, "clustering_epochs": 326}
        assert 0.9 * 100 < TIMING.seconds(found) <= 100.0

    def test_each_stage_has_one_epoch_at_least(self):
        found = epochs_within(case(epochs={"a": 1, "b": 99}), Timing(0.0, {"a": 1, "b": 1}), 50.0)
        assert found["a"] == 1

    @pytest.mark.parametrize("budget", [1.0, 5.1])
    def test_what_does_not_fit_is_refused_in_a_sentence(self, budget):
        with pytest.raises(Failed, match=r"One epoch of each stage.* takes 5 s\."):
            epochs_within(case(), TIMING, budget)

    def test_a_long_last_epoch_belongs_to_no_epoch(self):
        answer = {"seconds": 20.0, "stages": {"a": [1.0, 1.0, 9.0], "b": [2.0, 2.0]}}
        assert Timing.of(answer) == Timing(13.0, {"a": 1.0, "b": 2.0})

    def test_a_fit_that_takes_too_long_is_made_again_with_fewer(self, folder, monkeypatch):
        worker = Worker(slower=1.5)
        records = run(worker, monkeypatch, "--minutes", "0.25", "--only", "clustpy vade default")
        assert records[0]["seconds"] <= 15
        assert sum(records[0]["epochs"].values()) < sum(worker.jobs[-2]["epochs"].values())

    def test_a_fit_that_always_takes_too_long_is_a_failure(self, folder, monkeypatch):
        worker = Worker(slower=4.0)
        records = run(worker, monkeypatch, "--minutes", "0.25", "--only", "clustpy vade default")
        assert "had promised" in records[0]["error"]

    def test_a_fit_that_leaves_much_of_its_budget_is_made_again_with_more(
        self, folder, monkeypatch
    ):
        worker = Worker(late=2)  # the short fits find a machine half as fast
        records = run(worker, monkeypatch, "--minutes", "0.25", "--only", "clustpy vade default")
        assert 0.9 * 15 < records[0]["seconds"] <= 15
        assert sum(records[0]["epochs"].values()) > sum(worker.jobs[-2]["epochs"].values())
        assert sum(worker.jobs[-2]["epochs"].values()) == pytest.approx(64, abs=2)

    def test_a_second_fit_that_fails_leaves_the_first(self, folder, monkeypatch):
        class Dying(Worker):
            def __call__(self, job, seconds):
                if len(self.jobs) == 3:
                    raise Failed("It was killed.")
                return super().__call__(job, seconds)

        worker = Dying(late=2)
        records = run(worker, monkeypatch, "--minutes", "0.25", "--only", "clustpy vade default")
        assert records[0]["scores"]["labels_"]["accuracy"] == 1
        assert records[0]["epochs"] == worker.jobs[-1]["epochs"]
        assert records[0]["whole"] is False


class TestCases:
    def test_ours_is_the_laptop_preset(self):
        found = {each.name: each for each in peers.cases("mnist-70000")}
        _, vade = presets()["vade-mnist-laptop"]
        first = vade.settings["pretrain_epochs"]
        later = vade.settings["epochs"] - first
        stages = {"pretrain_epochs": first, "clustering_epochs": later}
        assert found["clustpy VaDE ours"].epochs == stages
        assert found["clustpy VaDE ours"].values["hidden"] == [256, 256]
        assert found["mixviz VaDE ours"].epochs == {"pretrain_epochs": first, "epochs": later}
        assert "precision" not in found["mixviz NVISA ours"].values
        assert found["pythae VAMP ours"].epochs == {"num_epochs": 15}

    def test_stretched_differs_from_the_default_in_nothing_else(self):
        found = {each.name: each for each in peers.cases("digits")}
        default, stretched = found["pythae VAMP default"], found["pythae VAMP stretched"]
        assert (default.values, default.epochs) == (stretched.values, stretched.epochs)

    def test_own_epochs_of_mixviz_are_those_of_its_estimators(self):
        import mixviz

        for (library, model), epochs in peers.OWN_EPOCHS.items():
            if library == "mixviz":
                parameters = getattr(mixviz, model)().get_params()
                assert sum(epochs.values()) == parameters["epochs"]
                assert epochs.get("pretrain_epochs", 0) == parameters["pretrain_epochs"]

    def test_schedules_shrink_with_the_epochs(self):
        settings = {"teacher_epochs": 4, "halving_period": 2.0, "samples": 1}
        assert shortened(settings, 0.5) == {
            "teacher_epochs": 2,
            "halving_period": 1.0,
            "samples": 1,
        }
        assert shortened(settings, 3.0) == settings


class TestRecords:
    def test_one_to_one_accuracy_of_each_kind_of_labels(self, folder, monkeypatch):
        (record,) = run(Worker(), monkeypatch, "--minutes", "2", "--only", "clustpy vade default")
        assert record["scores"]["labels_"] == {"accuracy": 1.0, "nmi": 1.0}
        assert record["scores"]["own_labels_"]["accuracy"] == pytest.approx(0.102, abs=0.001)

    def test_no_labels_reach_the_worker(self, folder, monkeypatch):
        worker = Worker()
        run(worker, monkeypatch, "--minutes", "2", "--only", "clustpy vade default")
        known = {"x", "threads", "library", "model", "settings", "epochs", "share", "seed"}
        assert all(set(job) == known | {"clusters"} for job in worker.jobs)

    def test_an_interrupted_run_goes_on_with_what_is_missing(self, folder, monkeypatch):
        class Interrupted(Worker):
            def __call__(self, job, seconds):
                if len(self.jobs) == 4:
                    raise KeyboardInterrupt
                return super().__call__(job, seconds)

        arguments = ("--minutes", "0.1", "--seeds", "2", "--only", "clustpy")
        with pytest.raises(KeyboardInterrupt):
            run(Interrupted(), monkeypatch, *arguments)
        before = peers.read()
        assert before
        worker = Worker()
        after = run(worker, monkeypatch, *arguments)
        assert after[: len(before)] == before
        assert len(after) == 12
        again = Worker()
        assert run(again, monkeypatch, *arguments) == after
        assert not again.jobs

    def test_a_fit_with_all_its_epochs_stands_for_larger_budgets(self, folder, monkeypatch):
        worker = Worker()
        records = run(worker, monkeypatch, "--minutes", "2", "5", "--only", "clustpy dec default")
        assert [record["minutes"] for record in records] == [2.0, 5.0]
        assert records[1]["as_at"] == ["default", 2.0]
        assert sum(job["epochs"] == STAGES for job in worker.jobs) == 1

    def test_a_default_that_was_cut_stands_for_the_stretched_one(self, folder, monkeypatch):
        records = run(Worker(), monkeypatch, "--minutes", "0.2", "--only", "clustpy dec")
        found = {record["settings"]: record for record in records}
        assert found["default"]["whole"] is False
        assert found["stretched"]["as_at"] == ["default", 0.2]
        assert found["stretched"]["scores"] == found["default"]["scores"]

    def test_a_record_of_other_settings_is_replaced(self, folder, monkeypatch):
        arguments = ("--minutes", "2", "--only", "clustpy dec default")
        (before,) = run(Worker(), monkeypatch, *arguments)
        peers.write([before | {"wanted": {"pretrain_epochs": 1}}])
        assert run(Worker(), monkeypatch, *arguments) == [before]

    def test_records_of_other_settings_go_with_the_first_that_is_replaced(
        self, folder, monkeypatch
    ):
        arguments = ("--minutes", "2", "--only", "clustpy dec default")
        before = run(Worker(), monkeypatch, *arguments, "--seeds", "2")
        stale = [record | {"wanted": {"pretrain_epochs": 1}} for record in before]
        other = before[0] | {"data": "mnist-10000", "wanted": {"pretrain_epochs": 1}}
        peers.write([*stale, other])
        assert run(Worker(), monkeypatch, *arguments) == [other, before[0]]

    def test_a_failure_is_a_record_and_the_others_go_on(self, folder, monkeypatch):
        worker = Worker(fails="pythae")
        records = run(worker, monkeypatch, "--minutes", "2", "--only", "default")
        failed = [record for record in records if "error" in record]
        assert [(r["library"], r["error"]) for r in failed] == [("pythae", "It has no wings.")]
        assert len(records) == len(peers.OWN_EPOCHS)
        peers.write([*records, elsewhere := failed[0] | {"data": "mnist-70000"}])
        mended = run(Worker(), monkeypatch, "--minutes", "2", "--only", "default", "--retry")
        assert [record for record in mended if "error" in record] == [elsewhere]
        assert len(mended) == len(records) + 1

    def test_what_has_no_data_is_left_out(self, folder, monkeypatch, capsys):
        monkeypatch.setenv("MIXVIZ_DATA", str(folder))
        worker = Worker()
        run(worker, monkeypatch, "--data", "mnist-10000", "--minutes", "2")
        assert "mnist-10000 is left out" in capsys.readouterr().err
        assert not worker.jobs

    def test_last_words_are_one_sentence(self):
        printed = "Traceback\n  File x\nValueError: no\n"
        assert peers.last_words(printed, 1) == "ValueError: no."
        assert peers.last_words("", -9) == "The process was ended by signal 9."

    def test_a_program_that_is_not_there_is_a_failure(self, monkeypatch, tmp_path):
        monkeypatch.setattr(peers, "PEERS_PYTHON", tmp_path / "python")
        with pytest.raises(Failed, match="could not be started"):
            peers.in_process({"library": "clustpy", "threads": 1}, 10)


class TestWorker:
    def test_it_imports_nothing_of_mixviz(self):
        tree = ast.parse(Path(peers_worker.__file__).read_text(encoding="utf-8"))
        names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        assert not {"mixviz", "benchmarks", "pickle"} & {name.split(".")[0] for name in names}

    def test_job_in_answer_out(self, tmp_path, monkeypatch, capsys):
        np.save(tmp_path / "x.npy", np.zeros((3, 1, 2, 2), np.float32))
        job = {"x": str(tmp_path / "x.npy"), "library": "numpy", "model": "M", "seed": 0}
        (tmp_path / "job.json").write_text(json.dumps(job))
        monkeypatch.setattr("sys.argv", ["worker", str(tmp_path / "job.json")])

        def fit(job, x):
            print("chatter")
            return {"labels_": np.arange(len(x))}, {"epochs": [0.5]}

        peers_worker.main({"numpy": lambda model: fit})
        answer = json.loads(capsys.readouterr().out)
        assert answer["labels"] == {"labels_": [0, 1, 2]}
        assert answer["stages"] == {"epochs": [0.5]}

    def test_an_estimator_of_mixviz_answers_too(self, tmp_path):
        rng = np.random.default_rng(0)
        np.save(tmp_path / "x.npy", rng.random((60, 1, 4, 4), dtype=np.float32))
        job = {"x": str(tmp_path / "x.npy"), "library": "mixviz", "model": "VaDE", "clusters": 2}
        job |= {"settings": {}, "epochs": {"pretrain_epochs": 2, "epochs": 3}, "share": 1.0}
        answer = peers.in_process(job | {"seed": 0, "threads": 1}, 120)
        assert len(answer["labels"]["labels_"]) == 60
        assert [len(seconds) for seconds in answer["stages"].values()] == [2, 3]
        assert sum(map(sum, answer["stages"].values())) <= answer["seconds"]


def record(library, model, accuracy, settings="default", labels="labels_", **more):
    return {
        "library": library,
        "model": model,
        "settings": settings,
        "data": "digits",
        "minutes": 2.0,
        "seed": 0,
        "values": {},
        "wanted": {"epochs": 10},
        "threads": 2,
        "hardware": "A machine, 2 cores",
        "scores": {labels: {"accuracy": accuracy, "nmi": 0.5}},
        "seconds": 61.4,
        "epochs": {"epochs": 10},
        "whole": True,
        "megabytes": 1234,
        "versions": {library: "1.0"},
    } | more


def ahead(*records):
    """Cells of the summary by family."""
    lines = [line for line in table(list(records)).splitlines() if line.startswith("| Digits")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[2]: row[5:] for row in cells}


class TestTable:
    def test_each_side_counts_its_best_and_methods_meet_their_like(self):
        found = ahead(
            record("mixviz", "NVISA", 0.90),
            record("mixviz", "VaDE", 0.70),
            record("clustpy", "VaDE", 0.80),
            record("clustpy", "VaDE", 0.60, labels="vade_labels_"),
        )
        assert found["any model"][:2] == ["mixviz, one seed", "10.0"]
        assert found["VaDE"] == ["clustpy, one seed", "10.0", "not known"]
        assert found["DEC"] == ["–", "–", "–"]

    def test_half_a_point_is_level(self):
        found = ahead(record("mixviz", "VaDE", 0.802), record("clustpy", "VaDE", 0.800))
        assert found["VaDE"][0] == "level"

    def test_a_lead_within_the_spread_of_seeds_says_so(self):
        others = [record("clustpy", "DEC", 0.60), record("clustpy", "DEC", 0.70, seed=1)]
        near, far = (
            [record("mixviz", "DEC", a), record("mixviz", "DEC", a + 0.01, seed=1)]
            for a in (0.69, 0.89)
        )
        assert ahead(*near, *others)["DEC"][:2] == ["mixviz, within the spread", "4.5"]
        assert ahead(*far, *others)["DEC"][:2] == ["mixviz", "24.5"]

    def test_the_reason_says_what_was_cut(self):
        cut = {"whole": False, "epochs": {"epochs": 4}}
        found = ahead(record("mixviz", "DEC", 0.5, **cut), record("clustpy", "DEC", 0.8))
        assert found["DEC"][2] == "the budget holds 4 of 10 epochs; of clustpy's 10 of 10"

    def test_a_written_reason_is_taken_before_a_computed_one(self, monkeypatch):
        reasons = {("digits", 2.0, "DEC"): "because"}
        monkeypatch.setattr("benchmarks.peers_table.REASONS", reasons)
        found = ahead(record("mixviz", "DEC", 0.5), record("clustpy", "DEC", 0.8))
        assert found["DEC"][2] == "because"

    def test_seeds_are_averaged(self):
        both = [record("mixviz", "DEC", 0.5), record("mixviz", "DEC", 0.7, seed=1)]
        assert "| 0.600 ± 0.141 |" in table(both)

    def test_machines_are_not_mixed(self):
        other = record("clustpy", "DEC", 0.9, hardware="Another, 64 cores", threads=64)
        text = table([record("mixviz", "DEC", 0.5), other])
        assert "## A machine, 2 cores, 2 threads a fit" in text
        assert not re.search(r"\| clustpy \| 40\.0 \|", text)
        assert text.count("| Digits 8x8 | 2 | DEC |") == 2

    def test_a_failure_is_a_row(self):
        failed = record("pythae", "VAMP", 0.0, error="It has | no wings.")
        del failed["scores"]
        assert "| pythae | VAMP | default | seed 0: It has \\| no wings." in table([failed])

    def test_command_writes_and_prints_it(self, folder, capsys):
        peers.write([record("mixviz", "DEC", 0.5)])
        peers.main(["--table"])
        assert capsys.readouterr().out == peers.TABLE.read_text() == table(peers.read())
