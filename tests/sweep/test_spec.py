"""Tests of the file that describes a sweep."""

import pytest

from mixviz.cli import main
from mixviz.errors import MixvizError
from mixviz.sweep import Sweep, parse_sweep, read_sweep


def sweep(**values):
    return Sweep.model_validate({"name": "made", "runs": [{"models": "gmm"}]} | values)


def test_every_combination_and_seed_is_a_trial():
    block = {
        "models": ["gmvae-v2", "gmvae-v1"],
        "datasets": ["arcs", "pinwheel"],
        "set": {"components": [3, 4, 5], "epochs": 7},
    }
    trials = sweep(seeds=2, runs=[block]).trials()
    assert len(trials) == 2 * 2 * 3 * 2
    found = {(t.plan.model, t.plan.dataset, t.plan.settings.components, t.seed) for t in trials}
    assert len(found) == len(trials)
    assert {t.plan.run.epochs for t in trials} == {7}
    assert [t.seed for t in trials] == sorted(t.seed for t in trials)


def test_presets_bring_model_data_and_settings():
    (trial,) = sweep(seeds=[7], runs=[{"presets": "dec-arcs-laptop"}]).trials()
    assert (trial.plan.model, trial.plan.dataset, trial.seed) == ("dec", "arcs", 7)
    assert trial.title == "dec-arcs-laptop"


def test_settings_that_decide_what_is_learned_are_part_of_the_title():
    values = {"components": [3], "epochs": 2, "threads": 1, "device": "cpu", "snapshot_points": 99}
    block = {"models": "gmvae-v2", "datasets": "arcs", "set": values}
    (trial,) = sweep(runs=[block]).trials()
    assert trial.title == "gmvae-v2 on arcs components=3 epochs=2"


def test_a_run_that_two_blocks_name_is_one_trial():
    assert len(sweep(runs=[{"models": "gmm"}, {"models": ["gmm", "k-means"]}]).trials()) == 2


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"runs": [{}]}, "either presets or models"),
        ({"runs": [{"presets": "dec-arcs-laptop", "models": "dec"}]}, "either presets or models"),
        ({"runs": [{"models": "gmvae-v3"}]}, "gmvae-v3"),
        ({"runs": [{"models": "gmm", "datasets": "arks"}]}, "arks"),
        ({"runs": [{"models": "gmm", "set": {"components": 0}}]}, "components=0"),
        ({"runs": [{"models": "gmm", "set": {"seed": 1}}]}, "Seeds are given by seeds"),
        (
            {"runs": [{"models": "gmm", "set": {"components": list(range(1, 102))}}], "seeds": 100},
            "10,100 runs",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(values, says):
    with pytest.raises(MixvizError, match=says) as caught:
        sweep(**values).trials()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", r"not valid YAML \(line"),
        ("name: x\nruns: []", "runs: "),
        ("name: x\nruns: [{models: gmm, colour: red}]", "runs.0.colour: "),
        ("name: x\nseeds: 0\nruns: [{models: gmm}]", "seeds"),
        ("name: x\nseeds: []\nruns: [{models: gmm}]", "seeds"),
        ("- a", "the file: "),
        ("!!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(tmp_path, text, says):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(MixvizError, match=says) as caught:
        read_sweep(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said():
    with pytest.raises(MixvizError, match="cannot be read"):
        read_sweep(__import__("pathlib").Path("nowhere.yaml"))


def test_the_file_that_the_help_shows_can_be_trained(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    shown = capsys.readouterr().out.split("FILE:\n")[1].split("\nThe same")[0]
    sweep = parse_sweep(shown, "help")
    assert [v.values["components"] for v in sweep.variants_searched()] == [5, 10]
    assert sweep.trials() == []


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("{low: 3, high: 1}", "components.range: low must be less than high"),
        ("{low: 0, high: 1, log: true}", "a logarithmic range begins above 0"),
        ("{choices: [1]}", "components.choices.choices: "),
        ("{low: 1}", "components.range.high: Field required"),
        ("[1, {}]", "components.list.1"),
    ],
)
def test_a_range_that_is_wrong_is_refused_with_the_place(setting, says):
    with pytest.raises(MixvizError, match=says) as caught:
        parse_sweep(f"name: x\nruns: [{{models: gmm, set: {{components: {setting}}}}}]", "f")
    assert "\n" not in str(caught.value)


def test_a_criterion_that_needs_labels_needs_a_set_with_labels(monkeypatch):
    from mixviz.sweep import spec

    sweep = parse_sweep(
        "{name: x, search: {criterion: nmi}, runs: [{models: gmm, set: {components: {low: 2, high: 5}}}]}",
        "f",
    )
    assert len(sweep.variants_searched()) == 1
    unlabelled = type("Source", (), {"classes": 0})
    monkeypatch.setattr(spec, "source", lambda name: unlabelled)
    with pytest.raises(MixvizError, match="arcs has no labels for the criterion nmi"):
        sweep.variants_searched()
