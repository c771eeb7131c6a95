"""The user's ZIP archives: checked before anything is read, and never unpacked to disk."""

import stat
import zipfile
import zlib
from pathlib import Path

from mixviz.data.own_limits import LIMITS, MEGABYTE
from mixviz.errors import MixvizError

RATIO_FROM = 64 * MEGABYTE  # unpacked; below, no ratio does harm


def open_zip(path: Path, file: str) -> zipfile.ZipFile:
    """Open an archive; raise `MixvizError` if it is damaged."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise MixvizError(f"{file} is not a whole ZIP archive; it may be cut short.") from error


def members_of(archive: zipfile.ZipFile, file: str) -> list[zipfile.ZipInfo]:
    """Return an archive's members, checked: their count, names, sizes and kinds.

    Raises
    ------
    MixvizError
        When there are too many, one is encrypted, a link, or named outside the archive, or all
        together would unpack to too much.
    """
    members = archive.infolist()
    if len(members) > LIMITS.members:
        raise MixvizError(
            f"{file} has {len(members):,} entries; at most {LIMITS.members:,} are read."
        )
    for member in members:
        name = member.orig_filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or ":" in name.split("/")[0]:
            raise MixvizError(
                f"{file} has an entry whose path leaves the archive; it was not read."
            )
        if member.flag_bits & 1:
            raise MixvizError(f"{file} is encrypted; save it without a password.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise MixvizError(f"{file} holds links; save it with the files themselves.")
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if unpacked > LIMITS.unpacked or (
        unpacked > RATIO_FROM and unpacked > LIMITS.ratio * max(packed, 1)
    ):
        raise MixvizError(
            f"{file} would unpack to {unpacked / 1e9:,.1f} GB from {packed / 1e6:,.1f} MB; "
            "that is too much to be read."
        )
    return members


def read_member(archive: zipfile.ZipFile, name: str, file: str, most: int) -> bytes:
    """Read one member, at most `most` bytes; a damaged one gives what no picture is, nothing."""
    try:
        with archive.open(name) as stream:
            content = stream.read(most + 1)
    except KeyError as error:
        raise MixvizError(f"{file} has changed since it was opened; open it again.") from error
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError):
        return b""
    if len(content) > most:
        raise too_large(name)
    return content


def too_large(name: str) -> MixvizError:
    """Return what is raised where the file of a picture is too large."""
    return MixvizError(f"{name} is larger than {LIMITS.picture // MEGABYTE} MB; reduce it first.")
