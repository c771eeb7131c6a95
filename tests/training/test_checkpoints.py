"""Tests of checkpoint files: whole or mended after a crash, readable by nothing but safe formats."""

import ast
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import mixviz
from mixviz.errors import MixvizError
from mixviz.models import build, create, model_class
from mixviz.runs import RunStore
from mixviz.training import checkpoints
from mixviz.training.saved import evaluate_run, load_run
from tests.training.conftest import begin, finish


def made(seed=0, name="gmvae-v2", **settings):
    """Return a small model with its optimisers, and its noise stream."""
    config = build(model_class(name).Config, {"components": 3, **settings})
    model = create(name, config, (2,), torch.Generator().manual_seed(seed))
    model.make_optimizers()
    return model, torch.Generator().manual_seed(seed)


def stepped(seed=0):
    model, stream = made(seed)
    x = torch.rand((50, 2), generator=torch.Generator().manual_seed(5))
    for _ in range(3):
        model.training_step(x, stream)
    return model, stream, x


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "checkpoint"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Folder with the checkpoint of a model after three steps; tests take copies."""
    folder = tmp_path_factory.mktemp("original") / "checkpoint"
    model, stream, _ = stepped()
    checkpoints.save_checkpoint(folder, model, stream, {"step": 3, "seconds": 1.5, "live": {}})
    return folder


@pytest.fixture
def saved(original, folder):
    """Copy of the checkpoint of a model after three steps."""
    return shutil.copytree(original, folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store and a finished run; tests must not change it."""
    store = RunStore(tmp_path_factory.mktemp("home"))
    return store, finish(store, begin(store, epochs=1))


def test_next_step_after_loading_is_the_same_bit_for_bit(saved):
    model, stream, x = stepped()
    twin, twin_stream = made(seed=9)
    checkpoints.load_weights(saved, twin)
    checkpoints.load_optimizers(saved, twin, twin_stream)
    assert twin.training_step(x, twin_stream) == model.training_step(x, stream)
    for key, value in model.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value)
    assert checkpoints.load_state(saved) == {"step": 3, "seconds": 1.5, "live": {}}


def test_new_checkpoint_replaces_the_old_one_and_leaves_nothing_behind(saved):
    model, stream, _ = stepped(seed=1)
    checkpoints.save_checkpoint(saved, model, stream, {"step": 4, "seconds": 2, "live": {}})
    assert checkpoints.load_state(saved)["step"] == 4
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint"]


def test_crash_before_the_first_rename_keeps_the_old_checkpoint(saved, monkeypatch):
    model, stream, _ = stepped(seed=1)

    def crash(*names):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save_checkpoint(saved, model, stream, {"step": 4, "seconds": 2, "live": {}})
    assert checkpoints.has_checkpoint(saved)
    assert checkpoints.load_state(saved)["step"] == 3


def test_crash_between_the_renames_is_mended(saved):
    os.rename(saved, saved.with_name(".checkpoint.old"))
    assert checkpoints.has_checkpoint(saved)
    assert checkpoints.load_state(saved)["step"] == 3
    checkpoints.load_weights(saved, made()[0])


def test_crash_after_the_renames_leaves_the_new_checkpoint(saved):
    old = saved.with_name(".checkpoint.old")
    shutil.copytree(saved, old)
    (saved / "state.json").write_text('{"step": 4, "seconds": 1, "live": {}}')
    assert checkpoints.has_checkpoint(saved)
    assert checkpoints.load_state(saved)["step"] == 4


def test_no_checkpoint_is_no_checkpoint(folder):
    assert not checkpoints.has_checkpoint(folder)
    folder.mkdir(parents=True)
    assert not checkpoints.has_checkpoint(folder)


def test_reader_between_the_renames_does_not_break_the_writer(saved, monkeypatch):
    model, stream, _ = stepped(seed=1)
    rename, readers = os.rename, iter([True])

    def renamed(source, target):
        rename(source, target)
        if Path(target).name == ".checkpoint.old" and next(readers, False):
            assert checkpoints.has_checkpoint(saved)

    monkeypatch.setattr(os, "rename", renamed)
    checkpoints.save_checkpoint(saved, model, stream, {"step": 4, "seconds": 2, "live": {}})
    assert next(readers, None) is None
    assert checkpoints.load_state(saved)["step"] == 4


def load(folder, file):
    model, stream = made()
    if file == "model.safetensors":
        checkpoints.load_weights(folder, model)
    elif file == "optimizer.safetensors":
        checkpoints.load_optimizers(folder, model, stream)
    else:
        checkpoints.load_state(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b"\x80\x04\x95garbage\xff" * 20),
    ],
    ids=["missing", "empty", "truncated", "garbage"],
)
def test_damaged_file_is_named_in_one_line(saved, file, damage):
    damage(saved / file)
    with pytest.raises(MixvizError, match="cannot be") as caught:
        load(saved, file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", ["{}", "[]", '{"step": "3", "seconds": 1, "live": {}}'])
def test_state_that_says_too_little_is_refused_in_one_line(saved, state):
    (saved / "state.json").write_text(state)
    with pytest.raises(MixvizError, match="checkpoint cannot be read") as caught:
        checkpoints.load_state(saved)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_refused_in_one_line(saved):
    other, _ = made(name="gmvae-v1")
    with pytest.raises(MixvizError, match="weights of this run cannot be loaded") as caught:
        checkpoints.load_weights(saved, other)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_damaged_run_is_not_evaluated(finished, tmp_path):
    store, run = finished
    path = store.checkpoint_folder(run) / "model.safetensors"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1])
        with pytest.raises(MixvizError, match="cannot be loaded"):
            evaluate_run(store, run)
    finally:
        path.write_bytes(content)


def test_run_without_a_checkpoint_is_not_evaluated(store):
    with pytest.raises(MixvizError, match="has no checkpoint"):
        evaluate_run(store, begin(store))


def test_saved_run_is_loaded_as_it_ended(finished):
    store, run = finished
    saved = load_run(store, run)
    assert saved.step == store.get(run).step == 10
    assert not saved.model.training
    assert saved.plan.as_json() == store.get(run).config


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_and_buffers_that_are_not_finite_are_seen(value):
    model, _ = made()
    assert checkpoints.all_finite(model)
    model.register_buffer("counter", torch.zeros(3, dtype=torch.long))
    assert checkpoints.all_finite(model)
    model.register_buffer("running_mean", torch.tensor([0.0, value]))
    assert not checkpoints.all_finite(model)


# ---- safe formats ----------------------------------------------------------------------------


def test_files_of_a_run_are_safetensors_json_and_plain_arrays(finished):
    store, run = finished
    files = {path.relative_to(store.folder(run)) for path in store.folder(run).rglob("*.*")}
    folder = store.checkpoint_folder(run)
    assert {str(path) for path in files if path.parts[0] == "checkpoint"} == {
        "checkpoint/model.safetensors",
        "checkpoint/optimizer.safetensors",
        "checkpoint/state.json",
    }
    for name in ("model", "optimizer"):
        with safe_open(folder / f"{name}.safetensors", "pt") as tensors:
            assert len(list(tensors.keys())) > 1
    assert set(json.loads((folder / "state.json").read_bytes())) == {"step", "seconds", "live"}
    arrays = [path for path in files if path.parts[0] != "checkpoint"]
    assert len(arrays) > 2
    for path in arrays:
        assert path.suffix == ".npz"
        with np.load(store.folder(run) / path, allow_pickle=False) as archive:
            for name in archive.files:
                assert archive[name].dtype != object


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


def test_nothing_in_the_package_reads_or_writes_pickles():
    unsafe = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    sources = sorted(Path(mixviz.__file__).parent.rglob("*.py"))
    assert len(sources) > 30
    for path in sources:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert unsafe.isdisjoint(name.split(".")[0] for name in names), path
        for function, keywords in calls(tree):
            assert function not in ("torch.save", "pd.read_pickle"), path
            if function == "torch.load":
                assert keywords.get("weights_only") == "True", path
            if function in ("np.load", "numpy.load"):
                assert keywords.get("allow_pickle") == "False", path


def test_folder_of_a_save_that_was_killed_is_removed_by_the_next(store):
    run = begin(store)
    leftover = store.folder(run) / ".checkpoint.killed"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half a fi")
    finish(store, run)
    assert not list(store.folder(run).glob(".checkpoint.*"))


def test_live_setting_the_model_does_not_have_is_refused(store):
    run = finish(store, begin(store))
    path = store.checkpoint_folder(run) / "state.json"
    state = json.loads(path.read_bytes())
    state["live"]["components"] = 3
    path.write_text(json.dumps(state))
    with pytest.raises(MixvizError, match="'components', which is no live setting"):
        load_run(store, run)
