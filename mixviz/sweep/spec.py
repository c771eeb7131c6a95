"""What a sweep trains: a YAML file of presets or models, data sets, settings and seeds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from mixviz.data import source
from mixviz.errors import MixvizError
from mixviz.runs.catalogue import OBSERVING
from mixviz.training.config import Plan, plan

MOST_TRIALS = 10_000

Value = bool | int | float | str | None
Names = list[str] | str | None
Criterion = Literal[
    "silhouette",
    "effective_components",
    "distinct_components",
    "hungarian",
    "majority",
    "most_confident",
    "nmi",
    "ari",
]
LABELLED = ("hungarian", "majority", "most_confident", "nmi", "ari")  # criteria that need labels


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Range(_Part):
    """Values of a setting among which a search chooses: between two, evenly or by their logarithm.

    Both ends are among them; the values of a setting that counts are whole.
    """

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range begins above 0")
        return self

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that show whether all are allowed."""
        return self.low, self.high


class Choices(_Part):
    """Values of a setting among which a search chooses."""

    choices: Annotated[list[Value], Field(min_length=2)]

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that show whether all are allowed."""
        return tuple(self.choices)


class Budget(_Part):
    """How far each search goes.

    Attributes
    ----------
    trials
        Combinations of values that are tried, each with every seed.
    criterion
        Score of a run that is made as large as can be, as the mean over seeds. By default the
        silhouette, under the run's own clustering, of the latents that are scored, which are held
        out where the data have a test part. It needs no labels, every model has it, and it lies in
        [-1, 1] whatever K is; a mixture whose components have merged scores about 0, and one with
        everything in a single cluster, which has none, last. It sees
        the latents, so that a model that is free to pull them together, such as DEC, scores high:
        within one model it ranks settings, between models it says little. The number of effective
        components is even where components coincide, and the agreement of two seeds is perfect
        where all observations are in one cluster, so neither serves alone.
    """

    trials: Annotated[int, Field(ge=1, le=10_000)] = 20
    criterion: Criterion = "silhouette"


Searched = Range | Choices


def _kind(value: Any) -> str:
    if isinstance(value, dict | Range | Choices):
        return "choices" if isinstance(value, Choices) or "choices" in dict(value) else "range"
    return "list" if isinstance(value, list) else "value"


Setting = Annotated[
    Annotated[Value, Tag("value")]
    | Annotated[list[Value], Tag("list")]
    | Annotated[Range, Tag("range")]
    | Annotated[Choices, Tag("choices")],
    Discriminator(_kind),
]


class Block(_Part):
    """Runs of every preset or model, on every data set, with every combination of settings.

    Attributes
    ----------
    presets
        Names of presets; each brings its model and, unless `datasets` are given, its data set.
    models, datasets
        Names; a model is trained with its defaults.
    set
        Settings of the model or the run. A list stands for one run each; a range (`low`, `high`,
        `log`) or `choices` are searched.
    """

    presets: Names = None
    models: Names = None
    datasets: Names = None
    set: dict[str, Setting] = {}

    @property
    def searched(self) -> dict[str, Searched]:
        """Settings that a search chooses."""
        return {
            name: value for name, value in self.set.items() if isinstance(value, Range | Choices)
        }

    @property
    def lists(self) -> dict[str, list[Value]]:
        """Values of the other settings, each of which is trained."""
        return {
            name: value if isinstance(value, list) else [value]
            for name, value in self.set.items()
            if not isinstance(value, Range | Choices)
        }


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
    leave_out
        Whether runs whose data or device are not at hand are left out; otherwise nothing is trained
        before all can be.
    resources
        What each run gets on Ray.
    search
        How long to search, where settings have ranges, and for what.
    runs
        Blocks, in the order in which they are trained.
    """

    name: Annotated[str, Field(min_length=1, max_length=40)]
    seeds: (
        Annotated[int, Field(ge=1, le=1000)]
        | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    ) = 1
    leave_out: bool = False
    resources: Resources = Resources()
    search: Budget = Budget()
    runs: Annotated[list[Block], Field(min_length=1)]

    @field_validator("name")
    @classmethod
    def _on_one_line(cls, name: str) -> str:
        return " ".join(name.split())

    def trials(self) -> list["Trial"]:
        """Return every run that is not searched for, all of the first seed before any of the next.

        Raises
        ------
        MixvizError
            For a wrong name or value, in one line; for more than 10,000 runs; for a setting `seed`.
        """
        self._check_size()
        trials = [
            variant.trial(seed)
            for seed in self.each_seed
            for variant in self._variants()
            if not variant.searched
        ]
        return list({str(trial.plan.as_json()): trial for trial in trials}.values())

    def variants_searched(self) -> list["Variant"]:
        """Return what is searched: each has ranges of its own.

        Raises
        ------
        MixvizError
            For a wrong name or value, in one line; for a criterion that needs labels without any.
        """
        self._check_size()
        found = [variant for variant in self._variants() if variant.searched]
        for variant in found:
            for name, values in variant.searched.items():
                for value in values.ends:
                    lowest = {other: each.ends[0] for other, each in variant.searched.items()}
                    trial = variant.trial(0, lowest | {name: value})
            if self.search.criterion in LABELLED and not source(trial.plan.dataset).classes:
                raise MixvizError(
                    f"{trial.plan.dataset} has no labels for the criterion "
                    f"{self.search.criterion}; search by silhouette."
                )
        return found

    @property
    def each_seed(self) -> list[int]:
        """All seeds, in order, each once."""
        return list(range(self.seeds) if isinstance(self.seeds, int) else dict.fromkeys(self.seeds))

    def _variants(self) -> list["Variant"]:
        return [variant for block in self.runs for variant in _combinations(block)]

    def _check_size(self) -> None:
        each = [
            _count(block) * (self.search.trials if block.searched else 1) for block in self.runs
        ]
        if (count := len(self.each_seed) * sum(each)) > MOST_TRIALS:
            raise MixvizError(
                f"This sweep has {count:,} runs; at most {MOST_TRIALS:,} are allowed."
            )
        if any("seed" in block.set for block in self.runs):
            raise MixvizError("Seeds are given by seeds, beside runs, not as a setting.")


@dataclass(frozen=True)
class Trial:
    """One run of a sweep; `preset` is the one it began from, if any."""

    title: str
    plan: Plan
    preset: str | None = None

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.plan.run.seed


@dataclass(frozen=True)
class Variant:
    """Runs that differ in their seeds and in what is searched, if anything.

    Attributes
    ----------
    chosen
        Name of a preset, or of a model.
    values, searched
        Settings that are given, and those that a search chooses.
    """

    chosen: str
    is_preset: bool
    dataset: str | None
    values: dict[str, Value]
    searched: dict[str, Searched]

    def trial(self, seed: int, proposed: Mapping[str, Value] = MappingProxyType({})) -> Trial:
        """Return one run, with values for what is searched.

        Raises
        ------
        MixvizError
            For a wrong name or value.
        """
        values = self.values | dict(proposed)
        preset = self.chosen if self.is_preset else None
        return Trial(
            " ".join([self.title, *self._assigned(values)]),
            plan(
                preset_name=preset,
                model=None if self.is_preset else self.chosen,
                dataset=self.dataset,
                values=values | {"seed": seed},
            ),
            preset,
        )

    @property
    def title(self) -> str:
        """What was chosen, and where it is trained, if that was said."""
        return self.chosen + (f" on {self.dataset}" if self.dataset else "")

    @staticmethod
    def _assigned(values: Mapping[str, Value]) -> list[str]:
        """Settings as text, without those that change where a run is computed or how it is watched."""
        return [f"{k}={_shown(v)}" for k, v in values.items() if k not in OBSERVING]


def read_sweep(path: Path) -> Sweep:
    """Read a sweep from a YAML file.

    Raises
    ------
    MixvizError
        When it cannot be read or says something that is not known, in one line with the place.
    """
    try:
        return parse_sweep(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise MixvizError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MixvizError(f"{path} is not valid YAML.") from error


def parse_sweep(text: str, name: str) -> Sweep:
    """Read a sweep from YAML text that is called by a name in errors; as `read_sweep`."""
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = "" if line is None else f" (line {line + 1})"
        raise MixvizError(f"{name} is not valid YAML{place}.") from error
    try:
        return Sweep.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        said = first["msg"].removeprefix("Value error, ")
        raise MixvizError(f"{name}: {place}: {said}.") from error


def _count(block: Block) -> int:
    """How many combinations a block has, which need not be made for it."""
    chosen = block.models if block.presets is None else block.presets
    named = len(_listed(chosen) or ()) * len(_listed(block.datasets) or (None,))
    return named * math.prod(map(len, block.lists.values()))


def _combinations(block: Block) -> list[Variant]:
    presets, models, datasets = map(_listed, (block.presets, block.models, block.datasets))
    if (presets is None) == (models is None):
        raise MixvizError("Each block of runs names either presets or models.")
    lists = block.lists
    return [
        Variant(
            chosen,
            presets is not None,
            dataset,
            dict(zip(lists, values, strict=True)),
            block.searched,
        )
        for chosen in presets or models or ()
        for dataset in datasets or (None,)
        for values in product(*lists.values())
    ]


def _listed(names: Names) -> list[str] | None:
    return [names] if isinstance(names, str) else names


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
