"""Files of data sets: the folder they lie in, and how they get there from the network."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from mixviz.home import named_folder

Progress = Callable[[float], None]


def data_root() -> Path:
    """Folder that holds downloaded data: `MIXVIZ_DATA`, else the user's cache folder."""
    return named_folder("MIXVIZ_DATA") or user_cache_path("mixviz") / "data"


@dataclass(frozen=True)
class Remote:
    """A file on the network, and its place under `data_root()`.

    Attributes
    ----------
    url, md5, size
        Where it is, its MD5 sum in hexadecimal, and its bytes.
    folder
        Folder under `data_root()` that holds it, named as torchvision names it.
    archive
        Whether it is unpacked beside itself.
    """

    url: str
    md5: str
    size: int
    folder: str = "."
    archive: bool = False

    @property
    def path(self) -> Path:
        """Where the file lies once it is complete."""
        return data_root() / self.folder / self.url.rpartition("/")[2]

    @property
    def _partial(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    def fetch(self) -> None:
        """Download the file unless it is there, undamaged; unpack an archive.

        Raises
        ------
        OSError, RuntimeError
            When the network or the disk fails, or what arrives is not the file.
        """
        from torchvision.datasets.utils import check_integrity, download_url, extract_archive

        if not check_integrity(self.path, self.md5):
            # A file that is cut short must never be found under its own name.
            download_url(self.url, self._partial.parent, self._partial.name, self.md5)
            self._partial.replace(self.path)
        if self.archive:
            extract_archive(self.path, self.path.parent)

    def arrived(self) -> int:
        """Count the bytes that are on disk."""
        files = (self.path, self._partial)
        return min(self.size, sum(file.stat().st_size for file in files if file.is_file()))


def fetch_all(remotes: Iterable[Remote]) -> None:
    """Fetch several files, one after the other; see `Remote.fetch`."""
    for remote in remotes:
        remote.fetch()


def share_of(remotes: Iterable[Remote]) -> float:
    """Share of the files' bytes that are on disk, in [0, 1]."""
    remotes = tuple(remotes)
    return sum(remote.arrived() for remote in remotes) / sum(remote.size for remote in remotes)


def watched(work: Callable[[], object], share: Callable[[], float], progress: Progress) -> None:
    """Do `work` in a thread, and report its share a few times a second from this one."""
    with ThreadPoolExecutor(1) as worker:
        doing = worker.submit(work)
        while not wait([doing], timeout=0.3).done:
            progress(share())
        doing.result()


def within(progress: Progress, number: int, count: int) -> Progress:
    """Return what reports shares of the piece `number` as shares of all `count` pieces."""
    return lambda share: progress((number + share) / count)


_TORONTO = "https://www.cs.toronto.edu/~kriz"
_LIBSVM = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass"
_HOUSE_NUMBERS = "http://ufldl.stanford.edu/housenumbers"
_OMNIGLOT = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"

USPS = (
    Remote(f"{_LIBSVM}/usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197", 6_579_383),
    Remote(f"{_LIBSVM}/usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118", 1_831_726),
)
SVHN = (
    Remote(f"{_HOUSE_NUMBERS}/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
    Remote(f"{_HOUSE_NUMBERS}/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
)
SVHN_EXTRA = (
    *SVHN,
    Remote(f"{_HOUSE_NUMBERS}/extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", 1_329_278_602),
)
# The binary version: torchvision's own reader unpickles the Python version.
CIFAR_10 = (
    Remote(
        f"{_TORONTO}/cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        170_052_171,
        archive=True,
    ),
)
CIFAR_100 = (
    Remote(
        f"{_TORONTO}/cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        168_513_733,
        archive=True,
    ),
)
STL_10 = (
    Remote(
        "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        "91f7769df0f17e558f3565bffb0c7dfb",
        2_640_397_119,
        archive=True,
    ),
)
OMNIGLOT = (
    Remote(
        f"{_OMNIGLOT}/images_background.zip",
        "68d2efa1b9178cc56df9314c21c6e718",
        9_464_212,
        "omniglot-py",
    ),
    Remote(
        f"{_OMNIGLOT}/images_evaluation.zip",
        "6b91aef0f799c5bb55b94e3f2daec811",
        6_462_886,
        "omniglot-py",
    ),
)
