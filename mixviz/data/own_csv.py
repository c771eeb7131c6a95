"""The user's text tables: delimiter and names of the columns are judged by the first lines."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from mixviz.data.own_limits import LIMITS, MEGABYTE
from mixviz.data.own_tables import ArrowTable, check_names, check_size, unreadable
from mixviz.errors import MixvizError

DELIMITERS = ",;\t|"
_JUDGED = 50  # lines


def read_csv(path: Path, file: str, headed: bool | None = None) -> ArrowTable:
    """Read a text table; without `headed`, judge whether its first line names the columns."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    blank, line, rest, only = _first_lines(path, file)
    delimiter, (first, *others) = _judged(line, rest, file)
    if headed is None:
        headed = _is_header(first, others, delimiter)
    names = [
        text.strip() or f"column {i + 1}" if headed else f"column {i + 1}"
        for i, text in enumerate(first)
    ]
    check_size(file, 1 - headed if only else LIMITS.fewest, len(names))
    check_names(file, names)
    ragged: list[arrow.InvalidRow] = []

    def note(row: "arrow.InvalidRow") -> str:
        ragged.append(row)
        return "error"

    try:
        with path.open("rb") as stream:
            table = arrow.read_csv(
                stream,
                arrow.ReadOptions(
                    column_names=names, skip_rows=blank + headed, block_size=8 * MEGABYTE
                ),
                arrow.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
                ),
                arrow.ConvertOptions(
                    strings_can_be_null=True,
                    decimal_point=_decimal_point(others or [first], delimiter),
                ),
            )
    except (pa.ArrowInvalid, OSError) as error:
        if ragged:
            row = ragged[0]
            raise MixvizError(
                f"{file} cannot be read as a table: its first line has {row.expected_columns} "
                f"values, and this one has {row.actual_columns}: {row.text[:50]!r}."
            ) from error
        raise unreadable(file, error) from error
    if any(pa.types.is_binary(field.type) for field in table.schema):
        raise MixvizError(f"{file} is not UTF-8 text; save it as UTF-8.")
    found = ArrowTable(file, table)
    found.headed = headed
    if headed and not first[0].strip() and _counts_up(found):
        found.indices = frozenset(found.names[:1])
    return found


def _counts_up(table: ArrowTable) -> bool:
    """Whether the first column holds whole numbers, each above the one before."""
    if table.kinds[0] != "number":
        return False
    values = table.numbers(0)
    return bool((values == np.round(values)).all() and (np.diff(values) > 0).all())


def _first_lines(path: Path, file: str) -> tuple[int, str, list[str], bool]:
    """Return how many blank lines come first, the line after them, some more, and whether it is the last."""
    with path.open("rb") as stream:
        start = stream.read(LIMITS.header + 1)
    if not start.strip():
        raise MixvizError(f"{file} is empty.")
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise MixvizError(f"{file} is UTF-16 text; save it as UTF-8.")
    if b"\0" in start:
        raise MixvizError(f"{file} is not a text table; it holds bytes that no text has.")
    whole = len(start) <= LIMITS.header
    start = start.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    blank = len(start) - len(start.lstrip(b"\n"))
    line, *rest = start[blank:].split(b"\n", _JUDGED)
    if not rest and not whole:
        raise MixvizError(
            f"The first line of {file} is longer than {LIMITS.header // MEGABYTE} MB; "
            f"at most {LIMITS.columns:,} columns can be read."
        )
    only = whole and not any(rest)
    rest = rest[: _JUDGED - 1] if whole else rest[:-1]  # the last may be cut, or all that remains
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MixvizError(f"{file} is not UTF-8 text; save it as UTF-8.") from error
    return blank, text, [one.decode("utf-8", "replace") for one in rest], only


def _judged(line: str, rest: Sequence[str], file: str) -> tuple[str, list[list[str]]]:
    """Return the delimiter that suits the lines best, and their fields."""
    split: dict[str, list[list[str]]] = {}
    failed = ""
    for mark in DELIMITERS:
        try:
            split[mark] = [next(csv.reader([line], delimiter=mark), []) or [""]]
        except csv.Error as error:  # to other marks than the delimiter, a long line is one field
            failed = str(error)
            continue
        with suppress(csv.Error):
            split[mark] += filter(None, csv.reader([f"{one}\n" for one in rest], delimiter=mark))
    if not split:
        raise MixvizError(f"The first line of {file} is not that of a table: {failed}.")
    delimiter = max(split, key=lambda mark: _fitness(split[mark], mark))
    return delimiter, split[delimiter]


def _fitness(rows: Sequence[Sequence[str]], delimiter: str) -> tuple[float, ...]:
    """How well a delimiter suits: as many fields in each row, then many of them numbers."""
    width = len(rows[0])
    alike = sum(len(row) == width for row in rows) / len(rows)
    numbers = sum(_is_number(text, delimiter) for row in rows for text in row) / len(rows)
    return (width > 1, alike, numbers, numbers / width, width)


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]], delimiter: str) -> bool:
    """Whether a line names the columns: it holds no number, or numbers that count the columns.

    With other numbers it does where a word stands above numbers, and without a doubt it does not
    where one of its words comes again below.
    """
    from pyarrow import csv as arrow

    first = [text.strip() for text in first]
    numbers = [text for text in first if _is_number(text, delimiter)]
    if not numbers:
        return True
    missing = arrow.ConvertOptions().null_values
    words = {i: text for i, text in enumerate(first) if text not in (*numbers, *missing)}
    below = {i: [row[i].strip() for row in others if len(row) > i] for i in words}
    if any(word in below[i] for i, word in words.items()):
        return False
    if numbers in [[str(start + i) for i in range(len(numbers))] for start in (0, 1)]:
        return True
    values = {i: [text for text in found if text not in missing] for i, found in below.items()}
    return any(found and all(_is_number(t, delimiter) for t in found) for found in values.values())


def _is_number(text: str, delimiter: str) -> bool:
    """Whether a field is a number, with a decimal comma too where no comma delimits."""
    if delimiter != "," and "." not in text:
        text = text.replace(",", ".", 1)
    try:
        float(text)
    except ValueError:
        return False
    return True


def _decimal_point(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """Return the mark that stands before the decimals of most numbers."""
    numbers = [text for row in rows for text in row if _is_number(text, delimiter)]
    return (
        "," if sum("," in text for text in numbers) > sum("." in text for text in numbers) else "."
    )
