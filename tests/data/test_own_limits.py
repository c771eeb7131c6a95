"""Limits on the user's own files: each is reached in small, and what is at it is still taken."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from mixviz.data import (
    load,
    own_archives,
    own_columns,
    own_csv,
    own_files,
    own_images,
    own_prepare,
    own_tables,
)
from mixviz.data.own import add_file
from mixviz.data.own_files import open_file
from mixviz.data.own_limits import Limits
from mixviz.data.own_prepare import Options
from tests.data.driver import picture, refused, table, zipped

pytestmark = pytest.mark.usefixtures("home")

ROWS, COLUMNS, PICTURES = 30, 2, 12


@pytest.fixture
def limit(monkeypatch):
    """Set limits in one module, and leave those of all others."""

    def limit(module, **limits):
        monkeypatch.setattr(module, "LIMITS", Limits(**limits))

    return limit


@pytest.fixture
def written(tmp_path):
    """Write a small file of a kind and return its path: a table of two columns, or 12 pictures."""

    def write(kind):
        path = tmp_path / f"t.{kind}"
        pictures = {f"{i}.png": picture(i) for i in range(PICTURES)}
        if kind == "csv":
            table(ROWS).to_csv(path, index=False)
        elif kind == "parquet":
            table(ROWS).to_parquet(path)
        elif kind == "npy":
            np.save(path, table(ROWS).to_numpy())
        elif kind == "zip":
            path.write_bytes(zipped(pictures))
        elif kind == "images.npy":
            np.save(path, np.random.default_rng(0).uniform(size=(PICTURES, 10, 12)))
        else:
            path.mkdir()
            for name, content in pictures.items():
                (path / name).write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy"])
@pytest.mark.parametrize(
    ("name", "most", "words"),
    [
        ("columns", COLUMNS, "2 columns; at most 1"),
        ("rows", ROWS, "30 rows; at most 29"),
        ("numbers", ROWS * COLUMNS, "30 rows of 2 columns; at most 59 numbers"),
    ],
)
def test_size_of_a_table(written, limit, kind, name, most, words):
    path = written(kind)
    limit(own_tables, **{name: most - 1})
    refused(path, words)
    limit(own_tables, **{name: most})
    assert add_file(path, Options()).size == ROWS


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy"])
def test_fewest_rows_of_a_table(written, limit, kind):
    path = written(kind)
    for module in (own_csv, own_tables):
        limit(module, fewest=ROWS + 1)
    refused(path, "30 rows; at least 31")
    for module in (own_csv, own_tables):
        limit(module, fewest=ROWS)
    assert add_file(path, Options()).size == ROWS


def test_fewest_rows_that_can_be_used(file, limit):
    frame = table(ROWS)
    frame.loc[3, "a"] = np.nan
    path = file("t.csv", frame.to_csv(index=False))
    limit(own_prepare, fewest=ROWS)
    refused(path, "1 of the 30 rows of t.csv cannot be used")
    limit(own_prepare, fewest=ROWS - 1)
    assert add_file(path, Options()).size == ROWS - 1


@pytest.mark.parametrize("kind", ["csv", "zip"])
def test_bytes_of_a_file(written, limit, kind):
    path = written(kind)
    limit(own_files, file=path.stat().st_size - 1)
    refused(path, "GB can be read")
    limit(own_files, file=path.stat().st_size)
    assert add_file(path, Options()).size in (ROWS, PICTURES)


def test_bytes_of_the_first_line(file, limit):
    path = file("t.csv", "a,b\n" + "1,2\n3,5\n" * 10)
    limit(own_csv, header=2)
    refused(path, "first line of t.csv is longer")
    limit(own_csv, header=3)
    assert add_file(path, Options()).size == 20


def test_memory_of_a_table(written, limit):
    path = written("parquet")
    most = parquet.read_table(path).nbytes
    limit(own_tables, table=most - 1)
    refused(path, "GB in memory; save fewer rows or columns")
    limit(own_tables, table=most)
    assert add_file(path, Options()).size == ROWS


def test_classes(file, limit):
    path = file("t.csv", table(ROWS, label=list("xyz") * 10).to_csv(index=False))
    limit(own_prepare, classes=2)
    refused(path, "3 different values, too many for a label; at most 2")
    limit(own_prepare, classes=3)
    assert len(add_file(path, Options()).label_names) == 3


@pytest.mark.parametrize("values", [list("xyz") * 10, [1, 2, 3] * 10])
def test_classes_of_a_guessed_label(file, limit, values):
    path = file("t.csv", table(ROWS, label=values).to_csv(index=False))
    limit(own_columns, classes=2)
    assert not add_file(path, Options()).labelled
    limit(own_columns, classes=3)
    assert add_file(path, Options()).labelled


def test_classes_by_folders(file, limit):
    path = file("t.zip", zipped({f"{'abc'[i % 3]}/{i}.png": picture(i) for i in range(PICTURES)}))
    limit(own_images, classes=2)
    assert not add_file(path, Options()).labelled
    limit(own_images, classes=3)
    assert add_file(path, Options()).labelled


def test_columns_that_are_kept(written, limit):
    limit(own_prepare, kept=1)
    assert add_file(written("csv"), Options()).columns == ("a",)


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_characters_of_a_value(tmp_path, limit, kind):
    path, words = tmp_path / f"t.{kind}", ["long word", "another one"] * 15
    if kind == "csv":
        table(ROWS, label=words).to_csv(path, index=False)
    else:
        np.savez(path, x=table(ROWS).to_numpy(), label=words)
    limit(own_tables, text=4)
    assert add_file(path, Options()).label_names == ("anot", "long")


def test_characters_of_texts_in_arrays(tmp_path, limit):
    path = tmp_path / "t.npz"
    np.savez(path, x=table(ROWS).to_numpy(), label=["x" * 50, "y"] * 15)  # 200 bytes each
    limit(own_tables, text=4)
    refused(path, "texts of 200 bytes each")
    limit(own_tables, text=5)
    assert add_file(path, Options()).labelled


def test_characters_of_a_pictures_name(written, limit):
    limit(own_prepare, text=5)
    assert load(add_file(written("zip"), Options()).name).columns["file"][11] == "1.png"


@pytest.mark.parametrize("kind", ["zip", "folder", "images.npy"])
def test_number_of_pictures(written, limit, kind):
    path = written(kind)
    limit(own_images, pictures=PICTURES - 1)
    refused(path, "holds 12", " 11 can be read")
    limit(own_images, fewest=PICTURES + 1)
    refused(path, "holds 12", "13")
    limit(own_images, pictures=PICTURES, fewest=PICTURES)
    assert add_file(path, Options(side=8)).size == PICTURES


def test_fewest_pictures_that_can_be_read(file, limit):
    members = {f"{i}.png": picture(i) for i in range(PICTURES)} | {"broken.png": b"no picture"}
    path = file("t.zip", zipped(members))
    limit(own_prepare, fewest=PICTURES + 1)
    refused(path, "1 of the 13 images in t.zip cannot be read: broken.png")
    limit(own_prepare, fewest=PICTURES)
    assert add_file(path, Options()).size == PICTURES


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_bytes_of_a_picture(written, limit, kind):
    path = written(kind)
    most = max(len(picture(i)) for i in range(PICTURES))
    for module in (own_images, own_archives):
        limit(module, picture=most - 1)
    refused(path, "png is larger than")
    for module in (own_images, own_archives):
        limit(module, picture=most)
    assert add_file(path, Options()).size == PICTURES


def test_pixels_of_a_picture(written, limit):
    path = written("zip")
    limit(own_images, pixels=12 * 10 - 1)
    refused(path, "has more than 0 megapixels")
    limit(own_images, pixels=12 * 10)
    assert add_file(path, Options()).size == PICTURES


@pytest.mark.parametrize(("kind", "module"), [("zip", own_archives), ("folder", own_images)])
def test_members(written, limit, kind, module):
    path = written(kind)
    limit(module, members=PICTURES - 1)
    refused(path, "more than 11 files" if kind == "folder" else "12 entries; at most 11")
    limit(module, members=PICTURES)
    assert add_file(path, Options()).size == PICTURES


def test_bytes_that_an_archive_unpacks_to(written, limit):
    path = written("zip")
    most = sum(len(picture(i)) for i in range(PICTURES))
    limit(own_archives, unpacked=most - 1)
    refused(path, "that is too much")
    limit(own_archives, unpacked=most)
    assert add_file(path, Options()).size == PICTURES


def test_ratio_of_an_archive(file, limit, monkeypatch):
    members = {}
    for i in range(PICTURES):
        buffer = io.BytesIO()
        Image.fromarray(np.full((50, 50), 20 * i, np.uint8)).save(buffer, "BMP")
        members[f"{i}.bmp"] = buffer.getvalue()
    path = file("t.zip", zipped(members))
    with own_archives.open_zip(path, "") as archive:
        packed = sum(one.compress_size for one in archive.infolist())
        unpacked = sum(one.file_size for one in archive.infolist())
    monkeypatch.setattr(own_archives, "RATIO_FROM", unpacked - 1)
    limit(own_archives, ratio=math.ceil(unpacked / packed) - 1)
    refused(path, "that is too much")
    monkeypatch.setattr(own_archives, "RATIO_FROM", unpacked)
    assert open_file(path).suggested() == (32, False)
    monkeypatch.setattr(own_archives, "RATIO_FROM", unpacked - 1)
    limit(own_archives, ratio=math.ceil(unpacked / packed))
    assert add_file(path, Options()).size == PICTURES


@pytest.mark.parametrize("kind", ["zip", "images.npy"])
def test_size_of_images(written, limit, kind):
    path = written(kind)
    limit(own_prepare, side=15)
    refused(path, "Images of 16x16 pixels are not made; 4 to 15 are", side=16)
    limit(own_prepare, numbers=3 * PICTURES * 16 * 16 - 1)
    refused(path, "12 images of 16x16 pixels are more than", side=16, colour=True)
    limit(own_prepare, side=16, numbers=3 * PICTURES * 16 * 16)
    assert add_file(path, Options(side=16, colour=True)).shape == (3, 16, 16)


def test_suggested_size_of_images(limit):
    limit(own_images, numbers=32 * 32 * 100 - 1)
    assert own_images.suggested_side([(64, 48)], 100) == 28
    limit(own_images, numbers=32 * 32 * 100)
    assert own_images.suggested_side([(64, 48)], 100) == 32
