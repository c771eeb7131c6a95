"""The user's tables: CSV, Parquet and NumPy arrays, read with distrust and within limits."""

import math
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from mixviz.arrays import load_array, read_header
from mixviz.data.own_limits import LIMITS, MEGABYTE
from mixviz.errors import MixvizError

if TYPE_CHECKING:
    import pyarrow as pa

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
ColumnKind = Literal["number", "text"]


class Table(ABC):
    """Rows and named columns of a file.

    Attributes
    ----------
    file
        Name of the file.
    names, kinds
        One for each column; only numbers can be features.
    rows
        How many there are.
    headed
        Of a text table, whether its first line was taken as names of its columns; else None.
    indices
        Names of columns that only number the rows, as pandas writes them beside the data.
    unread
        Names of columns that are neither numbers nor texts, whose values are not read.
    """

    file: str
    names: list[str]
    kinds: list[ColumnKind]
    rows: int
    headed: bool | None = None
    indices: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()

    @abstractmethod
    def numbers(self, column: int) -> np.ndarray:
        """Values of a column of numbers, float64 (N,), NaN where one is missing."""

    @abstractmethod
    def words(self, column: int) -> tuple[np.ndarray, list[str]]:
        """Values of a column as codes (N,), -1 where one is missing, and the texts they stand for."""

    @abstractmethod
    def head(self, rows: int, columns: int) -> dict[str, list[object]]:
        """First rows of the first columns, to be looked at."""


class ArrayTable(Table):
    """Columns of a matrix (N, D), and arrays (N,) that came in the same file."""

    def __init__(self, file: str, matrix: np.ndarray, beside: dict[str, np.ndarray]):
        """Take a matrix of numbers and further columns by name."""
        self.file, self.rows = file, len(matrix)
        self._matrix, self._beside = matrix, list(beside.values())
        self.names = [f"x{i}" for i in range(matrix.shape[1])] + list(beside)
        self.kinds = ["number"] * matrix.shape[1]
        self.kinds += ["text" if one.dtype.kind in "US" else "number" for one in self._beside]
        check_size(file, self.rows, len(self.names))
        check_names(file, self.names)

    def _values(self, column: int) -> np.ndarray:
        width = self._matrix.shape[1]
        return self._matrix[:, column] if column < width else self._beside[column - width]

    def numbers(self, column: int) -> np.ndarray:
        """Values of a column of numbers."""
        return self._values(column).astype(np.float64)

    def words(self, column: int) -> tuple[np.ndarray, list[str]]:
        """Values of a column as codes and texts."""
        if self.kinds[column] == "number":
            return _coded_numbers(self.numbers(column))
        values = self._values(column)
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8", "replace")
        texts, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int32), [str(text)[: LIMITS.text] for text in texts]

    def head(self, rows: int, columns: int) -> dict[str, list[object]]:
        """First rows of the first columns."""
        return {
            name: self._values(i)[:rows].tolist() for i, name in enumerate(self.names[:columns])
        }


class ArrowTable(Table):
    """A table as Arrow read it."""

    def __init__(self, file: str, table: "pa.Table"):
        """Take a table whose size and names have been checked."""
        self.file, self._table, self.rows = file, table, table.num_rows
        self.names = [name.strip() for name in table.column_names]
        self.kinds = ["number" if _holds_numbers(one.type) else "text" for one in table.schema]
        check_size(file, self.rows, len(self.names))
        check_names(file, self.names)

    def numbers(self, column: int) -> np.ndarray:
        """Values of a column of numbers."""
        import pyarrow as pa

        # Whole numbers above 2**53 are rounded.
        values = self._table.column(column).cast(pa.float64(), safe=False)
        return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)

    def words(self, column: int) -> tuple[np.ndarray, list[str]]:
        """Values of a column as codes and texts."""
        import pyarrow as pa

        if self.kinds[column] == "number" and not pa.types.is_boolean(self._table[column].type):
            return _coded_numbers(self.numbers(column))
        values = self._table.column(column)
        if not pa.types.is_dictionary(values.type):
            values = values.cast(pa.string()).dictionary_encode()
        coded = values.unify_dictionaries().combine_chunks()
        texts = coded.dictionary.cast(pa.string()).to_pylist()
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        return codes, [str(text)[: LIMITS.text] for text in texts]

    def head(self, rows: int, columns: int) -> dict[str, list[object]]:
        """First rows of the first columns."""
        part = self._table.slice(0, rows)
        return {name: part.column(i).to_pylist() for i, name in enumerate(self.names[:columns])}


def _holds_numbers(of: "pa.DataType") -> bool:
    import pyarrow as pa

    kinds = pa.types
    return bool(
        kinds.is_null(of)
        or kinds.is_integer(of)
        or kinds.is_floating(of)
        or kinds.is_boolean(of)
        or kinds.is_decimal(of)
    )


def _holds_texts(of: "pa.DataType") -> bool:
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_dictionary(of):
        return _holds_texts(of.value_type)
    return bool(kinds.is_string(of) or kinds.is_large_string(of) or kinds.is_temporal(of))


def _coded_numbers(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return codes of numbers in ascending order, whole ones without a decimal point."""
    known = np.isfinite(values)
    found, codes = np.unique(values[known], return_inverse=True)
    full = np.full(len(values), -1, np.int32)
    full[known] = codes
    return full, [f"{value:.0f}" if value == round(value) else f"{value:g}" for value in found]


def check_size(file: str, rows: int, columns: int) -> None:
    """Raise `MixvizError` where a table has too few or too many rows or columns."""
    if columns > LIMITS.columns:
        raise MixvizError(
            f"{file} has {columns:,} columns; at most {LIMITS.columns:,} can be read."
        )
    if rows < LIMITS.fewest:
        raise MixvizError(
            f"{file} has {rows} row{'s' * (rows != 1)}; at least {LIMITS.fewest} are needed."
        )
    if rows > LIMITS.rows:
        raise MixvizError(f"{file} has {rows:,} rows; at most {LIMITS.rows:,} can be read.")
    if rows * columns > LIMITS.numbers:
        raise MixvizError(
            f"{file} has {rows:,} rows of {columns:,} columns; at most {LIMITS.numbers:,} numbers "
            "can be read."
        )


def check_names(file: str, names: Sequence[str]) -> None:
    """Raise `MixvizError` where two columns have the same name."""
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise MixvizError(
            f"{file} has {count} columns named {name[:50]!r}; give each its own name."
        )


def read_parquet(path: Path, file: str) -> ArrowTable:
    """Read a Parquet file; columns of lists or structures are named, but not read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with path.open("rb") as stream:
            opened = parquet.ParquetFile(
                stream,
                thrift_string_size_limit=100 * MEGABYTE,
                thrift_container_size_limit=10 * MEGABYTE,
            )
            schema = opened.schema_arrow
            check_size(file, opened.metadata.num_rows, len(schema))
            check_names(file, schema.names)
            texts = [field.name for field in schema if _holds_texts(field.type)]
            readable = {*texts, *(field.name for field in schema if _holds_numbers(field.type))}
            nested = tuple(name for name in schema.names if name not in readable)
            opened = parquet.ParquetFile(stream, read_dictionary=texts)
            wanted = [name for name in schema.names if name in readable]
            batches, taken = [], 0
            for batch in opened.iter_batches(10_000, columns=wanted):
                taken += batch.nbytes
                if taken > LIMITS.table:
                    raise MixvizError(
                        f"{file} takes more than {LIMITS.table // 10**9} GB in memory; "
                        "save fewer rows or columns."
                    )
                batches.append(batch)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise unreadable(file, error) from error
    found = ArrowTable(file, pa.Table.from_batches(batches))
    found.indices = frozenset(name for name in found.names if _PANDAS_INDEX.fullmatch(name))
    found.unread = nested
    return found


def read_npy(path: Path, file: str) -> np.ndarray:
    """Read an array, its header checked before anything is believed.

    It is not mapped into memory: where a mapped file is cut meanwhile, reading it ends the program.
    """
    with path.open("rb") as stream:
        dtype, shape = npy_header(stream, file)
        there = path.stat().st_size - stream.tell()
    if dtype.itemsize * math.prod(shape) > there:
        raise MixvizError(
            f"{file} is cut short: its header announces {dtype.itemsize * math.prod(shape):,} "
            f"bytes of numbers, and {there:,} are there."
        )
    try:
        return load_array(path)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise MixvizError(f"{file} cannot be read: {_short(error)}.") from error


def npy_header(stream: IO[bytes], file: str) -> tuple[np.dtype, tuple[int, ...]]:
    """Read the header of an array, type and shape; refuse objects, which only pickle holds."""
    try:
        dtype, shape = read_header(stream)
    except (ValueError, TypeError, EOFError, SyntaxError, MemoryError) as error:
        raise MixvizError(
            f"{file} is not a NumPy array that can be read: {_short(error)}."
        ) from error
    if dtype.hasobject:
        raise MixvizError(
            f"{file} holds Python objects, which are not read because they could run programs; "
            "save numbers with allow_pickle=False."
        )
    if dtype.kind not in "biufUS":
        raise MixvizError(f"{file} holds values of type {dtype}; only numbers and texts are read.")
    if dtype.kind in "US" and dtype.itemsize > 4 * 10 * LIMITS.text:
        raise MixvizError(f"{file} holds texts of {dtype.itemsize:,} bytes each; that is too long.")
    if any(size < 0 for size in shape):
        raise MixvizError(f"{file} is not a NumPy array that can be read: its shape is {shape}.")
    return dtype, shape


def unreadable(file: str, error: Exception) -> MixvizError:
    """Return what is raised where a library cannot read a table."""
    return MixvizError(f"{file} cannot be read as a table: {_short(error)}.")


def _short(error: Exception) -> str:
    """Return the first words of what a library says."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= 200 else f"{text[:200]} …").rstrip(".")
