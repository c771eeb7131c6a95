"""ResNet-50 features of image sets: 2048 numbers per image, computed once and kept on disk.

A colour or grey image is resized to 224x224 pixels by a bilinear filter and passes through the
ResNet-50 that torchvision trained on ImageNet; its last feature map (2048, 7, 7) is averaged over
the 7x7 positions (NVISA, section III-A). Features are standardised with the mean and the
standard deviation of the training part, which are kept beside them.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from mixviz.arrays import load_array
from mixviz.data.dataset import Dataset
from mixviz.data.downloads import Progress, data_root, watched, within
from mixviz.errors import MixvizError

if TYPE_CHECKING:
    from torch import Tensor

    Network = Callable[[Tensor], Tensor]

DIMENSIONS = 2048
SIDE = 224
BATCH = 16  # a processor takes seconds for these, and progress is reported after each batch
# IMAGENET1K_V1, trained as He et al. did: the later weights are better than the papers had.
WEIGHTS_URL = "https://download.pytorch.org/models/resnet50-0676ba61.pth"
_WEIGHTS_SHA256 = "0676ba61"
_WEIGHTS_BYTES = 102_530_333
_IMAGENET_SCALING = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean, deviation per channel

Read = Callable[[str], Dataset]


def at_hand(images: str, splits: Sequence[str]) -> bool:
    """Whether features of each part of the image set called `images` are on disk."""
    return all(any(_folder().glob(f"{images}-resnet50-{part}-*.npy")) for part in _parts(splits))


def read(name: str, images: str, read_images: Read, split: str) -> Dataset:
    """Return the features of one part of an image set, with the labels of `read_images`.

    Raises
    ------
    OSError, ValueError
        When there are no features of exactly these images, or they are damaged.
    """
    data = read_images(split)
    path = _path(images, split, data)
    if not path.is_file():
        raise ValueError(f"those in {path.parent} were computed from other images")
    if not _holds(path, len(data)):
        raise ValueError(f"{path.name} is damaged")
    x = load_array(path)
    scaling = "ResNet-50 features, standardised with the training part's mean and deviation"
    return replace(data, name=name, x=x, kind="vector", scaling=scaling)


def make(images: str, read_images: Read, splits: Sequence[str], progress: Progress) -> None:
    """Compute and store the features of an image set, the training part first.

    Parts that are there, of these very images, are not computed again; features of other images
    of the same name are deleted.

    Raises
    ------
    MixvizError
        When the weights cannot be had.
    OSError, RuntimeError
        When the disk fails, or there is not enough memory.
    """
    compute = None
    kept = set()
    for number, split in enumerate(splits):
        data = read_images(split)
        path = _path(images, split, data)
        if number == 0:
            scaling = _path(images, "scaling", data)
        if not (_holds(path, len(data)) and _holds(scaling, 2)):
            if compute is None:
                fetch_weights(within(progress, 0, 1 + len(splits)))
                compute = network()
            x = _features(compute, data, within(progress, 1 + number, 1 + len(splits)))
            if number == 0:
                _save(scaling, _mean_and_deviation(x))
            mean, deviation = load_array(scaling)
            x -= mean
            x /= deviation
            _save(path, x)
        kept |= {path, scaling}
    for part in _parts(splits):
        for stale in set(_folder().glob(f"{images}-resnet50-{part}-*.npy")) - kept:
            stale.unlink()


def fetch_weights(progress: Progress) -> None:
    """Download ResNet-50's weights into `data_root()` unless they are there.

    Raises
    ------
    MixvizError
        When the network fails; the message says how to get them by hand.
    """
    path = _weights()
    if path.is_file():
        return
    import torch.hub

    def fetch() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(WEIGHTS_URL, str(path), hash_prefix=_WEIGHTS_SHA256)

    def share() -> float:
        there = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
        return min(1.0, there / _WEIGHTS_BYTES)

    try:
        watched(fetch, share, progress)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise MixvizError(
            f"The weights of ResNet-50 could not be downloaded ({reason}); "
            f"get {path.name} from {WEIGHTS_URL} and put it into {path.parent}."
        ) from error


def network() -> "Network":
    """Return the function from images in [0, 1], (B, 1 or 3, H, W), to features (B, 2048).

    Raises
    ------
    MixvizError
        When the weights are missing or damaged.
    """
    import torch
    import torchvision.models

    path = _weights()
    with torch.device("meta"):  # no weights are drawn that would be thrown away
        resnet = torchvision.models.resnet50()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        resnet.load_state_dict(weights, assign=True)
    except Exception as error:  # a damaged file makes PyTorch raise many kinds
        raise MixvizError(
            f"The weights of ResNet-50 in {path} cannot be read; "
            f"delete that file and get it again from {WEIGHTS_URL}."
        ) from error
    resnet.fc = torch.nn.Identity()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    resnet.eval().to(device)
    return lambda images: resnet(prepared(images.to(device))).cpu()


def prepared(images: "Tensor") -> "Tensor":
    """Images in [0, 1] as the network sees them: (B, 1 or 3, H, W) to (B, 3, 224, 224)."""
    import torch

    resized = torch.nn.functional.interpolate(
        images.expand(-1, 3, -1, -1), (SIDE, SIDE), mode="bilinear", antialias=True
    )
    mean, deviation = torch.tensor(_IMAGENET_SCALING, device=images.device).view(2, 3, 1, 1)
    return (resized - mean) / deviation


def _features(compute: "Network", data: Dataset, progress: Progress) -> np.ndarray:
    """Return features (N, 2048), not scaled; draws a progress bar on stderr too."""
    import torch
    from tqdm import tqdm

    x = np.empty((len(data), DIMENSIONS), np.float32)
    with (
        torch.inference_mode(),
        tqdm(total=len(data), desc=f"{data.name}, {data.split}", file=sys.stderr) as bar,
    ):
        for start in range(0, len(data), BATCH):
            batch = torch.from_numpy(data.x[start : start + BATCH])
            x[start : start + BATCH] = compute(batch).numpy()
            bar.update(len(batch))
            progress((start + len(batch)) / len(data))
    return x


def _mean_and_deviation(x: np.ndarray) -> np.ndarray:
    """Mean and standard deviation (2, D) of features; 1 where a feature never changes."""
    deviation = x.std(0, dtype=np.float64)
    scaling = np.stack([x.mean(0, dtype=np.float64), np.where(deviation > 0, deviation, 1)])
    return scaling.astype(np.float32)


def _parts(splits: Sequence[str]) -> tuple[str, ...]:
    return (*splits, "scaling")


def _folder() -> Path:
    return data_root() / "features"


def _weights() -> Path:
    return data_root() / "weights" / WEIGHTS_URL.rpartition("/")[2]


def _path(images: str, part: str, data: Dataset) -> Path:
    """File of one part; its name holds the hash of the images, without their labels."""
    digest = replace(data, labels=None).content_hash
    return _folder() / f"{images}-resnet50-{part}-{digest[:16]}.npy"


def _holds(path: Path, rows: int) -> bool:
    """Whether a file is there and holds that many rows of features."""
    try:
        array = load_array(path, mapped=True)
    except (OSError, ValueError, EOFError):
        return False
    return array.shape == (rows, DIMENSIONS) and array.dtype == np.float32


def _save(path: Path, array: np.ndarray) -> None:
    """Write an array so that its file is never found half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
