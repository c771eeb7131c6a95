"""What a sweep trains: a YAML file of presets or models, data sets, settings and seeds."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixviz.errors import MixvizError
from mixviz.training.config import Plan, RunConfig, plan

MOST_TRIALS = 10_000

Value = bool | int | float | str | None
Names = list[str] | str | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Block(_Part):
    """Runs of every preset or model, on every data set, with every combination of settings.

    Attributes
    ----------
    presets
        Names of presets; each brings its model and, unless `datasets` are given, its data set.
    models, datasets
        Names; a model is trained with its defaults.
    set
        Settings of the model or the run; a list stands for one run each.
    """

    presets: Names = None
    models: Names = None
    datasets: Names = None
    set: dict[str, Value | list[Value]] = {}


class Resources(_Part):
    """What one run gets of a Ray cluster.

    Attributes
    ----------
    cpus, gpus
        Numbers of each; a part of a GPU lets several runs share one.
    retries
        How often a run that failed or was lost is carried on from its checkpoint.
    """

    cpus: Annotated[float, Field(gt=0, le=1024)] = 1
    gpus: Annotated[float, Field(ge=0, le=64)] = 0
    retries: Annotated[int, Field(ge=0, le=100)] = 2


class Sweep(_Part):
    """A whole sweep.

    Attributes
    ----------
    name
        Tag of its runs.
    seeds
        How many (0, 1, …), or which.
    resources
        What each run gets on Ray.
    runs
        Blocks, in the order in which they are trained.
    """

    name: Annotated[str, Field(min_length=1, max_length=40)]
    seeds: Annotated[int, Field(ge=1, le=1000)] | list[Annotated[int, Field(ge=0)]] = 1
    resources: Resources = Resources()
    runs: Annotated[list[Block], Field(min_length=1)]

    def trials(self) -> list["Trial"]:
        """Return every run, all of the first seed before any of the next.

        Raises
        ------
        MixvizError
            For a wrong name or value, in one line; for more than 10,000 runs; for a setting `seed`.
        """
        seeds = list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds
        count = len(seeds) * sum(len(_combinations(block)) for block in self.runs)
        if count > MOST_TRIALS:
            raise MixvizError(
                f"This sweep has {count:,} runs; at most {MOST_TRIALS:,} are allowed."
            )
        variants = [variant for block in self.runs for variant in _combinations(block)]
        if any("seed" in variant["values"] for variant in variants):
            raise MixvizError("Seeds are given by seeds, beside runs, not as a setting.")
        trials = [
            Trial(_title(variant), plan(**variant | {"values": variant["values"] | {"seed": seed}}))
            for seed in seeds
            for variant in variants
        ]
        return list({str(trial.plan.as_json()): trial for trial in trials}.values())


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    title: str
    plan: Plan

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.plan.run.seed


def read_sweep(path: Path) -> Sweep:
    """Read a sweep from a YAML file.

    Raises
    ------
    MixvizError
        When it cannot be read or says something that is not known, in one line with the place.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MixvizError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = "" if line is None else f" (line {line + 1})"
        raise MixvizError(f"{path} is not valid YAML{place}.") from error
    try:
        return Sweep.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise MixvizError(f"{path}: {place}: {first['msg']}.") from error


def _combinations(block: Block) -> list[dict[str, Any]]:
    presets, models, datasets = map(_listed, (block.presets, block.models, block.datasets))
    if (presets is None) == (models is None):
        raise MixvizError("Each block of runs names either presets or models.")
    lists = {name: _values(value) for name, value in block.set.items()}
    return [
        {
            "preset_name" if presets else "model": chosen,
            "dataset": dataset,
            "values": dict(zip(lists, values, strict=True)),
        }
        for chosen in presets or models or ()
        for dataset in datasets or (None,)
        for values in product(*lists.values())
    ]


def _listed(names: Names) -> list[str] | None:
    return [names] if isinstance(names, str) else names


def _values(value: Value | list[Value]) -> list[Value]:
    return value if isinstance(value, list) else [value]


def _title(variant: dict[str, Any]) -> str:
    """Name of the run: what was chosen, and the settings given, without those of the run alone."""
    named = variant.get("preset_name") or variant.get("model")
    where = f" on {variant['dataset']}" if variant["dataset"] else ""
    shown = [f"{k}={v}" for k, v in variant["values"].items() if k not in RunConfig.model_fields]
    return " ".join([f"{named}{where}", *shown])
