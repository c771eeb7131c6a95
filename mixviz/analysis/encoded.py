"""Latents and responsibilities of a whole data set under a run's model, kept as an artifact."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mixviz.data import Dataset
from mixviz.errors import MixvizError
from mixviz.runs import RunStore
from mixviz.runs.artifacts import fingerprint

if TYPE_CHECKING:
    from mixviz.training.saved import Saved

# What imports PyTorch is imported by the function that needs it: a map of kept latents begins at once.

KIND = "encoded"
Report = Callable[[float, str], None]  # share done in [0, 1], what is being done


def silent(share: float, text: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """What a model makes of N observations.

    Attributes
    ----------
    key
        Hash of the checkpoint and the data; keys of everything computed from this contain it.
    data
        The observations, in the order of the rows.
    step
        Step of the checkpoint.
    latents : (N, D) float32, means of q(z|x)
    log_responsibilities : (N, K) float32, log q(c|x)
    """

    key: str
    data: Dataset
    step: int
    latents: np.ndarray
    log_responsibilities: np.ndarray

    @cached_property
    def responsibilities(self) -> np.ndarray:
        """q(c|x), (N, K)."""
        return np.exp(self.log_responsibilities)

    @cached_property
    def assignments(self) -> np.ndarray:
        """Most probable component (N,)."""
        return self.log_responsibilities.argmax(1)

    @cached_property
    def confidences(self) -> np.ndarray:
        """Probability of the most probable component (N,)."""
        return np.exp(self.log_responsibilities.max(1))

    @cached_property
    def entropies(self) -> np.ndarray:
        """Entropy of q(c|x) in nats (N,), from 0 to log K."""
        return -(self.responsibilities * np.maximum(self.log_responsibilities, -1e3)).sum(1)


def checkpoint_hash(store: RunStore, run: str) -> str:
    """Hash of a run's last checkpoint: weights and live settings.

    Raises
    ------
    MixvizError
        When the run has no checkpoint.
    """
    from mixviz.training.checkpoints import has_checkpoint

    folder = store.checkpoint_folder(run)
    if not has_checkpoint(folder):
        raise MixvizError(
            f"Run {run} has no checkpoint yet; press Checkpoint on Train, or Resume where it has ended, "
            "and wait for the first."
        )
    stamps = []
    for name in ("model.safetensors", "state.json"):
        stat = (folder / name).stat()
        stamps.append((name, stat.st_mtime_ns, stat.st_size))
    return _hash_of(str(folder), tuple(stamps))


@lru_cache(maxsize=64)
def _hash_of(folder: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for name, _, _ in stamps:
        with open(f"{folder}/{name}", "rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def saved_model(store: RunStore, run: str) -> "Saved":
    """Return a run's model as its last checkpoint left it, loaded once while that stays the same."""
    return _load(store, run, checkpoint_hash(store, run))


@lru_cache(maxsize=4)
def _load(store: RunStore, run: str, checkpoint: str) -> "Saved":
    from mixviz.training.saved import load_run

    return load_run(store, run)


def encoding_key(
    store: RunStore, run: str, dataset: str | None = None, part: str | None = None
) -> tuple[str, Dataset]:
    """Return the key under which an encoding is kept, and its data; as `encode_run`."""
    from mixviz.training.config import Plan

    plan = Plan.from_json(store.get(run).config)
    data = plan.load(part or plan.run.scored_split, dataset)
    return fingerprint(checkpoint=checkpoint_hash(store, run), data=data.content_hash), data


def encode_run(
    store: RunStore,
    run: str,
    dataset: str | None = None,
    part: str | None = None,
    report: Report = silent,
) -> Encoding:
    """Encode a data set with a run's model, or read what was kept of the last time.

    Parameters
    ----------
    dataset
        A data set of the shape that the run was trained on; by default its own.
    part
        `train`, `test` or `all`; by default the part on which the run is scored.

    Raises
    ------
    MixvizError
        When there is no checkpoint, the data cannot be had, or they have another shape.
    """
    key, data = encoding_key(store, run, dataset, part)
    kept = store.artifacts.read(KIND, key)
    if kept is None:
        kept = _encoded(saved_model(store, run), data, report)
        store.artifacts.write(KIND, key, kept)
    return Encoding(key, data, int(kept["step"]), kept["latents"], kept["log_responsibilities"])


def _encoded(saved: "Saved", data: Dataset, report: Report) -> dict[str, np.ndarray]:
    import torch

    from mixviz.training.device import make_fabric
    from mixviz.training.observe import BATCH, evaluating

    model = saved.model
    if data.shape != model.shape:
        raise MixvizError(
            f"This run was trained on data of shape {model.shape}, {data.name} has shape {data.shape}."
        )
    latents, log_responsibilities = [], []
    with make_fabric(saved.plan.run, model.on_host).autocast(), evaluating(model):
        for batch in torch.from_numpy(data.x).split(BATCH[data.kind == "vector"]):
            means, log_c = model.encode(batch.to(saved.device))
            latents.append(means.float().cpu())
            log_responsibilities.append(log_c.float().cpu())
            done = sum(map(len, latents)) / len(data)
            report(done, f"Encoding {len(data):,} observations")
    return {
        "step": np.array(saved.step),
        "latents": torch.cat(latents).numpy(),
        "log_responsibilities": torch.cat(log_responsibilities).numpy(),
    }
