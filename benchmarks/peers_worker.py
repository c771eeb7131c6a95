"""Fits one model of another library and answers with its labels, in the environment of the peers.

    .venv-peers/bin/python benchmarks/peers_worker.py JOB.json

`peers.py` writes the job: observations as .npy, library, model, settings, epochs by stage, seed. The
answer is JSON on stdout: labels by the name under which the library gives them, seconds of the whole fit
and of each epoch. Nothing of mixviz is imported here, and nothing is unpickled.
"""

import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

Job = dict[str, Any]
Labels = dict[str, np.ndarray]
Fit = Callable[[Job, np.ndarray], tuple[Labels, dict[str, list[float]]]]

_ENCODED = 2_000  # observations encoded in one pass


def main(fits: dict[str, Callable[[str], Fit]]) -> None:
    """Do the job that the command line names; `fits` imports a library and returns its fit."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    x = np.load(job["x"], allow_pickle=False)
    with redirect_stdout(sys.stderr):
        fit = fits[job["library"]](job["model"])  # the import is not timed
        torch.manual_seed(job["seed"])
        began = time.perf_counter()
        labels, stages = fit(job, x)
        seconds = time.perf_counter() - began
    answer = {
        "labels": {name: np.asarray(found).astype(int).tolist() for name, found in labels.items()},
        "seconds": seconds,
        "stages": stages,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "versions": {name: version(name) for name in (job["library"], "torch")},
    }
    print(json.dumps(answer))


def split_stages(seconds: list[float], epochs: dict[str, int]) -> dict[str, list[float]]:
    """Share the seconds of all epochs, in their order, among the stages."""
    stages, done = {}, 0
    for name, count in epochs.items():
        stages[name] = seconds[done : done + count]
        done += count
    return stages


def of_clustpy(model: str) -> Fit:
    """VaDE and DEC of ClustPy: an autoencoder, then the clusters."""
    from clustpy.deep import DEC, VaDE, get_dataloader
    from clustpy.deep.neural_networks import FeedforwardAutoencoder
    from clustpy.deep.vade import _VaDE_VAE
    from torch.utils.data import DataLoader

    # VaDE builds the same class where no network is given: a VAE that is pretrained without noise.
    estimator, network, own = {
        "VaDE": (VaDE, _VaDE_VAE, "vade_labels_"),
        "DEC": (DEC, FeedforwardAutoencoder, "dec_labels_"),
    }[model]
    seconds: list[float] = []

    class Timed(DataLoader):
        def __iter__(self) -> Any:
            began = time.perf_counter()
            yield from super().__iter__()
            seconds.append(time.perf_counter() - began)

    def fit(job: Job, x: np.ndarray) -> tuple[Labels, dict[str, list[float]]]:
        settings = dict(job["settings"])
        flat = x.reshape(len(x), -1)
        if "hidden" in settings:
            units = [flat.shape[1], *settings.pop("hidden"), settings["embedding_size"]]
            settings["neural_network"] = (network, {"layers": units})
        size = settings.get("batch_size", 256)
        plain = get_dataloader(flat, size, shuffle=True)
        fitted = estimator(
            n_clusters=job["clusters"],
            random_state=job["seed"],
            device="cpu",
            custom_dataloaders=(
                Timed(plain.dataset, batch_size=size, shuffle=True),
                get_dataloader(flat, size, shuffle=False),
            ),
            **settings,
            **job["epochs"],
        ).fit(flat)
        labels = {name: getattr(fitted, name) for name in ("labels_", own)}
        return labels, split_stages(seconds, job["epochs"])

    return fit


def of_pythae(model: str) -> Fit:
    """VAMP of pythae, a VAE without labels: k-means and a Gaussian mixture on the means of q(z|x)."""
    from pythae.models import VAMP, VAMPConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture
    from torch import nn

    assert model == "VAMP"

    class Encoder(BaseEncoder):
        def __init__(self, size: int, hidden: list[int], latent: int):
            super().__init__()
            self.trunk = nn.Sequential(nn.Flatten(), *_layers([size, *hidden]))
            self.mean = nn.Linear(hidden[-1], latent)
            self.log_variance = nn.Linear(hidden[-1], latent)

        def forward(self, x: torch.Tensor) -> ModelOutput:
            seen = self.trunk(x)
            return ModelOutput(embedding=self.mean(seen), log_covariance=self.log_variance(seen))

    class Decoder(BaseDecoder):
        def __init__(self, shape: tuple[int, ...], hidden: list[int], latent: int):
            super().__init__()
            self.shape = shape
            self.trunk = nn.Sequential(*_layers([latent, *hidden[::-1]]))
            self.output = nn.Linear(hidden[0], math.prod(shape))

        def forward(self, z: torch.Tensor) -> ModelOutput:
            x = self.output(self.trunk(z)).sigmoid()
            return ModelOutput(reconstruction=x.unflatten(1, self.shape))

    class Clock(TrainingCallback):
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_epoch_begin(self, training_config: Any, **rest: Any) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, training_config: Any, **rest: Any) -> None:
            self.seconds.append(time.perf_counter() - self.began)

    def fit(job: Job, x: np.ndarray) -> tuple[Labels, dict[str, list[float]]]:
        settings = dict(job["settings"])
        hidden, shape = settings.pop("hidden", None), x.shape[1:]
        of_training = {
            name: settings.pop(name)
            for name in ("per_device_train_batch_size",)
            if name in settings
        }
        config = VAMPConfig(input_dim=shape, **settings)
        networks = {}
        if hidden:
            latent = config.latent_dim
            networks = {
                "encoder": Encoder(math.prod(shape), hidden, latent),
                "decoder": Decoder(shape, hidden, latent),
            }
        vae, clock = VAMP(config, **networks), Clock()
        with tempfile.TemporaryDirectory() as folder:
            training = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=job["epochs"]["num_epochs"],
                seed=job["seed"],
                no_cuda=True,
                **of_training,
            )
            TrainingPipeline(vae, training)(x, callbacks=[clock])
        vae.eval()
        with torch.no_grad():
            parts = torch.from_numpy(x).split(_ENCODED)
            latents = torch.cat([vae.encoder(part).embedding for part in parts]).numpy()
        count, seed = job["clusters"], job["seed"]
        labels = {
            "k-means of latents": KMeans(count, n_init=10, random_state=seed).fit_predict(latents),
            "GMM of latents": GaussianMixture(count, n_init=10, random_state=seed).fit_predict(
                latents
            ),
        }
        return labels, {"num_epochs": clock.seconds}

    return fit


def _layers(sizes: list[int]) -> list[Any]:
    pairs = pairwise(sizes)
    return [layer for i, o in pairs for layer in (torch.nn.Linear(i, o), torch.nn.ReLU())]


if __name__ == "__main__":
    main({"clustpy": of_clustpy, "pythae": of_pythae})
