"""Tests of the settings: errors in one line that name choices or bounds, presets, help texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mixviz.errors import MixvizError
from mixviz.models import MODELS, build, extra, invalid, model_class, presets

# Settings that a preset may hold and that belong to the run.
OF_THE_RUN = {"epochs", "batch_size", "precision", "slow_start", "split"}
CONFIGS = {name: cls.Config for name, cls in MODELS.items()}
FIELDS = [(name, field) for name, config in CONFIGS.items() for field in config.model_fields]


def message(config, **values):
    """Return the one line that refuses the values."""
    with pytest.raises(MixvizError) as caught:
        build(config, values)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_valid(name):
    defaults = build(CONFIGS[name], {})
    assert build(CONFIGS[name], defaults.model_dump()) == defaults


@pytest.mark.parametrize("name", MODELS)
def test_unknown_setting_names_the_choices(name):
    line = message(CONFIGS[name], colour=3)
    assert "'colour'" in line
    assert all(field in line for field in CONFIGS[name].model_fields)


def numeric(name):
    """Return the settings of a model that have bounds, as (field, lowest, highest, exclusive)."""
    found = []
    for field, schema in CONFIGS[name].model_json_schema()["properties"].items():
        for option in (schema, *schema.get("anyOf", [])):
            low = option.get("minimum", option.get("exclusiveMinimum"))
            if low is not None:
                found.append((field, low, option["maximum"], "exclusiveMinimum" in option))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_every_number_has_bounds_and_they_are_kept(name):
    config, bounds = CONFIGS[name], numeric(name)
    numbers = {
        field
        for field, schema in config.model_json_schema()["properties"].items()
        for option in (schema, *schema.get("anyOf", []))
        if option.get("type") in ("integer", "number")
    }
    assert {field for field, *_ in bounds} == numbers
    beside = {"estimator": "enumerate"} if name == "nvisa" else {}  # VIMCO refuses one sample
    for field, low, high, exclusive in bounds:
        assert getattr(build(config, {field: high}), field) == high
        if not exclusive:
            assert getattr(build(config, {**beside, field: low}), field) == low
        for value in (low if exclusive else low - 1, high + 1):
            line = message(config, **{field: value})
            assert line.startswith(f"{field}={value!r}")
            assert f"{low} to {high}" in line


@pytest.mark.parametrize(("name", "field"), FIELDS)
@pytest.mark.parametrize("value", ["many", [1], {"a": 1}, "two\nlines", float("nan")])
def test_wrong_type_is_one_line_about_the_setting(name, field, value):
    assert message(CONFIGS[name], **{field: value}).startswith(f"{field}=")


@pytest.mark.parametrize("name", ["gmvae-v1", "gmvae-v2"])
def test_wrong_choice_names_the_choices(name):
    line = message(CONFIGS[name], network="resnet")
    assert all(choice in line for choice in ("resnet", "auto", "points", "conv28", "conv32"))
    line = message(CONFIGS[name], likelihood="poisson")
    assert all(choice in line for choice in ("poisson", "auto", "bernoulli", "gaussian"))


def test_whole_numbers_are_not_rounded():
    assert "components=3.5" in message(CONFIGS["gmm"], components=3.5)


@given(st.integers() | st.floats() | st.text() | st.none() | st.lists(st.integers(), max_size=3))
@pytest.mark.parametrize("field", ["components", "latent_size", "learning_rate", "z_prior_floor"])
def test_any_value_is_taken_or_refused_in_one_line(field, value):
    config = CONFIGS["gmvae-v2"]
    try:
        built = build(config, {field: value})
    except MixvizError:
        assert message(config, **{field: value}).startswith(f"{field}=")
        return
    low, high = next((low, high) for name, low, high, _ in numeric("gmvae-v2") if name == field)
    taken = getattr(built, field)
    if taken is None:
        assert field == "latent_size"
    else:
        assert low <= taken <= high


@pytest.mark.parametrize("name", MODELS)
def test_a_changed_value_is_validated(name):
    config = build(CONFIGS[name], {})
    config.components = 7
    assert config.components == 7
    with pytest.raises(ValidationError) as caught:
        config.components = 0
    assert "components=0" in str(invalid(CONFIGS[name], caught.value))
    assert config.components == 7


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_setting_explains_itself(name, field):
    info = CONFIGS[name].model_fields[field]
    assert (info.title or "").strip()
    assert (info.description or "").endswith(".")


def test_live_settings_are_those_that_may_change():
    live = {name: set(config.live_fields()) for name, config in CONFIGS.items()}
    assert live["gmvae-v2"] == {"learning_rate", "z_prior_floor"}
    assert live["gmvae-v1"] == {"learning_rate", "eta", "alpha"}
    for name, fields in live.items():
        for field in fields:
            assert extra(CONFIGS[name], field)["live"] is True
        assert "components" not in fields


@pytest.mark.parametrize("name", presets())
def test_presets_are_valid(name):
    model, preset = presets()[name]
    config = model_class(model).Config
    own = {k: v for k, v in preset.settings.items() if k in config.model_fields}
    assert set(preset.settings) - set(own) <= OF_THE_RUN
    built = build(config, own)
    assert {field: getattr(built, field) for field in own} == own
    assert preset.title


@pytest.mark.parametrize(
    ("letter", "eta", "alpha"), [("c", 1, 0), ("d", 0, 0), ("e", 0, 1), ("f", 1, 2)]
)
def test_presets_of_version_1_are_those_of_its_figure_2(letter, eta, alpha):
    model, preset = presets()[f"v1-figure-2{letter}"]
    assert (model, preset.dataset) == ("gmvae-v1", "arcs")
    assert preset.settings == {"components": 8, "eta": eta, "alpha": alpha}
