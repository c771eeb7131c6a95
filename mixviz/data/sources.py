"""Which data sets there are, whether they can be had, and how to load one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache, partial

from mixviz.data import images, synthetic
from mixviz.data.dataset import Dataset, Kind, joined
from mixviz.errors import MixvizError, unknown


@dataclass(frozen=True)
class Source:
    """A data set that can be asked for by name, described without loading it."""

    name: str
    title: str
    kind: Kind
    shape: tuple[int, ...]
    size: int  # observations in the training part
    classes: int
    read: Callable[[str], Dataset]
    train_split: str = "train"
    test_split: str = "test"
    torchvision_class: str | None = None

    @property
    def missing(self) -> str | None:
        """Why the set cannot be loaded and the command that gets it, or None if it can."""
        if self.torchvision_class is None:
            return None
        files = images.torchvision_files(self.torchvision_class)
        if all(file.is_file() for file in files):
            return None
        return (
            f"{self.title} is not in {images.data_root()}; get it with: mixviz download {self.name}"
        )

    def download(self, progress: Callable[[float], None] | None = None) -> None:
        """Fetch the files into `data_root()`; torchvision draws a progress bar on stderr too.

        Parameters
        ----------
        progress
            Called a few times a second with the share of the bytes that are there, in [0, 1].

        Raises
        ------
        MixvizError
            When the set is not one that can be downloaded, or the network fails.
        """
        if self.torchvision_class is None:
            raise MixvizError(f"{self.title} comes with the program; there is nothing to download.")
        fetch = partial(images.torchvision_images, self.name, self.torchvision_class, "train", True)
        try:
            with ThreadPoolExecutor(1) as worker:
                fetching = worker.submit(fetch)
                while progress and not wait([fetching], timeout=0.3).done:
                    progress(images.downloaded_share(self.torchvision_class))
                fetching.result()
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise MixvizError(
                f"{self.title} could not be downloaded ({reason}); check the network, or put its "
                f"files under {images.data_root()} and set MIXVIZ_DATA to that folder."
            ) from error


def _torchvision_source(name: str, title: str, class_name: str) -> Source:
    return Source(
        name,
        title,
        "image",
        (1, 28, 28),
        60_000,
        10,
        partial(images.torchvision_images, name, class_name),
        torchvision_class=class_name,
    )


SOURCES: dict[str, Source] = {
    item.name: item
    for item in (
        Source("arcs", "Arcs", "vector", (2,), synthetic.POINTS, 5, synthetic.arcs),
        Source("pinwheel", "Pinwheel", "vector", (2,), synthetic.POINTS, 5, synthetic.pinwheel),
        Source("digits", "Digits 8x8", "image", (1, 8, 8), 1797, 10, images.digits, "all", "all"),
        _torchvision_source("mnist", "MNIST", "MNIST"),
        _torchvision_source("fashion-mnist", "Fashion-MNIST", "FashionMNIST"),
    )
}


def source(name: str) -> Source:
    """Return the source called `name`; raise `MixvizError` naming the choices if there is none."""
    if name not in SOURCES:
        raise unknown("data set", name, SOURCES)
    return SOURCES[name]


def load(name: str, part: str = "train") -> Dataset:
    """Load the training or the evaluation part of a data set.

    Parameters
    ----------
    name
        A key of `SOURCES`.
    part
        `train`, `test` or `all`. A set without an official split gives all of it for each.

    Raises
    ------
    MixvizError
        When there is no such set, or its files are missing or damaged.
    """
    found = source(name)
    if found.missing:
        raise MixvizError(found.missing + ".")
    splits = {"train": found.train_split, "test": found.test_split}
    try:
        if part == "all" and found.train_split != found.test_split:
            return joined(
                *(_read(name, split, str(images.data_root())) for split in splits.values())
            )
        return _read(name, splits.get(part, "all"), str(images.data_root()))
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
        # torchvision asserts what it reads in a header, without a message.
        reason = str(error) or type(error).__name__
        raise MixvizError(
            f"The files of {found.title} cannot be read ({reason}); "
            f"delete them and run: mixviz download {name}."
        ) from error


@lru_cache(maxsize=4)
def _read(name: str, split: str, root: str) -> Dataset:
    return SOURCES[name].read(split)
