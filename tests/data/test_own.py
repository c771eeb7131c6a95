"""The user's own data sets: kept once, named, renamed, deleted and brought back."""

import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mixviz.data import SOURCES, load, source
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
from mixviz.data.own_prepare import Options
from mixviz.errors import MixvizError
from tests.data.driver import picture, table

pytestmark = pytest.mark.usefixtures("home")


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
