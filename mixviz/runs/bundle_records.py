"""What the JSON in a bundle may say: types, bounds and the names that it must have."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, field_validator

from mixviz.runs.catalogue import LATEST, LONGEST_NOTE, LONGEST_TAG, MOST_TAGS
from mixviz.runs.records import Status

FORMAT: Literal[1] = 1
_Count = Annotated[int, Field(ge=0, le=2**53)]
_Positive = Annotated[int, Field(ge=1, le=2**53)]
_Amount = Annotated[FiniteFloat, Field(ge=0)]
_Score = FiniteFloat | None
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_CONFIG = {"dataset": str, "model": str, "settings": dict, "run": dict}


class Header(BaseModel):
    """The part of run.json that every version of the format has."""

    format: int


class _Result(BaseModel):
    """The scores of a run that are listed and compared, of all that its result may hold."""

    model_config = ConfigDict(strict=True)

    accuracy: dict[_Name, _Score] | None = None
    nmi: _Score = None
    ari: _Score = None
    silhouette: _Score = None
    effective_components: _Score = None
    distinct_components: _Score = None
    terms: dict[_Name, _Score] = {}
    classifiers: dict[_Name, dict[_Name, _Score]] = {}
    split: str = Field("", max_length=1_000)


class BundledRun(BaseModel):
    """What run.json holds: the durable fields of a run, nothing of the machine it ran on."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    id: str = Field(pattern=r"^[0-9A-Za-z-]{1,64}$")
    created: Annotated[FiniteFloat, Field(ge=0, le=LATEST)]
    name: str = Field(max_length=1_000)
    model: _Name
    dataset: _Name
    config: dict[str, Any]
    status: Status
    message: str = Field(max_length=100_000)
    step: _Count
    total_steps: _Count
    steps_per_epoch: _Positive
    seconds: _Amount
    samples_per_second: _Amount
    verdict: str = Field(max_length=10_000)
    result: dict[str, Any]
    tags: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=LONGEST_TAG)]],
        Field(max_length=MOST_TAGS),
    ] = []
    note: str = Field("", max_length=LONGEST_NOTE)

    @field_validator("config")
    @classmethod
    def _whole(cls, config: dict[str, Any]) -> dict[str, Any]:
        if any(not isinstance(config.get(name), kind) for name, kind in _CONFIG.items()):
            raise ValueError("not the configuration of a run")
        return config

    @field_validator("result")
    @classmethod
    def _scored(cls, result: dict[str, Any]) -> dict[str, Any]:
        _Result.model_validate(result)
        return result


class Moment(BaseModel):
    """The plain part of a snapshot; a diverged run has terms that are not finite."""

    model_config = ConfigDict(strict=True)

    step: _Count
    epoch: _Amount
    seconds: _Amount
    terms: dict[_Name, float]
    metrics: dict[_Name, float]
    verdict: str = Field(max_length=10_000)
    plane: Literal["latent", "pca"]


class Shared(BaseModel):
    """The plain part of a subsample."""

    model_config = ConfigDict(strict=True)

    label_names: list[Annotated[str, Field(max_length=1_000)]]
    split: _Name


TERMS = TypeAdapter(
    list[tuple[_Count, _Amount, dict[_Name, FiniteFloat | None]]], config=ConfigDict(strict=True)
)
EVENTS = TypeAdapter(
    list[tuple[_Count, _Name, FiniteFloat, FiniteFloat]], config=ConfigDict(strict=True)
)
