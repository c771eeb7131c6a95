"""Tests of how names and values from anywhere become a valid configuration, or one line."""

import json

import pytest

from mixviz.errors import MixvizError
from mixviz.models import MODELS, presets
from mixviz.training.config import Plan, RunConfig, plan


def refusal(**arguments):
    with pytest.raises(MixvizError) as caught:
        plan(**arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_gmvae_on_arcs():
    found = plan()
    assert (found.dataset, found.model) == ("arcs", "gmvae-v2")
    assert found.run == RunConfig()


@pytest.mark.parametrize("name", presets())
def test_every_preset_makes_a_valid_plan(name):
    model, preset = presets()[name]
    found = plan(preset_name=name)
    assert (found.model, found.dataset) == (model, preset.dataset)
    values = found.settings.model_dump() | found.run.model_dump()
    assert preset.settings.items() <= values.items()
    assert plan(preset_name=name, model=model) == found


def test_given_values_win_over_the_preset_and_the_preset_over_defaults():
    found = plan(preset_name="v2-digits", values={"components": "7", "seed": 3}, dataset="arcs")
    assert (found.settings.components, found.run.seed, found.dataset) == (7, 3, "arcs")
    chosen = presets()["v2-digits"][1].settings
    assert found.settings.z_prior_floor == chosen["z_prior_floor"] > plan().settings.z_prior_floor
    assert found.run.epochs == chosen["epochs"] != RunConfig().epochs
    assert found.run.checkpoint_seconds == RunConfig().checkpoint_seconds


@pytest.mark.parametrize("model", MODELS)
def test_stored_configuration_is_read_back_equal(model):
    for found in (
        plan(model=model),
        plan(model=model, dataset="digits", values={"components": 3, "threads": 2, "epochs": 7}),
    ):
        stored = json.loads(json.dumps(found.as_json(), allow_nan=False))
        assert Plan.from_json(stored) == found
        assert Plan.from_json(stored).as_json() == found.as_json()


@pytest.mark.parametrize("text", ["none", "None", "NONE", ""])
def test_none_is_read_from_text(text):
    found = plan(values={"threads": text, "latent_size": text})
    assert found.run.threads is None
    assert found.settings.latent_size is None
    assert plan(values={"threads": "3"}).run.threads == 3


@pytest.mark.parametrize(
    ("arguments", "wrong", "choices"),
    [
        ({"dataset": "arc"}, "data set 'arc'", ["arcs", "pinwheel", "digits", "mnist"]),
        ({"model": "gmvae"}, "model 'gmvae'", list(MODELS)),
        ({"preset_name": "v3"}, "preset 'v3'", list(presets())),
        (
            {"preset_name": "v1-figure-2c", "model": "gmvae-v2"},
            "preset of gmvae-v2 'v1-figure-2c'",
            ["v2-figure-2d", "v2-digits"],
        ),
        ({"preset_name": "v2-digits", "model": "gmvae"}, "model 'gmvae'", list(MODELS)),
        ({"values": {"eta": 1}}, "setting of gmvae-v2 'eta'", ["z_prior_floor", "epochs", "seed"]),
        ({"model": "gmm", "values": {"samples": 1}}, "setting of gmm 'samples'", ["components"]),
    ],
)
def test_wrong_name_is_answered_with_the_choices(arguments, wrong, choices):
    message = refusal(**arguments)
    assert f"There is no {wrong}; choose one of: " in message
    assert all(choice in message for choice in choices)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("components", 0, "allowed: 1 to 1000"),
        ("components", "many", "allowed: 1 to 1000"),
        ("components", "2.5", "allowed: 1 to 1000"),
        ("learning_rate", 0, "allowed: above 0 to 0.1"),
        ("learning_rate", "nan", "allowed: above 0 to 0.1"),
        ("latent_size", 0, "allowed: 1 to 1000"),
        ("samples", "none", "allowed: 1 to 100"),
        ("epochs", 0, "allowed: 1 to 100000"),
        ("batch_size", 1, "allowed: 2 to 100000"),
        ("seed", 2**31, "allowed: 0 to 2147483647"),
        ("snapshot_points", 5, "allowed: 10 to 10000"),
        ("likelihood", "poisson", "'auto', 'bernoulli' or 'gaussian'"),
        ("precision", "16", "'32-true' or 'bf16-mixed'"),
        ("device", "tpu", "'auto', 'cpu', 'cuda' or 'mps'"),
    ],
)
def test_wrong_value_is_answered_with_the_bounds(name, value, says):
    message = refusal(values={name: value})
    assert message.startswith(f"{name}={value!r}: ") or value == "none"
    assert message.startswith(f"{name}=")
    assert says in message


def test_unknown_model_in_a_stored_configuration_is_refused():
    with pytest.raises(MixvizError, match="There is no model 'gmvae-v9'"):
        Plan.from_json(plan().as_json() | {"model": "gmvae-v9"})
    stored = plan().as_json()
    stored["settings"]["temperature"] = 1
    with pytest.raises(MixvizError, match="There is no setting 'temperature'"):
        Plan.from_json(stored)
