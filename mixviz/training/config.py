"""Settings of a run, and how names and values from anywhere become a valid configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mixviz.data import Dataset, load, source
from mixviz.errors import MixvizError, unknown
from mixviz.models import ModelConfig, Settings, build, model_class, preset, setting
from mixviz.runs.catalogue import OBSERVING
from mixviz.training.team import check_shares


class RunConfig(Settings):
    """How a model is trained, whichever model it is."""

    epochs: int = setting(100, "Epochs", "Passes over the training data.", ge=1, le=100_000)
    batch_size: int = setting(200, "Batch size", "Observations in one step.", ge=2, le=100_000)
    seed: int = setting(0, "Seed", "Start of every random number of the run.", ge=0, le=2**31 - 1)
    split: Literal["train", "all"] = setting(
        "train",
        "Trained on",
        "all trains on the test set too, without its labels, and scores on all, as MPCC does.",
    )
    precision: Literal["32-true", "bf16-mixed"] = setting(
        "32-true",
        "Precision",
        "bf16-mixed runs the networks in bfloat16, faster for images; a processor without it takes 32 bits.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = setting(
        "auto", "Device", "auto takes the GPU where there is one."
    )
    devices: int = setting(
        1,
        "Devices",
        "GPUs, or processes where there is none, that share each batch of the run.",
        ge=1,
        le=64,
    )
    threads: int | None = setting(
        None,
        "Processor threads",
        "Threads for one run; empty takes one for vectors and all processors for images.",
        ge=1,
        le=256,
    )
    slow_start: float = setting(
        0.0,
        "Slow start (seconds)",
        "Stretches the first 300 steps over this time, so that the start can be watched.",
        ge=0,
        le=120,
    )
    checkpoint_seconds: float = setting(
        30.0,
        "Seconds between checkpoints",
        "The most work that a crash, or a stop between epochs, can lose.",
        gt=0,
        le=3600,
    )
    snapshot_points: int | None = setting(
        None,
        "Points in a snapshot",
        "Observations that the pictures show; empty takes 10,000 vectors or 2,000 images.",
        ge=10,
        le=10_000,
    )
    dense_snapshots: bool = setting(
        False,
        "Dense snapshots",
        "Takes as many snapshots as if the run were watched, for a smoother replay.",
    )
    snapshot_count: int = setting(
        300, "Snapshots kept", "The most that are kept for replay.", ge=10, le=900
    )

    @property
    def scored_split(self) -> str:
        """Part of the data set on which the run is observed and scored."""
        return "all" if self.split == "all" else "test"


@dataclass(frozen=True)
class Plan:
    """A whole configuration: what is trained, on what, and how.

    Attributes
    ----------
    version
        Content of the data set, where another may come to have its name.
    """

    dataset: str
    model: str
    settings: ModelConfig
    run: RunConfig
    version: str = ""

    def load(self, split: str, other: str | None = None) -> Dataset:
        """Load a part of the data, or of another data set.

        Raises
        ------
        MixvizError
            When the data set is not at hand, or other data have its name by now.
        """
        if other not in (None, self.dataset):
            return load(other, split)
        if self.version and source(self.dataset).version != self.version:
            raise MixvizError(
                f"The run was trained on other data than those named {self.dataset} here; remove these "
                "and add those under that name."
            )
        return load(self.dataset, split)

    def as_json(self) -> dict[str, Any]:
        """Return what the catalogue stores."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "settings": self.settings.model_dump(),
            "run": self.run.model_dump(),
        } | ({"version": self.version} if self.version else {})

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Plan":
        """Validate a stored configuration; raise `MixvizError` if this version cannot read it."""
        try:
            dataset, model = stored["dataset"], stored["model"]
            settings, run = stored["settings"], stored["run"]
        except KeyError as error:
            raise MixvizError(f"The stored configuration has no {error}.") from error
        config = build(model_class(model).Config, settings)
        version = stored.get("version", "")
        return cls(source(dataset).name, model, config, build(RunConfig, run), version)


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration in which settings that were added since have their defaults.

    One of a version that had others is returned as it is.
    """
    try:
        return Plan.from_json(config).as_json()
    except MixvizError:
        return dict(config)


def configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes two runs comparable: all but the seed and where and how it was watched."""
    whole = completed(config)
    if "run" not in whole:
        return whole
    run = {name: value for name, value in whole["run"].items() if name not in OBSERVING}
    return whole | {"run": run}


def plan(
    *,
    dataset: str | None = None,
    model: str | None = None,
    preset_name: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> Plan:
    """Put a configuration together: defaults, then the preset, then what was given.

    Parameters
    ----------
    dataset, model
        Names; those of the preset, else `arcs` and `gmvae-v2`, if left out.
    preset_name
        A preset of any model.
    values
        Settings of the model and of the run by name, as values or as text.

    Raises
    ------
    MixvizError
        For a wrong name or value, in one line that names the choices or the bounds; for batches that the
        devices cannot share.
    """
    chosen: dict[str, Any] = {}
    if preset_name is not None:
        preset_model, found = preset(preset_name)
        if model in (None, preset_model):
            model, chosen = preset_model, dict(found.settings)
            dataset = dataset or found.dataset
        else:
            raise unknown(f"preset of {model}", preset_name, model_class(model).presets)
    model = model or "gmvae-v2"
    chosen.update(values or {})
    config = model_class(model).Config
    known = {**RunConfig.model_fields, **config.model_fields}
    for name in chosen:
        if name not in known:
            raise unknown(f"setting of {model}", name, known)
    described = source(dataset or "arcs")
    settings = build(config, {k: _value(v) for k, v in chosen.items() if k in config.model_fields})
    run = build(RunConfig, {k: _value(v) for k, v in chosen.items() if k in RunConfig.model_fields})
    if run.devices > 1:
        check_shares(model_class(model), min(run.batch_size, described.size), run.devices)
    return Plan(described.name, model, settings, run, described.version)


def _value(value: Any) -> Any:
    """Read `none` and the empty text as None; pydantic reads every other text."""
    return None if isinstance(value, str) and value.lower() in ("", "none") else value
