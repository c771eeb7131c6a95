"""Tests of the names of components: kept with the run, carried by bundles, refused when damaged."""

import json
import zipfile

import pytest

from mixviz.errors import MixvizError
from mixviz.runs import RunStore
from mixviz.runs.bundle import export_run, import_run
from mixviz.runs.names import FILE, component_names, given_names, name_component, tidy


@pytest.fixture
def home(tmp_path):
    return RunStore(tmp_path / "home")


@pytest.fixture
def run(home):
    config = {"dataset": "arcs", "model": "gmm", "settings": {}, "run": {}}
    made = home.create(model="gmm", dataset="arcs", config=config)
    home.update(made, status="finished")
    return made


def test_names_are_kept_and_taken_away(home, run):
    assert component_names(home, run, 2) == ["0", "1"]
    name_component(home, run, 1, "seven")
    name_component(home, run, 0, "seven")  # two components may well be the same digit
    assert component_names(RunStore(home.home), run, 3) == ["0 · seven", "1 · seven", "2"]
    name_component(home, run, 0, "  ")
    name_component(home, run, 1, "")
    assert given_names(home, run) == {}
    assert not (home.folder(run) / FILE).exists()


def test_names_are_one_printable_line():
    assert tidy(" a\nb\t\x07c\u202e ") == "a b c"
    assert len(tidy("x" * 500)) == 60


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"a": "b"}', '{"1": 2}', '{"1": " x"}', '{"1": ""}', '{"-1": "x"}', "\xff"],
)
def test_damaged_names_are_no_names(home, run, content):
    (home.folder(run) / FILE).write_bytes(content.encode("latin-1"))
    assert component_names(home, run, 2) == ["0", "1"]
    name_component(home, run, 0, "again")
    assert given_names(home, run) == {0: "again"}


def test_bundle_carries_names(home, run, tmp_path):
    name_component(home, run, 3, "Äpfel *und* <b>")
    export_run(home, run, tmp_path / "a.mixviz")
    other = RunStore(tmp_path / "other")
    assert given_names(other, import_run(other, tmp_path / "a.mixviz")) == {3: "Äpfel *und* <b>"}


def test_bundle_without_names_has_no_such_member(home, run, tmp_path):
    export_run(home, run, tmp_path / "a.mixviz")
    assert "names.json" not in zipfile.ZipFile(tmp_path / "a.mixviz").namelist()


@pytest.mark.parametrize("names", [[], {"1": "a\nb"}, {"1": 5}, {"x" * 9: "a"}])
def test_bundle_with_wrong_names_is_refused(home, run, tmp_path, names):
    path = tmp_path / "a.mixviz"
    export_run(home, run, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("names.json", json.dumps(names))
    other = RunStore(tmp_path / "other")
    with pytest.raises(MixvizError, match=r"names\.json"):
        import_run(other, path)
    assert other.runs() == []
