"""The user's own tables: what becomes of good ones; bad ones leave one sentence alone."""

import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixviz.data import load
from mixviz.data.own import add_file
from mixviz.data.own_prepare import Options
from mixviz.errors import MixvizError
from tests.data.driver import refused, table

pytestmark = pytest.mark.usefixtures("home")


def test_csv_is_standardised_and_scored_by_its_label(file):
    frame = table(label=["x", "y", "z"] * 10, note=["n"] * 30)
    added = add_file(file("My Data.csv", frame.to_csv(index=False)), Options())
    data = load(added.name)
    assert added.name == "my-data"
    assert data.x.dtype == np.float32
    assert np.allclose(data.x.mean(0), 0, atol=1e-6)
    assert np.allclose(data.x.std(0), 1, atol=1e-6)
    assert data.label_names == ("x", "y", "z")
    assert data.labels.tolist() == [0, 1, 2] * 10
    assert data.content_hash == added.hash
    assert set(data.columns) == {"a", "b", "note"}
    assert np.allclose(data.columns["a"], frame["a"])
    assert data.columns["note"].tolist() == ["n"] * 30


def test_chosen_columns_label_and_scaling(file):
    path = file("t.csv", table(c=range(30), group=[1.5, 2] * 15).to_csv(index=False))
    options = Options(columns=("b",), label="group", scaling="range")
    data = load(add_file(path, options).name)
    assert data.shape == (1,)
    assert (data.x.min(), data.x.max()) == (0, 1)
    assert data.label_names == ("1.5", "2")
    refused_options = {"columns": ("nowhere",)}
    with pytest.raises(MixvizError, match="nowhere"):
        add_file(path, Options(**refused_options))


@pytest.mark.parametrize(
    ("name", "values", "guessed"),
    [
        ("y", np.linspace(0, 1, 30), False),
        ("target", np.arange(30) * 7 % 30, False),
        ("Class", [1, 2, np.nan] * 10, True),
        ("y", [True, False] * 15, True),
        ("label", [f"{i}th" for i in range(30)], True),
        ("kind", [1, 2] * 15, False),
    ],
)
def test_label_is_guessed_by_its_values_too(file, name, values, guessed):
    frame = table(**{name: values})
    added = add_file(file("t.csv", frame.to_csv(index=False)), Options())
    assert added.labelled is guessed
    assert added.shape == (2 if guessed else 3,)


def test_any_column_can_be_chosen_as_the_label(file):
    path = file("t.csv", table(y=np.arange(30) / 7).to_csv(index=False))
    assert len(add_file(path, Options(label="y")).label_names) == 30


def test_no_chosen_column_is_said(file):
    path = file("t.csv", table(label=["x", "y"] * 15).to_csv(index=False))
    refused(path, "No column is chosen", columns=())


def test_what_is_dropped_is_said(file):
    frame = table(
        60,
        id=range(60),
        constant=[7] * 60,
        empty=[None] * 60,
        sparse=[1.0, 2.5] + [None] * 58,
        word=["a b"] * 60,
    )
    frame.loc[3, "a"] = np.nan
    frame.loc[9, "b"] = np.inf
    added = add_file(file("t.csv", frame.to_csv(index=False)), Options())
    assert (added.size, added.shape) == (58, (2,))
    said = "; ".join(added.dropped)
    for words in (
        "column id: the number of the row",
        "column constant: the same value",
        "column empty: without any value",
        "column sparse: more than half",
        "column word: text",
        "rows with a value that is missing or not finite: 2",
    ):
        assert words in said


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_delimiters_marks_of_order_and_tables_without_a_header(file, delimiter):
    text = table().to_csv(index=False, sep=delimiter, header=False)
    added = add_file(file("t.csv", b"\xef\xbb\xbf" + text.encode()), Options())
    assert (added.size, added.columns) == (30, ("column 1", "column 2"))


def numbered(rows=30, columns=3):
    return pd.DataFrame(np.random.default_rng(0).normal(size=(rows, columns)))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (numbered().to_csv(index=False), ("0", "1", "2")),
        (numbered().assign(label=["x", "y"] * 15).to_csv(index=False), ("0", "1", "2")),
        (numbered().set_axis([1, 2, 3], axis=1).to_csv(index=False), ("1", "2", "3")),
        ("id,2019,2020\n" + "7,1.5,2\n4,3,1.5\n" * 15, ("id", "2019", "2020")),
        ("5.1,3.5,Iris\n" + "4.9,3,Iris\n4.7,3.2,Other\n" * 15, None),
        ("0,Iris,2.5\n" + "1,Iris,3.5\n4,Other,3.2\n" * 15, None),
        ("1.5,,2\n" + "3,2,1\n2.5,4,6\n" * 15, None),
        ("NA,5,2\n" + "3,2,1\n2.5,4,6\n" * 15, None),
        ("5,1;3,5;1,4\n" + "4,9;3;1,5\n4,7;3,2;1\n" * 15, None),
        ("1,5;2,5;0,5\n" + "2,5;0,5;1,5\n" * 30, None),
    ],
)
def test_first_line_names_the_columns_or_is_a_row(file, text, names):
    rows = text.count("\n") - (names is not None)
    added = add_file(file("t.csv", text), Options(label=""))
    assert set(names or [f"column {i + 1}" for i in range(3)]) <= set(added.columns)
    assert added.size + (",," in text or "NA" in text) == rows
    assert added.shape == (3 - ("Iris" in text),)


def test_whether_the_first_line_names_the_columns_can_be_said(file):
    path = file("t.csv", "1,2\n" + "3,4\n5,7\n" * 10)
    assert add_file(path, Options()).columns == ("1", "2")
    assert add_file(path, Options(headed=False)).size == 21
    path = file("u.csv", "3,4\n" + "1,2\n5,7\n" * 10)
    assert add_file(path, Options()).size == 21
    assert add_file(path, Options(headed=True)).columns == ("3", "4")


@pytest.mark.parametrize("header", ["", "a,b\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blank_lines_before_the_table(file, header, end):
    text = f"\n\n{header}" + "1.5,2\n3,5\n" * 10
    added = add_file(file("t.csv", text.replace("\n", end)), Options())
    assert (added.size, added.shape) == (20, (2,))


def test_many_long_names(file):
    frame = table(30, **{f"{'c' * 100} {i}": np.arange(30) % 7 for i in range(2000)})
    assert add_file(file("t.csv", frame.to_csv(index=False)), Options()).shape == (2002,)
    longest = file("u.csv", f"{'x' * 200_000},b\n" + "1,2\n3,5\n" * 10)
    with pytest.raises(MixvizError, match="field larger than field limit"):
        add_file(longest, Options())


def test_decimal_commas_are_read(file):
    text = "a;b\n" + "".join(f"{i},25;-{i % 7},5\n" for i in range(30))
    data = load(add_file(file("t.csv", text), Options()).name)
    assert data.columns["a"].tolist() == [i + 0.25 for i in range(30)]
    assert data.columns["b"].tolist() == [-(i % 7 + 0.5) for i in range(30)]


def test_delimiter_within_texts_is_none(file):
    text = "".join(f"a; b, c\t{i % 7}\t{i % 5}.5\n" for i in range(30))
    assert add_file(file("t.tsv", text), Options()).columns == ("column 1", "column 2", "column 3")


def test_parquet_gives_what_csv_gives(tmp_path):
    frame = table(label=["x", "y", "z"] * 10, when=pd.date_range("2026", periods=30))
    frame["word"] = frame["label"].astype("category")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "u.csv", index=False)
    one, other = (load(add_file(tmp_path / n, Options()).name) for n in ("t.parquet", "u.csv"))
    assert np.array_equal(one.x, other.x)
    assert one.labels.tolist() == other.labels.tolist()
    assert one.columns["word"].tolist() == ["x", "y", "z"] * 10


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_index_of_pandas_is_no_feature(tmp_path, kind):
    frame = table(60, c=range(0, 120, 2)).sample(30, random_state=0)
    path = tmp_path / f"t.{kind}"
    frame.sort_index().to_csv(path) if kind == "csv" else frame.to_parquet(path)
    index = "column 1" if kind == "csv" else "__index_level_0__"
    added = add_file(path, Options())
    assert f"column {index}: the index of the rows" in added.dropped
    assert added.shape == (3,)
    assert load(added.name).columns[index].max() > 30  # kept beside the features
    assert add_file(path, Options(columns=("a", index))).shape == (2,)


def test_nameless_measurements_are_features(file):
    frame = table().set_axis(["", "b"], axis=1)
    for values in (frame, frame.sort_values("")):
        added = add_file(file("t.csv", values.to_csv(index=False)), Options())
        assert (added.shape, added.dropped) == ((2,), ())


def test_columns_of_lists_are_said_to_be_left_out(tmp_path):
    frame = table(vector=[[1.0, 2.0]] * 30, raw=[b"x"] * 30)
    frame.to_parquet(tmp_path / "t.parquet")
    added = add_file(tmp_path / "t.parquet", Options())
    assert added.dropped == ("columns vector, raw: neither numbers nor texts",)
    assert set(added.columns) == {"a", "b"}
    frame[["vector"]].to_parquet(tmp_path / "u.parquet")
    with pytest.raises(MixvizError, match="column vector: neither numbers nor texts"):
        add_file(tmp_path / "u.parquet", Options())


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_whole_numbers_of_64_bits(tmp_path, kind):
    ids = 2**53 + 1 + np.random.default_rng(0).permutation(30) * 10**15
    path = tmp_path / f"t.{kind}"
    frame = table(id=ids)
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    assert load(add_file(path, Options()).name).columns["id"] == pytest.approx(ids)


def test_single_number_beside_a_matrix_of_one_row(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.ones((1, 3)), epoch=5)
    refused(tmp_path / "t.npz", "1 row; at least 10")


def test_matrices_and_what_lies_beside_them(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.integers(3, size=40)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "b.npz", x=x, y=y, weight=x[:, 0])
    assert load(add_file(tmp_path / "a.npy", Options(scaling="none")).name).x == pytest.approx(x)
    data = load(add_file(tmp_path / "b.npz", Options()).name)
    assert data.labels.tolist() == y.tolist()
    assert data.columns["weight"] == pytest.approx(x[:, 0])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "a,b\n1,2\n3\n" + "1,2\n" * 20, "has 2 values, and this one has 1: '3'"),
        ("t.csv", "a,b\n1,2\n3,4,5\n" + "1,2\n" * 20, "has 2 values, and this one has 3: '3,4,5'"),
        ("t.csv", "a,b,a\n" + "1,2,3\n" * 20, "2 columns named 'a'"),
        ("t.csv", "a,b\n1,2\n", "1 row; at least 10"),
        ("t.csv", "a,b\n", "0 rows"),
        ("t.csv", "", "is empty"),
        ("t.csv", "a,b\n" + "1,1\n" * 20, "no column of different numbers"),
        ("t.csv", "a,b\n" + "x,y\n" * 20, "no column of different numbers"),
        ("t.csv", "a,b\n" + "1,\n2,\n" * 20 + "inf,inf\n" * 60, "no column of different"),
        ("t.csv", ",".join(f"c{i}" for i in range(10**6)) + "\n", "longer than 1 MB"),
        ("t.csv", ",".join("c" + str(i) for i in range(20_000)) + "\n1\n", "20,000 columns"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("t.csv", "größe,b\n1,2\n".encode("latin-1"), "not UTF-8"),
        ("t.csv", "a,b\n" + "1,2\n" * 20 + '"1,2\n', "cannot be read as a table"),
        ("t.csv", b"a,b\n1\0,2\n" * 20, "bytes that no text has"),
        ("t.csv", "a,b\n" + "1e300,1\n-1e308,2\n" * 20, "too large"),
        ("t.parquet", b"PAR1" + b"\0" * 50, "cannot be read as a table"),
        ("t.parquet", "not parquet", "does not begin as"),
        ("t.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8'}", "can be read"),
        ("t.zip", b"PK\x03\x04" + b"\0" * 100, "cut short"),
        ("t.exe", b"MZ", "no kind that is read"),
    ],
)
def test_bad_tables_are_refused(file, name, content, words):
    refused(file(name, content), words)


def test_a_path_below_nobodys_home_cannot_be_opened():
    refused(Path("~nobody-of-this-name/points.csv"), "cannot be opened")


def test_a_byte_that_is_no_utf_8_far_down(file):
    lines = b"a,word\n" + b"1,x\n2,y\n" * 200 + b"3,\xff\n"
    refused(file("t.csv", lines), "not UTF-8")


def test_files_cut_short(file, tmp_path):
    table().to_parquet(tmp_path / "whole.parquet")
    np.save(tmp_path / "whole.npy", table().to_numpy())
    np.savez_compressed(tmp_path / "whole.npz", x=table().to_numpy())
    for name in ("whole.parquet", "whole.npy", "whole.npz"):
        content = (tmp_path / name).read_bytes()
        refused(file(f"cut-{name}", content[: len(content) * 2 // 3]))


class Touch:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_pickles_are_not_opened(tmp_path, save):
    trap = tmp_path / "trap"
    path = tmp_path / ("t.npy" if save is np.save else "t.npz")
    save(path, np.array([Touch(trap)] * 20, object), allow_pickle=True)
    refused(path, "Python objects")
    path.write_bytes(b"\x80\x04" + b"." * 50)  # a bare pickle
    refused(path, "does not begin as")
    assert not trap.exists()


def test_header_that_announces_more_than_there_is(file):
    shape = "(1000000000, 1000000000)"
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    refused(file("t.npy", content + b"\0" * 800), "cut short")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", content + b"\0" * 800)
    refused(file("t.npz", buffer.getvalue()), "cut short")


def test_parquet_that_repeats_one_long_word_a_million_times(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    with parquet.ParquetWriter(path, pa.schema({"word": pa.string(), "a": pa.int64()})) as writer:
        for _ in range(20):  # 2 GB as plain text
            words = ["x" * 10**5] * 1000
            writer.write_table(pa.table({"word": words, "a": np.arange(1000) % 7}))
    assert path.stat().st_size < 20 * 10**6
    code = (
        "import sys; from pathlib import Path; from mixviz.data.own import add_file;"
        "from mixviz.data.own_prepare import Options;"
        "assert add_file(Path(sys.argv[1]), Options()).shape == (1,);"
        "status = Path('/proc/self/status').read_text();"
        "print(status.split('VmHWM:')[1].split()[0])"  # most memory since this program started
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 700_000  # kilobytes
