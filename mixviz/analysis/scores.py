"""Quality of generated data by Fréchet distance and Inception score, with a feature network by name.

The standard network is torch-fidelity's Inception v3, where its weights are on this machine; nothing
is fetched. Otherwise the encoder and the components of a run serve: such numbers compare models with
each other, and are no FID of the literature.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from mixviz.analysis.encoded import Report, checkpoint_hash, saved_model, silent
from mixviz.analysis.generation import prior_samples
from mixviz.errors import MixvizError
from mixviz.models import MODELS, MixtureModel
from mixviz.models.classical import ClassicalModel
from mixviz.runs import Run, RunStore, Status
from mixviz.runs.artifacts import fingerprint
from mixviz.training.config import Plan

KIND = "generation-scores"
STANDARD = "inception-v3"
WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
_BATCH = 100
_FEATURES = 2048


@dataclass(frozen=True)
class GenerationScores:
    """Fréchet distance (lower is better), Inception score (higher) with its deviation over splits."""

    frechet: float
    inception: float
    inception_deviation: float
    count: int


def standard_weights() -> Path | None:
    """Path of the standard network's weights, None if they are not on this machine."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    at_hand = path.is_file() and importlib.util.find_spec("torch_fidelity") is not None
    return path if at_hand else None


def preferred_network(run: Run, others: Iterable[Run]) -> str:
    """Choose, of runs on data of one shape, the one whose encoder serves as the feature network.

    Its encoder has to have learned something, which that of k-means and of a Gaussian mixture of
    data has not: it is the identity; and its components have to tell classes apart. It should know
    these data, and see in them what the model scored does; so it is the same kind of model on the same
    data set where there is one. Of several the earliest, so that further runs do not change it and
    their scores can be compared.
    """

    def unfit(other: Run) -> tuple[bool, ...]:
        known = MODELS.get(other.model)
        return (
            known is None or issubclass(known, ClassicalModel),
            other.config["settings"].get("components") == 1,  # its classes are all one
            other.dataset != run.dataset,
            other.status is not Status.FINISHED,
            other.model != run.model,
        )

    return min(others, key=lambda other: (unfit(other), other.created, other.id)).id


def scores_key(store: RunStore, run: str, network: str, count: int, seed: int) -> str:
    """Key of the artifact that `score_task` writes for the same parameters."""
    return fingerprint(
        checkpoint=checkpoint_hash(store, run),
        network=network if network == STANDARD else checkpoint_hash(store, network),
        count=count,
        seed=seed,
    )


def kept_scores(store: RunStore, key: str) -> GenerationScores | None:
    """Return scores that were computed before."""
    kept = store.artifacts.read(KIND, key)
    if kept is None:
        return None
    frechet, inception, deviation, count = kept["values"].tolist()
    return GenerationScores(frechet, inception, deviation, int(count))


def score_task(
    store: RunStore, report: Report, run: str, network: str, count: int, seed: int = 0
) -> None:
    """Score a run's samples against its evaluation data, as a task.

    Parameters
    ----------
    network
        `STANDARD`, or the run whose encoder gives the features and whose components the classes.

    Raises
    ------
    MixvizError
        When the network is not at hand or takes other data.
    """
    saved = saved_model(store, run)
    plan = Plan.from_json(store.get(run).config)
    data = plan.load(plan.run.scored_split)
    order = np.random.default_rng(seed).permutation(len(data))[:count]
    drawn = prior_samples(saved, count, seed=seed)
    if network == STANDARD:
        values = _standard(data.x[order], drawn, report)
    else:
        other = saved_model(store, network)
        if other.model.shape != data.shape:
            raise MixvizError(
                f"Run {network} takes data of shape {other.model.shape}, not {data.shape}."
            )
        values = frechet_and_inception(
            data.x[order],
            drawn,
            _Features(other.model, other.device),
            _Classes(other.model, other.device),
            report,
        )
    numbers = np.array([*values, len(order)], np.float64)
    store.artifacts.write(KIND, scores_key(store, run, network, count, seed), {"values": numbers})


class _Features(nn.Module):
    """Latent means of a run's encoder."""

    def __init__(self, model: MixtureModel, device: torch.device):
        super().__init__()
        self.model, self.device = model, device
        self.num_features = int(model.components().means.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        return self.model.posterior(x.to(self.device))[0].float().cpu()


class _Classes(nn.Module):
    """Log-responsibilities of a run's components."""

    def __init__(self, model: MixtureModel, device: torch.device):
        super().__init__()
        self.model, self.device = model, device

    def forward(self, x: Tensor) -> Tensor:
        return self.model.log_responsibilities(x.to(self.device)).float().cpu().clamp(min=-80)


def frechet_and_inception(
    real: np.ndarray,
    drawn: np.ndarray,
    features: nn.Module,
    classes: nn.Module,
    report: Report = silent,
) -> tuple[float, float, float]:
    """Fréchet distance of features, and Inception score of classes with its deviation.

    The score is the mean over ten parts, or over as many as have a hundred samples each, at least two:
    a part cannot show more classes than it has samples, and one has no deviation.

    Parameters
    ----------
    real : (N, *shape), drawn : (M, *shape)
    features
        Module with `num_features`.
    classes
        Module that gives the logits of classes.
    """
    distance = FrechetInceptionDistance(features, normalize=True)
    score = InceptionScore(classes, splits=max(2, min(10, len(drawn) // 100)))
    total, done = len(real) + len(drawn), 0
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # InceptionScore shuffles before it splits
        for observations, is_real in ((real, True), (drawn, False)):
            for batch in torch.from_numpy(np.ascontiguousarray(observations)).split(_BATCH):
                distance.update(batch, real=is_real)
                if not is_real:
                    score.update(batch)
                done += len(batch)
                report(done / total, f"Features of {total:,} observations")
        mean, deviation = score.compute()
        return float(distance.compute()), float(mean), float(deviation)


def _standard(real: np.ndarray, drawn: np.ndarray, report: Report) -> tuple[float, float, float]:
    weights = standard_weights()
    if weights is None:
        raise MixvizError(
            f"Inception v3 is not at hand: install torch-fidelity and put {WEIGHTS} into the "
            "checkpoints folder of torch.hub, or choose a run as the network."
        )
    if real.ndim != 4:
        raise MixvizError("Inception v3 takes images; choose a run as the network.")
    from torchmetrics.image.fid import NoTrainInceptionV3

    # torch-fidelity unpickles whatever the file holds; this refuses all but tensors before.
    torch.load(weights, weights_only=True)
    network = NoTrainInceptionV3(
        "inception-v3-compat",
        [str(_FEATURES), "logits_unbiased"],
        feature_extractor_weights_path=str(weights),
    )
    cache = _Inception(network)
    return frechet_and_inception(real, drawn, cache.features, cache.classes, report)


class _Inception:
    """Both answers of the standard network from one pass."""

    def __init__(self, network: nn.Module):
        self.network = network
        self.features, self.classes = _Answer(self, 0), _Answer(self, 1)
        self._seen: Tensor | None = None
        self._answers: tuple[Tensor, ...] = ()

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        if self._seen is not x:
            pixels = (x.clamp(0, 1) * 255).round().byte().expand(-1, 3, -1, -1)
            self._seen, self._answers = x, _both(self.network, pixels)
        return self._answers


class _Answer(nn.Module):
    def __init__(self, both: _Inception, place: int):
        super().__init__()
        self._ask, self._place = both.__call__, place
        self.num_features = _FEATURES

    def forward(self, x: Tensor) -> Tensor:
        return self._ask(x)[self._place]


def _both(network: Any, pixels: Tensor) -> tuple[Tensor, ...]:
    answers = network._torch_fidelity_forward(pixels)
    return tuple(answer.reshape(len(pixels), -1) for answer in answers)
