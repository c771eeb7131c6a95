"""Entries of the catalogue: what a data set is like, whether it can be had, how it is got."""

import contextlib
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException

from mixviz.data import downloads, features, images
from mixviz.data.dataset import Dataset, Kind
from mixviz.data.downloads import Progress, Remote, data_root
from mixviz.errors import MixvizError

_GIGABYTE = 10**9
# What torchvision, NumPy, SciPy, Pillow and the standard library raise about damaged files;
# torchvision asserts what it reads in a header.
_DAMAGED = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AssertionError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Source:
    """A data set that can be asked for by name, described without loading it.

    Attributes
    ----------
    name, title, kind, shape, size, classes
        `shape` is that of one observation, `size` counts those of the training part.
    read
        Loads the split of the given name.
    train_split, test_split
        The same name where a set has no official split.
    at_hand, get, by_hand
        Whether all its files are there, what fetches or makes them, and what a person can do
        where that fails. A set without them comes with the program.
    images
        The image set that features are computed from.
    version
        Tells sets apart that had the same name at different times; empty for those of the program.
    """

    name: str
    title: str
    kind: Kind
    shape: tuple[int, ...]
    size: int
    classes: int
    read: Callable[[str], Dataset]
    train_split: str = "train"
    test_split: str = "test"
    at_hand: Callable[[], bool] | None = None
    get: Callable[[Progress], None] | None = None
    by_hand: Callable[[], str] | None = None
    images: "Source | None" = None
    version: str = ""

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts that the set has, the training part first."""
        return tuple(dict.fromkeys((self.train_split, self.test_split)))

    @property
    def memory(self) -> int:
        """Bytes that the training part takes in memory, as 32-bit numbers."""
        return 4 * self.size * math.prod(self.shape)

    @property
    def missing(self) -> str | None:
        """Why the set cannot be loaded and the command that gets it, or None if it can."""
        try:
            if self.at_hand is None or self.at_hand():
                return None
        except OSError as error:
            return (
                f"{self.title} cannot be read ({error.filename}: {error.strerror}); set MIXVIZ_DATA to "
                "a folder that may be entered"
            )
        large = self.memory > 2 * _GIGABYTE
        note = f" ({self.memory / _GIGABYTE:.1f} GB in memory)" if large else ""
        return (
            f"{self.title}{note} is not in {data_root()}; get it with: mixviz download {self.name}"
        )

    def download(self, progress: Progress | None = None) -> None:
        """Fetch the files into `data_root()`, or compute them; a progress bar is on stderr too.

        Parameters
        ----------
        progress
            Called a few times a second with the share of the work that is done, in [0, 1].

        Raises
        ------
        MixvizError
            When the set is not one that can be downloaded, or the network fails.
        """
        if self.get is None or self.by_hand is None:
            raise MixvizError(f"{self.title} comes with the program; there is nothing to download.")
        try:
            self.get(progress or (lambda share: None))
        except (OSError, RuntimeError, HTTPException) as error:
            reason = " ".join(str(error).split())
            doing = "computed" if self.images else "downloaded"
            raise MixvizError(
                f"{self.title} could not be {doing} ({reason}); {self.by_hand()}."
            ) from error


def _read_images(found: Source, split: str) -> Dataset:
    """Read images that features are computed from; they are not kept in memory."""
    refuse_what_does_not_fit(found, split)
    with explained(found):
        return found.read(split)


@contextlib.contextmanager
def explained(found: Source) -> Iterator[None]:
    """Say what to do about files that cannot be read."""
    try:
        yield
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MixvizError(
            f"The files of {found.title} cannot be read ({reason}); "
            f"delete them and run: mixviz download {found.name}."
        ) from error


def refuse_what_does_not_fit(found: Source, part: str) -> None:
    """Raise `MixvizError` where reading a set would take more than the machine's memory."""
    if part == "test":
        return
    # The bytes that were read are still there when they become 32-bit numbers; the parts are
    # still there when they are joined.
    copies = 2.25 if part == "all" and len(found.splits) == 2 else 1.25
    needed = copies * found.memory + (found.images.memory if found.images else 0)
    if needed > machine_memory():
        raise MixvizError(
            f"{found.title} needs {needed / _GIGABYTE:.1f} GB of memory, and this machine has "
            f"{machine_memory() / _GIGABYTE:.1f} GB; take a smaller data set."
        )


def machine_memory() -> float:
    """Bytes of memory of this machine; infinite where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf


def mnist_like(name: str, title: str, class_name: str) -> Source:
    """One of torchvision's sets in MNIST's format."""
    read = partial(images.torchvision_images, name, class_name)

    def get(progress: Progress) -> None:
        share = partial(images.downloaded_share, class_name)
        downloads.watched(partial(read, "train", download=True), share, progress)

    def by_hand() -> str:
        return (
            f"check the network, or put its files under {data_root()} and set MIXVIZ_DATA to "
            "that folder"
        )

    def at_hand() -> bool:
        return all(file.is_file() for file in images.torchvision_files(class_name))

    shape = (1, 28, 28)
    return Source(
        name, title, "image", shape, 60_000, 10, read, at_hand=at_hand, get=get, by_hand=by_hand
    )


def published(
    name: str,
    title: str,
    shape: tuple[int, ...],
    size: int,
    classes: int,
    read: Callable[[str], Dataset],
    files: Sequence[str],
    remotes: Sequence[Remote],
    train_split: str = "train",
    test_split: str = "test",
) -> Source:
    """Describe a set that is read from `files` under `data_root()`, which come from `remotes`."""

    def get(progress: Progress) -> None:
        fetch = partial(downloads.fetch_all, remotes)
        downloads.watched(fetch, partial(downloads.share_of, remotes), progress)

    def by_hand() -> str:
        wanted = " and ".join(f"{r.path.name} ({r.url})" for r in remotes)
        return (
            f"check the network, or put {wanted} into {remotes[0].path.parent}, which MIXVIZ_DATA "
            f"moves, and run: mixviz download {name}"
        )

    def at_hand() -> bool:
        return all((data_root() / file).is_file() for file in files)

    return Source(
        name,
        title,
        "image",
        shape,
        size,
        classes,
        read,
        train_split,
        test_split,
        at_hand,
        get,
        by_hand,
    )


# Two sets with the same images share their features.
_SAME_IMAGES = {"cifar-100-20": "cifar-100"}


def resnet50(of: Source) -> Source:
    """Describe the ResNet-50 features of an image set."""
    name = f"{of.name}-resnet50"
    kept_as = _SAME_IMAGES.get(of.name, of.name)
    read_images = partial(_read_images, of)

    def get(progress: Progress) -> None:
        if of.missing:
            of.download(downloads.within(progress, 0, 2))
            progress = downloads.within(progress, 1, 2)
        features.make(kept_as, read_images, of.splits, progress)

    def by_hand() -> str:
        return f"see that {data_root()} can be written and that there is memory enough"

    return Source(
        name,
        f"{of.title} as ResNet-50 features",
        "vector",
        (features.DIMENSIONS,),
        of.size,
        of.classes,
        partial(features.read, name, kept_as, read_images),
        of.train_split,
        of.test_split,
        at_hand=lambda: not of.missing and features.at_hand(kept_as, of.splits),
        get=get,
        by_hand=by_hand,
        images=of,
    )
