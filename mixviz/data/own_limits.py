"""What a user's file may be: every limit in one place; the page Data states them."""

from dataclasses import dataclass

MEGABYTE, GIGABYTE = 10**6, 10**9


@dataclass(frozen=True)
class Limits:
    """Limits on files that are read, and on data sets that are made of them.

    Attributes
    ----------
    upload, file
        Bytes of an upload, and of a file on disk.
    fewest, rows, columns
        Observations that a data set needs, and the most rows and columns of a table.
    numbers
        Rows times columns of what is kept, or pictures times their pixels and colours.
    header
        Bytes of a text table's first line.
    table
        Bytes that a table may take in memory.
    classes
        Different values of a label.
    kept
        Columns that are kept beside the features, to colour points by.
    text
        Characters that are kept of one value.
    pictures, picture, pixels
        How many pictures, bytes of one's file, pixels of one.
    members, unpacked, ratio
        Entries of an archive, bytes it unpacks to, and how many times its size that may be.
    side
        Pixels along the sides of the images that models see.
    """

    upload: int = 200 * MEGABYTE
    file: int = 4 * GIGABYTE
    fewest: int = 10
    rows: int = 2_000_000
    columns: int = 10_000
    numbers: int = 250_000_000
    header: int = MEGABYTE
    table: int = 2 * GIGABYTE
    classes: int = 1_000
    kept: int = 100
    text: int = 200
    pictures: int = 200_000
    picture: int = 100 * MEGABYTE
    pixels: int = 50_000_000
    members: int = 250_000
    unpacked: int = 4 * GIGABYTE
    ratio: int = 200
    side: int = 128

    def in_words(self) -> str:
        """Return the limits that matter to a user, in one paragraph."""
        return (
            f"A data set has {self.fewest} to {self.rows:,} observations and at most "
            f"{self.columns:,} columns, {self.numbers // 10**6} million numbers in all and "
            f"{self.classes:,} classes. A file may have {self.file // GIGABYTE} GB, an archive "
            f"{self.pictures:,} pictures, each of at most {self.pixels // 10**6} megapixels; images "
            f"are reduced to at most {self.side}x{self.side} pixels."
        )


LIMITS = Limits()
