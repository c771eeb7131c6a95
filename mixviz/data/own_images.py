"""The user's pictures: a ZIP archive or a folder of them, or an array; nothing is ever unpacked to disk."""

import io
import os
import stat
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixviz.data.own_archives import members_of, open_zip, read_member, too_large
from mixviz.data.own_limits import LIMITS
from mixviz.errors import MixvizError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
Fit = Literal["crop", "pad", "stretch"]
FITS: dict[Fit, str] = {
    "crop": "cut to a square from the middle",
    "pad": "shown whole, with black borders",
    "stretch": "stretched to a square",
}
# That most models have convolutional networks for; four times the pixels take four times as long.
SIDES = (28, 32)
_PEEKED = 40  # pictures looked at to choose size and colour


class Damaged(Exception):
    """One picture cannot be read."""


def suggested_side(sizes: Sequence[tuple[int, int]], planes: int) -> int:
    """Return the side in pixels of the squares that pictures should become.

    Small squares that are all alike stay as they are. Others become the largest of `SIDES` to which
    the median picture need not be enlarged, and at which all of them can be kept.

    Parameters
    ----------
    sizes
        Width and height of some pictures.
    planes
        Number of all pictures, times their channels.
    """
    width = sizes[0][0]
    if set(sizes) == {(width, width)} and 8 <= width <= SIDES[-1]:
        return width
    median = np.median([min(size) for size in sizes])
    fitting = [n for n in SIDES if n <= median and planes * n * n <= LIMITS.numbers]
    return fitting[-1] if fitting else SIDES[0]


class Pictures(ABC):
    """Pictures of any sizes, and the classes that their folders name.

    Attributes
    ----------
    file
        Name of the archive or folder.
    names
        One for each picture.
    classes, codes
        Names of the folders, and of each picture its folder's number (N,); or no classes and None.
    notes
        What is there beside the pictures.
    """

    file: str
    names: list[str]
    classes: tuple[str, ...] = ()
    codes: np.ndarray | None = None
    notes: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def contents(self, indices: Sequence[int]) -> Iterator[bytes]:
        """Yield files one by one; raise `MixvizError` where one is too large."""

    def squares(
        self, indices: Sequence[int], side: int, colour: bool, fit: Fit
    ) -> Iterator[np.ndarray | Damaged]:
        """Yield pictures as uint8 (C, side, side), or why one cannot be read."""
        for index, content in zip(indices, self.contents(indices), strict=True):
            try:
                yield square(content, self.names[index], side, colour, fit)
            except Damaged as error:
                yield error

    def suggested(self) -> tuple[int, bool]:
        """Return a side in pixels that fits, and whether the pictures are in colour."""
        indices = np.unique(np.linspace(0, len(self) - 1, _PEEKED).astype(int)).tolist()
        sizes: list[tuple[int, int]] = []
        coloured = False
        for content in self.contents(indices):
            try:
                image = _opened(content, "")
            except Damaged:
                continue
            sizes.append(image.size)
            if image.mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
                image.thumbnail((64, 64))
                rgb = np.asarray(image.convert("RGB"), np.int16)
                coloured |= bool((rgb.max(-1) - rgb.min(-1)).mean() > 2)
        if not sizes:
            raise MixvizError(f"None of the first pictures in {self.file} can be read.")
        return suggested_side(sizes, len(self) * (3 if coloured else 1)), coloured

    def label_by_folder(self) -> None:
        """Take the folders' names as classes, where there are several with several pictures.

        Those are the innermost whose names differ: of `cat/images/1.png` and `dog/images/1.png`,
        the outer ones.
        """
        parents = [PurePosixPath(name).parent.parts for name in self.names]
        while all(parents) and len({parts[-1] for parts in parents}) == 1:
            parents = [parts[:-1] for parts in parents]
        folders = [parts[-1] if parts else "" for parts in parents]
        found = sorted(set(folders))
        if 2 <= len(found) <= min(LIMITS.classes, len(folders) // 2):
            number = {name: i for i, name in enumerate(found)}
            self.classes = tuple(name or "(no folder)" for name in found)
            self.codes = np.array([number[name] for name in folders], np.int64)


def _opened(content: bytes, name: str) -> "Image.Image":
    """Open a picture without decoding it; refuse gigapixels by what its header says."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > LIMITS.pixels:
            raise Image.DecompressionBombError
        return image
    except Image.DecompressionBombError as error:
        raise MixvizError(
            f"{name or 'A picture'} has more than {LIMITS.pixels // 10**6} megapixels; reduce it first."
        ) from error
    except UnidentifiedImageError as error:  # its own text names an object in memory
        raise Damaged("not a picture of a kind that is read") from error
    except _BROKEN as error:
        raise Damaged(" ".join(str(error).split())[:100]) from error


_BROKEN = (OSError, SyntaxError, ValueError, EOFError, KeyError, struct.error, zlib.error)


def square(content: bytes, name: str, side: int, colour: bool, fit: Fit) -> np.ndarray:
    """Decode a picture, turn it as its camera says, and resize it: uint8 (C, side, side).

    Raises
    ------
    Damaged
        When it cannot be read.
    MixvizError
        When it has too many pixels, or such of 32 bits, whose brightness has no scale.
    """
    from PIL import ImageOps

    image = _opened(content, name)
    try:
        image.draft("RGB", (2 * side, 2 * side))  # JPEG decodes to a fraction of the size at once
        image = ImageOps.exif_transpose(_eight_bits(image, name)).convert("RGB" if colour else "L")
        fitted = _fitted(image, side, fit)
    except (*_BROKEN, MemoryError) as error:
        raise Damaged(" ".join(str(error).split())[:100] or type(error).__name__) from error
    pixels = np.asarray(fitted, np.uint8)
    return pixels.transpose(2, 0, 1) if colour else pixels[None]


def _eight_bits(image: "Image.Image", name: str) -> "Image.Image":
    """Reduce 16 bits to 8, and lay transparent pictures on white."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image, np.float64) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise MixvizError(
            f"{name} has pixels of 32 bits, which do not say what is white; save all pictures with "
            "8 or 16 bits, or as one NumPy array."
        )
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        return ground
    return image


def _fitted(image: "Image.Image", side: int, fit: Fit) -> "Image.Image":
    from PIL import Image, ImageOps

    if image.size == (side, side):
        return image
    if fit == "crop":
        return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    if fit == "pad":
        return ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS)
    return image.resize((side, side), Image.Resampling.LANCZOS)


class ZippedPictures(Pictures):
    """Pictures in a ZIP archive, read one at a time."""

    def __init__(self, path: Path, file: str):
        """Read the archive's list of members, and refuse it for what is wrong with any of them."""
        self.file, self._path = file, path
        with open_zip(path, file) as archive:
            # Some programs for Windows separate folders by backslashes.
            members = {m.filename.replace("\\", "/"): m.filename for m in members_of(archive, file)}
        names = [name for name in members if not _is_clutter(name)]
        self.names, self.notes = _pictures_among(names, file)
        self._members = [members[name] for name in self.names]
        self.label_by_folder()

    def contents(self, indices: Sequence[int]) -> Iterator[bytes]:
        """Yield files of the archive."""
        with open_zip(self._path, self.file) as archive:
            for index in indices:
                yield read_member(archive, self._members[index], self.file, LIMITS.picture)


class FolderPictures(Pictures):
    """Pictures in a folder and its folders; links are not followed."""

    def __init__(self, path: Path, file: str):
        """List the files."""
        self.file, self._path = file, path
        found: list[str] = []
        for folder, folders, files in os.walk(path):
            folders.sort()
            place = Path(folder)
            found += [
                (place / name).relative_to(path).as_posix()
                for name in sorted(files)
                if stat.S_ISREG((place / name).lstat().st_mode)
            ]
            if len(found) > LIMITS.members:
                raise MixvizError(f"{file} has more than {LIMITS.members:,} files.")
        self._places, self.notes = _pictures_among([n for n in found if not _is_clutter(n)], file)
        self.names = [readable(place) for place in self._places]
        self.label_by_folder()

    def contents(self, indices: Sequence[int]) -> Iterator[bytes]:
        """Yield files of the folder."""
        for index in indices:
            path = self._path / self._places[index]
            try:
                if path.stat().st_size > LIMITS.picture:
                    raise too_large(self.names[index])
                yield path.read_bytes()
            except OSError:
                yield b""  # gone, or not to be read: dropped like a damaged one


def readable(name: str) -> str:
    """Return a file's name as text that can be kept: bytes that are no UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _pictures_among(names: Sequence[str], file: str) -> tuple[list[str], list[str]]:
    """Return the names of pictures, and what is said of the other files."""
    pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
    others = len(names) - len(pictures)
    if not pictures:
        raise MixvizError(f"{file} holds no pictures; {', '.join(FORMATS)} are read.")
    if len(pictures) > LIMITS.pictures:
        raise MixvizError(
            f"{file} holds {len(pictures):,} pictures; at most {LIMITS.pictures:,} can be read."
        )
    if len(pictures) < LIMITS.fewest:
        raise MixvizError(
            f"{file} holds {len(pictures)} picture{'s' * (len(pictures) != 1)}; at least "
            f"{LIMITS.fewest} are needed."
        )
    return pictures, [f"files that are not pictures: {others:,}"] if others else []


def _is_clutter(name: str) -> bool:
    """Whether a file is one that systems leave behind."""
    parts = PurePosixPath(name).parts
    return name.endswith("/") or "__MACOSX" in parts or parts[-1].startswith((".", "Thumbs.db"))


class ArrayPictures:
    """Images of one size in an array, with any values.

    Attributes
    ----------
    file, names
        Of the file; the images are called by their numbers.
    frames : (N, H, W), (N, H, W, C) or (N, C, H, W)
    beside
        Arrays (N,) that came in the same file, by name.
    """

    def __init__(self, file: str, frames: np.ndarray, beside: dict[str, np.ndarray]):
        """Check the shape; values are read later."""
        self.file, self.beside, self.notes = file, beside, list[str]()
        if frames.ndim == 3:
            frames = frames[:, None]
        elif frames.shape[3] in (1, 3, 4) and frames.shape[1] not in (1, 3):
            frames = np.moveaxis(frames[..., :3], -1, 1)
        if frames.shape[1] not in (1, 3) or min(frames.shape[2:]) < 2:
            raise MixvizError(
                f"{file} has shape {frames.shape}, which is neither that of a table (N, columns) nor "
                "of images (N, height, width) with one or three colours."
            )
        self.frames = frames
        self.names = [str(i) for i in range(len(frames))]
        if not LIMITS.fewest <= len(frames) <= LIMITS.pictures:
            raise MixvizError(
                f"{file} holds {len(frames):,} image{'s' * (len(frames) != 1)}; "
                f"{LIMITS.fewest} to {LIMITS.pictures:,} can be read."
            )

    def __len__(self) -> int:
        return len(self.names)

    def suggested(self) -> tuple[int, bool]:
        """Return a side in pixels that fits, and whether the images are in colour."""
        count, channels, height, width = self.frames.shape
        return suggested_side([(width, height)], count * channels), channels == 3

    def squares(
        self, indices: Sequence[int], side: int, colour: bool, fit: Fit
    ) -> Iterator[np.ndarray]:
        """Yield images as float64 (C, side, side), in the array's own values."""
        from PIL import Image

        weights = np.array([0.299, 0.587, 0.114])
        for index in indices:
            frame = np.asarray(self.frames[index], np.float64)
            if len(frame) == 3 and not colour:
                frame = np.tensordot(weights, frame, 1)[None]
            elif len(frame) == 1 and colour:
                frame = frame.repeat(3, 0)
            if frame.shape[1:] != (side, side):
                low, high = frame.min(), frame.max()  # which Lanczos's kernel would overshoot
                if fit == "pad":  # the borders are zeros
                    low, high = min(low, 0.0), max(high, 0.0)
                planes = [Image.fromarray(plane.astype(np.float32)) for plane in frame]
                frame = np.stack([np.asarray(_fitted(plane, side, fit)) for plane in planes])
                frame = frame.clip(low, high)
            yield frame
