"""Constructors and docstrings of the estimators, made from the settings of their models."""

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import numpy as np
from pydantic.fields import FieldInfo

from mixviz.errors import MixvizError
from mixviz.models import ModelConfig, build, model_class
from mixviz.training.config import RunConfig

_DOCUMENTATION = """
Parameters
----------
{settings}
epochs : int, default={epochs}
    Passes over the training data.
batch_size : int, default={batch_size}
    Observations in one step; at most as many as there are.
random_state : int, RandomState instance or None, default=None
    Start of every random number. An int gives the same bits in every fit on the same processor, and
    those of `mixviz train` with that seed.
device : {{'auto', 'cpu', 'cuda', 'mps'}}, default='auto'
    auto takes the GPU where there is one.
verbose : bool, default=False
    Whether to show a progress bar.
callbacks : sequence of callables or None, default=None
    Each is called after every epoch as `callback(estimator, epoch, terms)`, where `epoch` counts
    from 1 and `terms` are the epoch's means. It may use the estimator as if it were fitted, and
    change live settings with `estimator.model_.set_live(name, value)`.

Attributes
----------
model_ : MixtureModel
    The networks, a PyTorch module.
means_ : ndarray (n_components, D)
    Means of the components in latent space.
covariances_ : ndarray (n_components, D) or (n_components, D, D)
    Their variances, or covariances where those are not diagonal.
weights_ : ndarray (n_components,)
    Their probabilities.
labels_ : ndarray (n_samples,)
    Most probable component of each training observation, there once the last epoch is over.
history_ : list of dict
    Terms of the objective by epoch, means over the epoch; `pandas.DataFrame(history_)` is a table.
n_features_in_ : int
    Values in one observation, pixels times channels for images.
input_shape_ : tuple
    Shape of one observation as it was given to `fit`.
"""


def add_constructor(cls: type, models: Mapping[int, str]) -> None:
    """Give an estimator of these models, by version, its constructor and the end of its docstring."""
    first, *others = models
    components = model_class(models[first]).Config.model_fields["components"]
    run = {name: RunConfig.model_fields[name].default for name in ("epochs", "batch_size")}
    defaults: dict[str, Any] = {"n_components": components.default}
    described = [f"n_components : int, default={components.default}\n    {components.description}"]
    if others:
        defaults["version"] = first
        described.append(
            f"version : {{{', '.join(map(str, models))}}}, default={first}\n    Of the paper."
        )
    for name, field in _settings_of(models).items():
        defaults[name] = field.default
        described.append(
            f"{name} : {_described(field.annotation)}, default={field.default!r}\n"
            f"    {field.description}"
        )
    defaults |= run
    defaults |= {"random_state": None, "device": "auto", "verbose": False, "callbacks": None}
    signature = _signature(defaults)

    def constructor(self: object, *arguments: Any, **parameters: Any) -> None:
        given = signature.bind(self, *arguments, **parameters)
        given.apply_defaults()
        for name in defaults:
            setattr(self, name, given.arguments[name])

    constructor.__name__, constructor.__qualname__ = "__init__", f"{cls.__qualname__}.__init__"
    constructor.__signature__ = signature  # type: ignore[attr-defined]
    cls.__init__ = constructor  # type: ignore[misc]
    documentation = _DOCUMENTATION.format(settings="\n".join(described), **run)
    cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}\n{documentation}"


def _signature(defaults: Mapping[str, Any]) -> inspect.Signature:
    """Signature of a constructor; the number of components may be given without its name."""
    either, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [inspect.Parameter("self", either)]
        + [
            inspect.Parameter(name, either if name == "n_components" else named, default=default)
            for name, default in defaults.items()
        ]
    )


def chosen_model(
    models: Mapping[int, str], parameters: Mapping[str, Any]
) -> tuple[str, ModelConfig]:
    """Return the name of the model that the parameters choose, and its settings.

    Raises
    ------
    MixvizError
        For a wrong version or value, or when a setting of another version has been changed.
    """
    version = parameters.get("version", next(iter(models)))
    if version not in models:
        raise MixvizError(
            f"There is no version={version!r}; choose one of: {', '.join(map(str, models))}."
        )
    config = model_class(models[version]).Config
    values = {"components": plain(parameters["n_components"])}
    for name, field in _settings_of(models).items():
        value = plain(parameters[name])
        if name in config.model_fields:
            values[name] = value
        elif value != field.default:
            raise MixvizError(f"{name}={value!r} is no setting of version={version}.")
    return models[version], build(config, values)


def plain(value: Any) -> Any:
    """Return a number of a parameter grid, which NumPy made, as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _settings_of(models: Mapping[int, str]) -> dict[str, FieldInfo]:
    """Fields of the models' settings by name, the number of components left out."""
    fields = {
        name: field
        for model in models.values()
        for name, field in model_class(model).Config.model_fields.items()
    }
    fields.pop("components")
    return fields


def _described(annotation: Any) -> str:
    """Describe a type as the docstrings of scikit-learn do."""
    if get_origin(annotation) is Literal:
        return "{" + ", ".join(repr(value) for value in get_args(annotation)) + "}"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
