"""Which data sets there are, and how to load one."""

from collections import UserDict
from collections.abc import Iterator
from functools import lru_cache

from mixviz.data import downloads, image_files, images, synthetic
from mixviz.data.dataset import Dataset, joined
from mixviz.data.downloads import data_root
from mixviz.data.entries import (
    Source,
    explained,
    mnist_like,
    published,
    refuse_what_does_not_fit,
    resnet50,
)
from mixviz.data.own import RESERVED, own_sets, own_source
from mixviz.errors import MixvizError, unknown

_COLOUR = (3, 32, 32)
_IMAGES = (
    Source("digits", "Digits 8x8", "image", (1, 8, 8), 1797, 10, images.digits, "all", "all"),
    mnist_like("mnist", "MNIST", "MNIST"),
    mnist_like("fashion-mnist", "Fashion-MNIST", "FashionMNIST"),
    published(
        "usps",
        "USPS",
        (1, 16, 16),
        7_291,
        10,
        image_files.usps,
        image_files.USPS_FILES,
        downloads.USPS,
    ),
    published(
        "omniglot",
        "Omniglot",
        (1, 28, 28),
        32_460,
        50,
        image_files.omniglot,
        image_files.OMNIGLOT_FILES,
        downloads.OMNIGLOT,
        train_split="all",
        test_split="all",
    ),
    published(
        "svhn",
        "SVHN",
        _COLOUR,
        73_257,
        10,
        image_files.svhn,
        image_files.SVHN_FILES,
        downloads.SVHN,
    ),
    published(
        "svhn-extra",
        "SVHN with extra",
        _COLOUR,
        604_388,
        10,
        image_files.svhn_extra,
        image_files.SVHN_EXTRA_FILES,
        downloads.SVHN_EXTRA,
    ),
    published(
        "cifar-10",
        "CIFAR-10",
        _COLOUR,
        50_000,
        10,
        image_files.cifar_10,
        image_files.CIFAR_10_FILES,
        downloads.CIFAR_10,
    ),
    published(
        "cifar-100",
        "CIFAR-100",
        _COLOUR,
        50_000,
        100,
        image_files.cifar_100,
        image_files.CIFAR_100_FILES,
        downloads.CIFAR_100,
    ),
    published(
        "cifar-100-20",
        "CIFAR-100, 20 superclasses",
        _COLOUR,
        50_000,
        20,
        image_files.cifar_100_20,
        image_files.CIFAR_100_FILES,
        downloads.CIFAR_100,
    ),
    published(
        "stl-10",
        "STL-10",
        (3, 96, 96),
        5_000,
        10,
        image_files.stl_10,
        image_files.STL_10_FILES,
        downloads.STL_10,
    ),
)


class Catalogue(UserDict[str, Source]):
    """The sets that come with the program, and the user's own as they are on disk now."""

    def __missing__(self, name: str) -> Source:
        return own_source(own_sets()[name])

    def __contains__(self, name: object) -> bool:
        return name in self.data or name in own_sets()

    def __iter__(self) -> Iterator[str]:
        yield from self.data
        yield from (name for name in own_sets() if name not in self.data)

    def __len__(self) -> int:
        return len(list(iter(self)))


SOURCES = Catalogue(
    {
        item.name: item
        for item in (
            Source("arcs", "Arcs", "vector", (2,), synthetic.POINTS, 5, synthetic.arcs),
            Source("pinwheel", "Pinwheel", "vector", (2,), synthetic.POINTS, 5, synthetic.pinwheel),
            *_IMAGES,
            *map(resnet50, _IMAGES),
        )
    }
)
RESERVED.update(SOURCES.data)


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
        When there is no such set, its files are missing or damaged, or it is larger than this
        machine's memory.
    """
    found = source(name)
    if found.missing:
        raise MixvizError(found.missing + ".")
    refuse_what_does_not_fit(found, part)
    splits = {"train": found.splits[:1], "test": found.splits[-1:]}.get(part, found.splits)
    with explained(found):
        parts = [_read(name, split, str(data_root()), found.version) for split in splits]
    return _joined(*parts) if len(parts) == 2 else parts[0]


@lru_cache(maxsize=4)
def _read(name: str, split: str, root: str, version: str) -> Dataset:
    return SOURCES[name].read(split)


@lru_cache(maxsize=1)
def _joined(train: Dataset, test: Dataset) -> Dataset:
    """Join two parts once, so that the hash of the whole is computed once too."""
    return joined(train, test)
