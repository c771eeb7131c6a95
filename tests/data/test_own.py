"""The user's own files: what becomes of good ones, and that bad ones leave one sentence and nothing else."""

import io
import json
import os
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mixviz.data import SOURCES, load, source
from mixviz.data import own_images as images
from mixviz.data import own_tables as tables
from mixviz.data.own import (
    add_file,
    delete,
    deleted_sets,
    free_title,
    name_from,
    own_sets,
    rename,
    restore,
    root,
)
from mixviz.data.own_files import open_file
from mixviz.data.own_images import suggested_side
from mixviz.data.own_limits import LIMITS
from mixviz.data.own_prepare import Options, prepare
from mixviz.errors import MixvizError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path):
    """Write a file and return its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def table(rows=30, **columns):
    rng = np.random.default_rng(0)
    found = {"a": rng.normal(5, 2, rows), "b": rng.normal(-1, 0.1, rows)}
    return pd.DataFrame({**found, **columns})


def refused(path, *words, **options):
    """Check that a file is refused in one sentence with these words, and leaves nothing."""
    with pytest.raises(MixvizError) as caught:
        add_file(path, Options(**options))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    for word in words:
        assert word in message, message
    assert not own_sets()
    assert not root().exists() or not list(root().iterdir())
    return message


# ---- tables ----------------------------------------------------------------------------------


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


def test_every_process_sees_a_set_at_once(file):
    path = file("seen.csv", table().to_csv(index=False))
    command = [sys.executable, "-m", "mixviz", "add", str(path), "--name", "Seen", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "seen"
    assert "seen" in SOURCES
    assert "seen" in list(SOURCES)
    assert source("seen").shape == (2,)
    assert len(load("seen")) == 30


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


@pytest.mark.parametrize(
    ("values", "guessed"), [(np.arange(30) / 7, False), (np.arange(30) % 7, True)]
)
def test_label_beside_images_is_guessed_by_its_values_too(tmp_path, values, guessed):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "t.npz", x=pixels, y=values)
    assert add_file(tmp_path / "t.npz", Options()).labelled is guessed


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


# ---- pictures --------------------------------------------------------------------------------


def picture(value=0, size=(12, 10), mode="L", kind="PNG"):
    rng = np.random.default_rng(value)
    channels = {"L": (), "RGB": (3,)}[mode]
    pixels = rng.integers(0, 256, (size[1], size[0], *channels)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_folders_of_a_zip_are_classes(file):
    members = {f"all/{'cat' if i % 2 else 'dog'}/{i}.png": picture(i) for i in range(20)}
    members |= {"__MACOSX/all/._1.png": b"x", "all/.DS_Store": b"x", "all/readme.txt": "hello"}
    added = add_file(file("pets.zip", zipped(members)), Options())
    data = load(added.name)
    assert data.kind == "image"
    assert data.shape == (1, 28, 28)
    assert data.label_names == ("cat", "dog")
    assert (data.x.min() >= 0, data.x.max() <= 1, data.x.max() > 0.9) == (True, True, True)
    assert data.columns["file"][data.labels == 0][0].startswith("all/cat/")
    assert any("files that are not pictures: 1" in reason for reason in added.dropped)


@pytest.mark.parametrize("pattern", ["{}/images/{}.png", "all\\{}\\{}.png", "a/{}/b/c/{}.png"])
def test_classes_are_the_innermost_folders_that_differ(file, pattern):
    members = {pattern.format("cat" if i % 2 else "dog", i): picture(i) for i in range(20)}
    members["__MACOSX\\all\\1.png"] = b"x"
    data = load(add_file(file("pets.zip", zipped(members)), Options()).name)
    assert data.label_names == ("cat", "dog")
    assert data.labels.tolist() == [1, 0] * 10


def test_pictures_in_one_folder_have_no_classes(file):
    members = {f"all/images/{i}.png": picture(i) for i in range(20)}
    assert not add_file(file("pets.zip", zipped(members)), Options()).labelled


def test_folder_on_disk_in_colour_at_a_chosen_size(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i}.jpg").write_bytes(picture(i, (40, 30), "RGB", "JPEG"))
    (folder / "broken.png").write_bytes(picture(1)[:60])
    (folder / "link.png").symlink_to("/etc/passwd")
    added = add_file(folder, Options(side=16))
    assert (added.size, added.shape, added.labelled) == (12, (3, 16, 16), False)
    assert any("images that cannot be read: 1 (first: broken.png" in r for r in added.dropped)
    assert load(added.name).columns["file"].tolist()[0] == "0.jpg"


def test_names_of_files_and_folders_that_are_no_utf_8(tmp_path):
    place = os.fsencode(tmp_path / "pictures")
    for name in (b"caf\xe9", b"caf\xe8"):
        os.makedirs(place + b"/" + name)
        for i in range(6):
            Path(os.fsdecode(place + b"/" + name + b"/\xfc%d.png" % i)).write_bytes(picture(i))
    data = load(add_file(tmp_path / "pictures", Options()).name)
    assert data.label_names == ("caf\\udce8", "caf\\udce9")
    assert data.columns["file"][0] == "caf\\udce8/\\udcfc0.png"
    renamed = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9.csv"))
    renamed.write_text(table().to_csv(index=False))
    added = add_file(renamed, Options())
    assert (added.title, added.origin) == ("\\udce9t\\udce9", "\\udce9t\\udce9.csv")


def test_what_is_no_picture_is_said_in_words(tmp_path):
    for i in range(12):
        (tmp_path / f"{i}.png").write_bytes(picture(i))
    (tmp_path / "text.png").write_bytes(b"no picture at all")
    (reason,) = add_file(tmp_path, Options(side=16)).dropped
    assert "first: text.png, not a picture of a kind that is read" in reason


def test_pixels_are_kept_where_nothing_is_resized(file):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (15, 8, 8)).astype(np.uint8)
    members = {}
    for i, one in enumerate(pixels):
        buffer = io.BytesIO()
        Image.fromarray(one).save(buffer, "PNG")
        members[f"{i:02d}.png"] = buffer.getvalue()
    data = load(add_file(file("p.zip", zipped(members)), Options()).name)
    assert np.array_equal(data.x[:, 0] * 255, pixels)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("stored", ["<u2", ">u2"])
def test_16_bits_are_of_one_scale_in_dark_and_bright_pictures(tmp_path, kind, stored):
    for i in range(12):
        pixels = np.full((8, 8), 10 if i < 6 else 65535)
        pixels[0] = 200 if i < 6 else 257 * i
        Image.fromarray(pixels.astype(stored)).save(tmp_path / f"{i:02}.{kind.lower()}", kind)
    x = load(add_file(tmp_path, Options()).name).x
    assert x[:6].max() == pytest.approx(1 / 255)  # 200 of 65535, rounded to 8 bits
    assert x[6:, 0, 1:].min() == 1
    assert x[6:, 0, 0, 0] * 255 == pytest.approx(np.arange(6, 12))


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pictures_whose_brightness_has_no_scale(file, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=kind).reshape(8, 8)).save(buffer, "TIFF")
    members = {f"{i}.png": picture(i) for i in range(12)} | {"deep.tif": buffer.getvalue()}
    refused(file("t.zip", zipped(members)), "deep.tif has pixels of 32 bits")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("scale", [1, 255, -3.5])
def test_resized_arrays_keep_their_range(tmp_path, fit, scale):
    squares = np.zeros((40, 64, 48), np.uint8 if scale == 255 else np.float64)
    squares[:, 16:40, 16:40] = scale
    np.save(tmp_path / "t.npy", squares)
    contents = open_file(tmp_path / "t.npy")
    frames = np.stack(list(contents.squares(range(40), 28, False, fit)))
    assert (frames.min(), frames.max()) == (min(scale, 0), max(scale, 0))
    x = load(add_file(tmp_path / "t.npy", Options(side=28, fit=fit)).name).x
    assert (x.min(), x.max()) == (0, 1)


def test_borders_of_padded_arrays_are_zeros(tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).uniform(0.5, 1, (20, 64, 32)))
    x = load(add_file(tmp_path / "t.npy", Options(side=28, fit="pad")).name).x
    assert (x[..., 0].max(), x[..., 14].min() >= 0.5) == (0, True)


@pytest.mark.parametrize(
    ("sizes", "count", "side"),
    [
        ([(16, 16)] * 3, 100, 16),
        ([(32, 32)] * 3, 100, 32),
        ([(96, 96)] * 3, 100, 32),
        ([(20, 24), (18, 40), (30, 30)], 100, 28),
        ([(30, 300), (40, 40), (500, 31)], 100, 28),
        ([(40, 300), (40, 40), (500, 41)], 100, 32),
        ([(640, 480), (500, 375), (30, 30)], 100, 32),
        ([(640, 480), (500, 375)], 300_000, 28),
    ],
)
def test_side_is_suggested_by_the_median_picture(sizes, count, side):
    assert suggested_side(sizes, count) == side


def test_the_very_same_file_is_not_kept_twice(file):
    path = file("t.csv", "a,b,c\n" + "".join(f"{i},{i % 7},{i % 3}\n" for i in range(30)))
    added = add_file(path, Options(label="c"))
    assert add_file(path, Options(label="c")) == added
    assert list(own_sets()) == [added.name]
    assert add_file(path, Options(label="c"), "Another").name == "another"
    assert add_file(path, Options(label="")).name == "t-2"


def test_other_values_beside_the_same_features_are_another_set(file):
    def table(name, text):
        rows = "".join(f"{i},{i % 7},{text}{i}\n" for i in range(30))
        return file(name, f"a,b,who\n{rows}")

    chosen = Options(columns=("a", "b"))
    added = add_file(table("t.csv", "x"), chosen)
    assert "who" in added.columns
    assert add_file(table("again.csv", "x"), chosen) == added
    other = add_file(table("u.csv", "y"), chosen)
    assert other.name == "u"
    assert load("u").columns["who"][0] == "y0"


@pytest.mark.parametrize(
    "changed",
    [{"who": list("yz") * 15}, {"kind": list("xz") * 15}, {"who": range(30)}, {"more": range(30)}],
)
def test_other_values_or_classes_are_not_kept_under_the_same_name(file, changed):
    frame = table(kind=list("xy") * 15, who=list("xy") * 15)
    chosen = Options(columns=("a", "b"), label="kind")
    first = add_file(file("t.csv", frame.to_csv(index=False)), chosen, "One")
    assert add_file(file("same.csv", frame.to_csv(index=False)), chosen, "One") == first
    other = file("u.csv", frame.assign(**changed).to_csv(index=False))
    with pytest.raises(MixvizError, match="named one already"):
        add_file(other, chosen, "One")
    assert add_file(other, chosen).hash == first.hash
    assert list(own_sets()) == ["u", "one"]


def test_one_long_text_takes_no_memory_in_every_row(file):
    rows = "".join(f"{i % 7},{i % 5},{'x' * 200 if i == 5 else i % 9}\n" for i in range(50_000))
    path = file("t.csv", f"a,b,word\n{rows}")
    add_file(path, Options(columns=("a",)))  # what is imported once takes memory too
    tracemalloc.start()
    try:
        added = add_file(path, Options())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 50 * 10**6
    words = load(added.name).columns["word"]
    assert [words[i] for i in (4, 5, 6)] == ["4", "x" * 200, "6"]


def test_images_in_arrays(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (20, 16, 16)).astype(np.uint8)
    np.savez(tmp_path / "grey.npz", images=grey, labels=np.arange(20) % 4)
    data = load(add_file(tmp_path / "grey.npz", Options()).name)
    assert np.allclose(data.x[:, 0] * 255, grey, atol=1e-4)
    assert len(data.label_names) == 4
    np.save(tmp_path / "colour.npy", rng.normal(size=(20, 9, 12, 3)))
    colour = load(add_file(tmp_path / "colour.npy", Options(side=12)).name)
    assert colour.shape == (3, 12, 12)
    assert (colour.x.min(), colour.x.max()) == (0, 1)


@pytest.mark.parametrize("shape", [(40, 3), (40, 8, 8)])
def test_arrays_stay_as_they_were_when_opened(tmp_path, shape):
    before = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    np.save(tmp_path / "t.npy", before)
    opened = open_file(tmp_path / "t.npy")
    with (tmp_path / "t.npy").open("r+b") as stream:
        np.save(stream, before + 5)
    x = prepare(opened, Options(scaling="none")).x
    assert np.array_equal(x.reshape(shape), before)


def test_an_archive_that_changed_since_it_was_opened(file):
    opened = open_file(file("t.zip", zipped({f"{i}.png": picture(i) for i in range(12)})))
    file("t.zip", zipped({f"other {i}.png": picture(i) for i in range(12)}))
    with pytest.raises(MixvizError, match="has changed since it was opened"):
        prepare(opened, Options())


def test_archives_that_leave_their_folder(file):
    for name in ("../evil.png", "/evil.png", "a/../../evil.png", "C:/evil.png", "..\\evil.png"):
        content = zipped({name: picture(), **{f"{i}.png": picture(i) for i in range(12)}})
        refused(file("t.zip", content), "leaves the archive")


def test_links_and_passwords_in_archives(file):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("a.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    refused(file("t.zip", buffer.getvalue()), "links")
    content = bytearray(zipped({"a.png": picture()}))
    place = content.index(b"PK\x01\x02")
    content[place + 8] |= 1  # says that it is encrypted
    refused(file("t.zip", bytes(content)), "encrypted")


def test_bomb_is_refused_by_its_sizes(file):
    content = zipped({f"{i}.png": b"\0" * 20_000_000 for i in range(12)})
    assert len(content) < 500_000
    refused(file("t.zip", content), "would unpack to 0.2 GB")


def test_picture_of_gigapixels_is_refused_by_its_header(file):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))
    members = {f"{i}.png": picture(i) for i in range(12)}
    refused(file("t.zip", zipped({**members, "huge.png": huge})), "megapixels")


def test_archives_without_usable_pictures(file):
    refused(file("a.zip", zipped({"a.txt": "hello"})), "holds no pictures")
    refused(file("b.zip", zipped({"a.png": picture()})), "1 picture; at least 10")
    broken = {f"{i}.png": b"no picture" for i in range(12)}
    refused(file("c.zip", zipped(broken)), "can be read")
    content = zipped({f"{i}.png": picture(i) for i in range(12)})
    refused(file("d.zip", content[: len(content) // 2]), "cut short")


def test_more_numbers_than_the_limit(file, monkeypatch):
    monkeypatch.setattr(images, "LIMITS", LIMITS)
    content = zipped({f"{i}.png": picture(i) for i in range(12)})
    refused(file("t.zip", content), "4 to 128", side=500)
    assert tables.LIMITS is LIMITS


# ---- keeping ---------------------------------------------------------------------------------


def test_the_same_file_twice_is_one_set(file):
    path = file("t.csv", table().to_csv(index=False))
    first = add_file(path, Options(), "One")
    assert add_file(path, Options(), "One") == first
    other = file("u.csv", table(40).to_csv(index=False))
    with pytest.raises(MixvizError, match="named one already"):
        add_file(other, Options(), "One")
    with pytest.raises(MixvizError, match="named mnist already"):
        add_file(other, Options(), "MNIST")
    assert list(own_sets()) == ["one"]


@pytest.mark.parametrize("title", ["a" * 60, "İ" * 60, "a-" * 100, "Ж" * 120], ids=ascii)
def test_long_names_that_are_taken_get_numbers(file, title):
    names = set()
    for rows in range(20, 32):
        path = file(f"{title}.csv"[-80:], table(rows).to_csv(index=False))
        names.add(add_file(path, Options()).name)
    assert len(names) == 12
    assert free_title(title * 3) != title * 3
    assert name_from(free_title(title * 3)) not in names


def test_renamed_deleted_and_brought_back(file):
    added = add_file(file("t.csv", table().to_csv(index=False)), Options())
    before = load("t").x
    rename("t", "Another *name*")
    assert source("t").title == "Another *name*"
    delete("t")
    assert "t" not in SOURCES
    assert list(deleted_sets()) == ["t"]
    with pytest.raises(MixvizError, match="no data set 't'"):
        load("t")
    restore("t")
    assert np.array_equal(load("t").x, before)
    assert own_sets()["t"].hash == added.hash
    with pytest.raises(MixvizError, match="not there any more"):
        restore("t")


def test_new_set_of_an_old_name_is_not_the_old_one(file):
    add_file(file("t.csv", table().to_csv(index=False)), Options())
    before = load("t").x
    for path in sorted((root() / "t").iterdir()):
        path.unlink()
    (root() / "t").rmdir()
    add_file(file("t.csv", table(50).to_csv(index=False)), Options())
    assert len(load("t").x) == 50 != len(before)


def test_what_was_left_while_saving_is_removed_after_a_day(file):
    for hours, name in ((1, ".adding-new"), (25, ".adding-old")):
        (root() / name).mkdir(parents=True)
        (root() / name / "x.npy").touch()
        os.utime(root() / name, (time.time() - 3600 * hours,) * 2)
    add_file(file("t.csv", table().to_csv(index=False)), Options())
    assert sorted(path.name for path in root().iterdir()) == [".adding-new", "t"]


def test_damaged_sets_hide_no_other(file):
    add_file(file("whole.csv", table().to_csv(index=False)), Options())
    add_file(file("broken.csv", table(40).to_csv(index=False)), Options())
    x = root() / "broken" / "x.npy"
    x.write_bytes(x.read_bytes()[:200])
    with pytest.raises(MixvizError, match="damaged"):
        load("broken")
    (root() / "broken" / "description.json").write_text('{"name": "broken"')
    assert list(own_sets()) == ["whole"]
    assert len(load("whole")) == 30
