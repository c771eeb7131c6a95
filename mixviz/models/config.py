"""Settings of a model: bounds, help and the papers' values, from which every interface is made."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from mixviz.errors import MixvizError, unknown

T = TypeVar("T", bound="Settings")


class Settings(BaseModel):
    """Base of every config: unknown names are refused, and a changed value is validated."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    @classmethod
    def live_fields(cls) -> tuple[str, ...]:
        """Names of the settings that may be changed while a run trains."""
        return tuple(name for name in cls.model_fields if extra(cls, name).get("live"))


class ModelConfig(Settings):
    """What every mixture model has."""

    components: int = Field(
        10,
        ge=1,
        le=1000,
        title="Components (K)",
        description="Number of components of the mixture; more than the data need is the usual choice.",
    )


@dataclass(frozen=True)
class Preset:
    """A named set of settings, of the model and of the run, and why they are what they are."""

    title: str
    dataset: str
    settings: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def setting(
    default: Any, title: str, help: str, *, paper: str = "", live: bool = False, **bounds: Any
) -> Any:
    """Declare a setting: its title, one sentence of help, the paper's value, bounds, live or not."""
    return Field(
        default,
        title=title,
        description=help,
        json_schema_extra={"paper": paper, "live": live},
        **bounds,
    )


def extra(config: type[BaseModel], name: str) -> dict[str, Any]:
    """Return the `paper` and `live` notes of one setting."""
    notes = config.model_fields[name].json_schema_extra
    return notes if isinstance(notes, dict) else {}


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Lower and upper bound of a setting; a bound that itself is excluded counts too."""
    low = next(
        (m.ge if isinstance(m, Ge) else m.gt for m in field.metadata if isinstance(m, (Ge, Gt))),
        None,
    )
    high = next((m.le for m in field.metadata if isinstance(m, Le)), None)
    return low, high  # type: ignore[return-value]


def build(config: type[T], values: dict[str, Any]) -> T:
    """Validate `values`; raise `MixvizError` with one line that names the choices or the bounds."""
    for name in values:
        if name not in config.model_fields:
            raise unknown("setting", name, config.model_fields)
    try:
        return config.model_validate(values)
    except ValidationError as error:
        raise invalid(config, error) from error


def invalid(config: type[BaseModel], error: ValidationError) -> MixvizError:
    """Turn pydantic's report into one line."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    allowed = _bounds(config, name) if name in config.model_fields else ""
    return MixvizError(
        f"{name}={first['input']!r}: {message}{f' (allowed: {allowed})' if allowed else ''}."
    )


def allowed_values(config: type[BaseModel], name: str) -> str:
    """Say which values a setting takes, by its choices or its bounds; empty if any of its type."""
    schema = config.model_json_schema()["properties"][name]
    options = [schema, *schema.get("anyOf", [])]
    choices = [str(choice) for option in options for choice in option.get("enum", ())]
    return ", ".join(choices) or _bounds(config, name)


def _bounds(config: type[BaseModel], name: str) -> str:
    schema = config.model_json_schema()["properties"][name]
    options = [schema, *schema.get("anyOf", [])]
    low = next((o["minimum"] for o in options if "minimum" in o), None)
    above = next((o["exclusiveMinimum"] for o in options if "exclusiveMinimum" in o), None)
    high = next((o["maximum"] for o in options if "maximum" in o), None)
    if low is None and high is None and above is None:
        return ""
    lowest = f"above {above}" if above is not None else "-inf" if low is None else str(low)
    return f"{lowest} to {'inf' if high is None else high}"
