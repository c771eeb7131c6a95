"""What all estimators do: train a model of the registry and answer with it, in scikit-learn's words."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from tqdm.auto import tqdm

from mixviz.errors import MixvizError
from mixviz.estimators.parameters import add_constructor, chosen_model, plain
from mixviz.estimators.stored import pack, unpack
from mixviz.models import MixtureModel, build, create
from mixviz.models.start import TaughtModel
from mixviz.training.config import RunConfig
from mixviz.training.device import make_fabric, place, stream, use_threads
from mixviz.training.epochs import mean_of_steps, shuffled_batches
from mixviz.training.observe import BATCH, Diverged, Encoded, encode, evaluating, mixture_arrays

Callback = Callable[["MixtureEstimator", int, dict[str, float]], None]

_DRAWS = 10  # of all latents for each observation, of which a score is the mean
_SCORED = 100  # observations scored at once, each with all its draws


def _has_bound(estimator: "MixtureEstimator") -> bool:
    return bool(estimator._bound)


def _takes_parts(estimator: "MixtureEstimator") -> bool:
    return estimator._by_parts


class MixtureEstimator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """A model of the registry that fits like any estimator of scikit-learn.

    Observations are vectors (N, d), or images (N, H, W) or (N, C, H, W) with values in [0, 1].
    A subclass names its models by version; its parameters are their settings, and those of a run.
    """

    _models: ClassVar[Mapping[int, str]]
    _bound: ClassVar[Mapping[str, int]] = {}  # terms, with signs, that sum to a bound on log p(x)
    _by_parts: ClassVar[bool] = True  # whether an epoch may see other data than the last

    n_components: int
    epochs: int
    batch_size: int
    random_state: int | np.random.RandomState | None
    device: Literal["auto", "cpu", "cuda", "mps"]
    verbose: bool
    callbacks: Sequence[Callback] | None
    input_shape_: tuple[int, ...]

    def __init_subclass__(cls, models: Mapping[int, str] | None = None, **options: Any) -> None:
        """Give a subclass that names its models a constructor with their settings."""
        super().__init_subclass__(**options)
        if models is not None:
            cls._models = models
            add_constructor(cls, models)

    # ---- fitting ---------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train a new model for `epochs` epochs.

        Parameters
        ----------
        X : array (N, d), (N, H, W) or (N, C, H, W), of at least two observations
        y : ignored

        Raises
        ------
        ValueError
            For parameters out of bounds, or data that the model cannot take.
        Diverged
            When a term of the objective is not finite; `history_` and `model_` stay as they are.
        """
        x = self._start(X)
        epochs = self._run_config().epochs
        with tqdm(
            total=epochs, desc=type(self).__name__, unit="epoch", disable=not self.verbose
        ) as bar:
            for _ in range(epochs):
                bar.set_postfix(self._epoch(x, prepared=True), refresh=False)
                bar.update()
        self.labels_ = self._encode(x).assignments.astype(np.int64)
        return self

    @available_if(_takes_parts)
    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train for one more epoch on X, the first time from a new model; see `fit`.

        `labels_` are those of X.

        Raises
        ------
        ValueError
            Also for starts from clusters, which are those of all the data.
        """
        if hasattr(self, "model_"):
            x = self._observations(X, fewest=2)
            with _value_errors():
                self.model_.check_data(x)
        else:
            x = self._start(X, whole=False)
        self._epoch(x)
        self.labels_ = self._encode(x).assignments.astype(np.int64)
        return self

    def _start(self, X: ArrayLike, whole: bool = True) -> Tensor:
        """Build an untrained model for X, prepare it as a run does, and return X on its device.

        X is the whole data, or the first part of them. What they are refused for leaves an estimator
        that is not fitted.
        """
        for name in ("model_", "labels_"):  # of an earlier fit
            if hasattr(self, name):
                delattr(self, name)
        x = self._observations(X, reset=True, fewest=2)
        with _value_errors():
            device = make_fabric(self._run_config()).device
            self._name, settings = chosen_model(self._models, self.get_params(deep=False))
            self.seed_ = self._draw_seed()
            model = create(self._name, settings, tuple(x.shape[1:]), self._stream("start"))
            if not whole and isinstance(model, TaughtModel) and model.starts_from_clusters:
                raise MixvizError(
                    f"init={model.start} looks for clusters in all the data; "
                    "take `fit`, or init=random."
                )
            place(model, device)
            model.train()
            model.make_optimizers()
            noise = self._stream("noise", device=device)
            x = x.to(device)
            with self._threads():
                model.prepare(x, noise)
        self.model_: MixtureModel = model
        self._noise = noise
        self.history_: list[dict[str, float]] = []
        return x

    def _epoch(self, x: Tensor, prepared: bool = False) -> dict[str, float]:
        """Train on all of x once, in a run's order, and return the means of the terms.

        Only of the data that the model was prepared for does it know the rows.
        """
        epoch, model = len(self.history_), self.model_
        with _value_errors():
            size = self._run_config().batch_size
        order = shuffled_batches(len(x), size, self.seed_, epoch, x.device)
        pretraining = getattr(model, "pretraining", False)
        before = "pretrain_" if pretraining and hasattr(self, "pretrain_learning_rate") else ""
        with self._threads(), _value_errors():
            steps = []
            for batch in order:
                model.rows = batch if prepared else None
                steps.append(model.training_step(x[batch], self._noise))
            model.end_epoch(epoch + 1, x, self._noise)
        terms = mean_of_steps(steps)
        self.history_.append(terms)
        for name, value in terms.items():
            if not np.isfinite(value):
                raise Diverged(
                    f"{name} was not finite in epoch {epoch + 1:,}; scale the data, or take a "
                    f"smaller {before}learning_rate."
                )
        for callback in self.callbacks or ():
            callback(self, epoch + 1, terms)
        return terms

    # ---- what a fitted model gives ---------------------------------------------------------

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Most probable component of each observation (N,)."""
        return self._encode(self._observations(X)).assignments.astype(np.int64)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probability of each component given each observation (N, n_components)."""
        return self._encode(self._observations(X)).responsibilities

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Latent means of the observations (N, D)."""
        return self._encode(self._observations(X)).latents

    def inverse_transform(self, Z: ArrayLike) -> np.ndarray:
        """Decode latents (N, D) into means of p(x|z): observations in the shape of those fitted."""
        check_is_fitted(self)
        latents = check_array(Z, dtype=np.float32, input_name="Z")
        if latents.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {latents.shape[1]} latent dimensions, and {type(self).__name__} was fitted "
                f"with {self._n_features_out}."
            )
        with evaluating(self.model_):
            return self._given(
                [self.model_.decode(z) for z in self._batches(torch.tensor(latents))]
            )

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw components, their latents, and the means of p(x|z) there.

        An int `random_state` gives the same sample at every call.

        Returns
        -------
        X : ndarray (n_samples, *input_shape_)
        components : ndarray (n_samples,)
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples={n_samples} must be at least 1.")
        seed = self._draw_seed()
        generator = stream(seed, "snapshot", device=self._device)
        weights = torch.from_numpy(self.weights_)
        components = torch.multinomial(
            weights, n_samples, replacement=True, generator=stream(seed, "snapshot")
        )
        with evaluating(self.model_):
            parts = [self.model_.sample(c, generator) for c in self._batches(components)]
        return self._given(parts), components.numpy()

    @available_if(_has_bound)
    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Lower bound on log p(x) of each observation, in nats (N,).

        The mean over ten draws of the latents, whose noise is the same for every observation and at
        every call.
        """
        x = self._observations(X)
        with evaluating(self.model_), self._threads():
            if getattr(self.model_, "pretraining", False):
                raise ValueError(
                    "The model is still being pretrained and has no bound; take more epochs than pretrain_epochs."
                )
            return torch.cat([self._bounds(part) for part in x.split(_SCORED)]).cpu().numpy()

    @available_if(_has_bound)
    def score(self, X: ArrayLike, y: object = None) -> float:
        """Lower bound on log p(x), in nats, mean over the observations."""
        return float(self.score_samples(X).mean(dtype=np.float64))

    def _bounds(self, x: Tensor) -> Tensor:
        """Evaluate the terms of each observation (B, *shape) as a batch of its own: (B,)."""
        generator = self._stream("evaluation", device=x.device)

        def bound(one: Tensor) -> Tensor:
            terms = self.model_.evaluate_terms(one.expand(_DRAWS, *one.shape), generator)
            return torch.stack([sign * terms[name] for name, sign in self._bound.items()]).sum()

        bounds: Tensor = torch.vmap(bound, randomness="same")(x)
        return bounds

    @property
    def means_(self) -> np.ndarray:
        """Means of the components in latent space (n_components, D)."""
        return self._mixture()[0]

    @property
    def covariances_(self) -> np.ndarray:
        """Variances (n_components, D), or covariances (n_components, D, D) if not diagonal."""
        return self._mixture()[1]

    @property
    def weights_(self) -> np.ndarray:
        """Probabilities of the components (n_components,)."""
        return self._mixture()[2]

    @property
    def _n_features_out(self) -> int:
        return int(self.means_.shape[1])

    # ---- between arrays and tensors --------------------------------------------------------

    def _observations(self, X: ArrayLike, *, reset: bool = False, fewest: int = 1) -> Tensor:
        """Validate X and return it as the model takes it: float32 (N, *shape), on its device."""
        if not reset:
            check_is_fitted(self)
        given = X if hasattr(X, "ndim") else np.asarray(X)
        shape: tuple[int, ...] | None = None
        if given.ndim > 2:
            given = check_array(given, dtype=np.float32, allow_nd=True, ensure_min_samples=fewest)
            shape = given.shape[1:]
            if len(shape) > 3:
                raise ValueError(f"Images have two or three dimensions each, these have {shape}.")
            if not reset and shape != self.input_shape_:
                raise ValueError(
                    f"X has observations of shape {shape}, and {type(self).__name__} was fitted "
                    f"with {self.input_shape_}."
                )
            given = given.reshape(len(given), -1)
        x = validate_data(
            self, given, reset=reset, dtype=np.float32, order="C", ensure_min_samples=fewest
        )
        if reset:
            self.input_shape_ = shape or x.shape[1:]
        tensor = torch.tensor(x).unflatten(1, self._model_shape)
        return tensor if reset else tensor.to(self._device)

    @property
    def _model_shape(self) -> tuple[int, ...]:
        """Shape of an observation in the model: (D,) or (C, H, W)."""
        return (1, *self.input_shape_) if len(self.input_shape_) == 2 else self.input_shape_

    @property
    def _device(self) -> torch.device:
        return next(self.model_.parameters()).device

    def _batches(self, values: Tensor) -> Iterator[Tensor]:
        return iter(values.to(self._device).split(BATCH[len(self.input_shape_) == 1]))

    def _given(self, parts: Sequence[Tensor]) -> np.ndarray:
        """Join observations of the model, as an array in the shape of those fitted."""
        values: np.ndarray = torch.cat(list(parts)).cpu().numpy()
        return values.reshape(-1, *self.input_shape_)

    def _encode(self, x: Tensor) -> Encoded:
        with evaluating(self.model_):
            return encode(self.model_, x)

    def _mixture(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with evaluating(self.model_):
            return mixture_arrays(self.model_)

    # ---- settings and randomness -----------------------------------------------------------

    def _run_config(self) -> RunConfig:
        names = ("epochs", "batch_size", "device")
        return build(RunConfig, {name: plain(getattr(self, name)) for name in names})

    def _draw_seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)) and self.random_state >= 0:
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _stream(
        self, purpose: str, index: int = 0, device: torch.device | str = "cpu"
    ) -> torch.Generator:
        return stream(self.seed_, purpose, index, device)

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Compute on as many threads as are fastest, and give them back."""
        before = torch.get_num_threads()
        vectors = len(self.input_shape_) == 1
        use_threads(RunConfig(threads=None if vectors else before), self._model_shape)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    # ---- scikit-learn ----------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Leave the model itself out: it is built again from its settings and tensors."""
        state: dict[str, Any] = dict(super().__getstate__())
        if "model_" in state:
            del state["_noise"]
            state["model_"] = pack(self._name, self.model_, self._noise)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "model_" in state:
            stored, epoch = state["model_"], len(state["history_"])
            state["model_"], state["_noise"] = unpack(stored, state["seed_"], epoch)
        super().__setstate__(state)


@contextmanager
def _value_errors() -> Iterator[None]:
    """Raise what the user can mend as scikit-learn does, by the names it has there."""
    try:
        yield
    except Diverged:
        raise
    except MixvizError as error:
        raise ValueError(re.sub(r"\bcomponents=", "n_components=", str(error))) from error
