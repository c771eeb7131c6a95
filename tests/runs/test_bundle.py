"""A run survives its bundle exactly, and no bundle, however made, does harm."""

import dataclasses
import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
import warnings
import zipfile

import numpy as np
import pytest

from mixviz.errors import MixvizError
from mixviz.runs import RunStore, Status, bundle, bundle_reader
from mixviz.runs.bundle import export_run, import_run, import_shipped, peek, shipped_bundles
from mixviz.training.config import RunConfig
from tests.runs.conftest import make_config, make_snapshot, make_subsample
from tests.runs.test_snapshots import Trap, assert_same


@pytest.fixture
def path(store, run, tmp_path):
    """A bundle of the run."""
    export_run(store, run, tmp_path / "run.mixviz")
    return tmp_path / "run.mixviz"


@pytest.fixture
def other(tmp_path):
    """Another, empty store."""
    return RunStore(tmp_path / "other")


def rewrite(path, **changes):
    """Write the bundle again; a change is a member's new bytes, or None to leave it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= changes
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)


def change_run(path, **fields):
    with zipfile.ZipFile(path) as archive:
        values = json.loads(archive.read("run.json"))
    rewrite(path, **{"run.json": json.dumps(values | fields)})


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def assert_nothing_remains(store):
    assert store.runs() == []
    left = {item.name for item in store.home.iterdir()} - {"runs"}
    assert all(name.startswith("runs.sqlite") for name in left), left
    assert not list(store.home.glob("runs/*"))
    for table in ("terms", "snapshots", "events"):
        assert store._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0


def assert_refused(store, path, message):
    with pytest.raises(MixvizError, match=message) as caught:
        import_run(store, path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert_nothing_remains(store)


# ---- there and back --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.FINISHED, Status.STOPPED])
def test_run_comes_back_exactly(store, run, path, other, status):
    store.update(run, status=status)
    store.tag([run], "kept")
    store.annotate([run], note="What was seen.\n\nTwice.")
    export_run(store, run, path)
    assert import_run(other, path) == run
    expected = dataclasses.replace(store.get(run), heartbeat=0, host="", pid=0)
    assert other.get(run) == expected
    assert other.terms(run) == store.terms(run)
    assert other.events(run) == store.events(run)
    assert other.snapshot_metrics(run) == store.snapshot_metrics(run)
    rows = [
        list(map(tuple, s._db.execute("SELECT * FROM snapshots ORDER BY step")))
        for s in (store, other)
    ]
    assert rows[0] == rows[1]
    assert_same(other.subsample(run), store.subsample(run))
    for step in (0, 10, 20):
        assert_same(other.snapshot(run, step), store.snapshot(run, step))
    files = [
        {
            str(file.relative_to(s.folder(run))): file.read_bytes()
            for file in s.folder(run).rglob("*")
            if file.is_file()
        }
        for s in (store, other)
    ]
    if status is Status.FINISHED:
        del files[0]["checkpoint/optimizer.safetensors"]
    assert files[0] == files[1]
    assert {item.name for item in other.home.iterdir() if item.is_dir()} == {"runs"}


def test_bundle_of_an_import_is_the_same_bundle(path, other, tmp_path):
    export_run(other, import_run(other, path), tmp_path / "again.mixviz")
    assert (tmp_path / "again.mixviz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("status", [Status.FINISHED, Status.INTERRUPTED])
def test_imported_run_is_exported_with_its_model_whatever_became_of_it(
    path, other, tmp_path, status
):
    run = import_run(other, path)
    assert not (other.checkpoint_folder(run) / "optimizer.safetensors").exists()
    other.update(run, status=status)
    export_run(other, run, tmp_path / "again.mixviz")
    with zipfile.ZipFile(tmp_path / "again.mixviz") as archive:
        files = {name for name in archive.namelist() if name.startswith("checkpoint/")}
    assert files == {"checkpoint/model.safetensors", "checkpoint/state.json"}


@pytest.mark.parametrize("lost", ["model.safetensors", "state.json"])
def test_run_whose_checkpoint_is_not_whole_is_not_exported(store, run, tmp_path, lost):
    (store.checkpoint_folder(run) / lost).unlink()
    with pytest.raises(MixvizError, match=f"checkpoint cannot be read .*{lost}"):
        export_run(store, run, tmp_path / "run.mixviz")
    assert not list(tmp_path.glob("*.mixviz"))


def test_run_killed_while_its_checkpoint_was_replaced_is_exported_with_it(store, run, tmp_path):
    folder = store.checkpoint_folder(run)
    folder.rename(folder.with_name(".checkpoint.old"))
    export_run(store, run, tmp_path / "run.mixviz")
    with zipfile.ZipFile(tmp_path / "run.mixviz") as archive:
        assert "checkpoint/model.safetensors" in archive.namelist()


def test_beginning_of_an_id_is_enough(store, run, tmp_path):
    export_run(store, run[:12], tmp_path / "run.mixviz")
    assert peek(tmp_path / "run.mixviz").id == run


def test_peek_names_the_run(run, path):
    found = peek(path)
    assert (found.id, found.name, found.model) == (run, "A run", "gmvae-v1")


def test_members_are_compressed_and_nothing_of_the_machine_is_told(store, run, path):
    with zipfile.ZipFile(path) as archive:
        assert {m.compress_type for m in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        fields = json.loads(archive.read("run.json"))
    assert not {"host", "pid", "owner", "heartbeat", "watched", "shipped"} & set(fields)
    assert fields["format"] == bundle_reader.FORMAT


def test_paths_of_the_machine_are_left_out(store, run, tmp_path):
    store.update(
        run,
        message="No such file: '/home/someone/data set/points.csv' at https://example.org/a/b",
        config=make_config(file="/home/someone/my data/points.csv", ratio="1/2/3", eta=1.0),
        result={"seen": ["~/secret/place/x.npz", "C:\\Users\\someone\\y.npz"]},
    )
    export_run(store, run, tmp_path / "run.mixviz")
    found = peek(tmp_path / "run.mixviz")
    assert "/home" not in found.message
    assert "https://example.org/a/b" in found.message
    assert found.config == make_config(file="points.csv", ratio="1/2/3", eta=1.0)
    assert found.result == {"seen": ["x.npz", "y.npz"]}


@pytest.mark.parametrize("status", [s for s in Status if s.live])
def test_live_run_is_exported_as_interrupted(store, run, tmp_path, other, status):
    store.update(run, status=status, heartbeat=time.time(), pid=os.getpid())
    assert store.get(run).status is status
    export_run(store, run, tmp_path / "run.mixviz")
    assert peek(tmp_path / "run.mixviz").status is Status.INTERRUPTED
    assert other.get(import_run(other, tmp_path / "run.mixviz")).status is Status.INTERRUPTED


def test_run_that_has_just_been_made_has_a_bundle_too(store, other, tmp_path):
    run = store.create(model="gmvae-v1", dataset="arcs", config=make_config())
    export_run(store, run, tmp_path / "run.mixviz")
    assert import_run(other, tmp_path / "run.mixviz") == run
    assert other.snapshot_steps(run) == []


def test_terms_that_are_not_finite_survive(store, run, other, tmp_path):
    nan, inf = float("nan"), float("inf")
    store.claim(run, "trainer")
    row = (21, 2.1, {"elbo": nan, "z_prior": inf, "w_prior": 1.0})
    store.beat(run, "trainer", step=21, seconds=6.0, samples_per_second=1.0, rows=[row])
    store.write_snapshot(run, make_snapshot(21, terms={"elbo": nan}))
    store.update(run, status=Status.DIVERGED, result={"accuracy": nan})
    export_run(store, run, tmp_path / "run.mixviz")
    import_run(other, tmp_path / "run.mixviz")
    _, _, terms = other.terms(run)[-1]
    assert np.isnan([terms["elbo"], terms["z_prior"]]).all()
    assert terms["w_prior"] == 1.0
    assert other.get(run).result == {"accuracy": None}
    assert np.isnan(other.snapshot(run, 21).terms["elbo"])


def test_export_of_a_run_that_is_being_trained(store, run, other, tmp_path):
    """Snapshots come and go and the checkpoint is replaced as a folder, as the trainer does it."""
    store.update(run, status=Status.RUNNING)
    stop = threading.Event()

    def train():
        step = 21
        while not stop.is_set():
            store.write_snapshot(run, make_snapshot(step))
            store.delete_snapshots(run, store.snapshot_steps(run)[:-3])
            folder = store.checkpoint_folder(run)
            fresh = folder.with_name(".checkpoint.fresh")
            fresh.mkdir()
            for name in bundle.CHECKPOINT_FILES[:2]:
                (fresh / name).write_bytes(weights)
            (fresh / "state.json").write_text(
                json.dumps({"step": step, "seconds": 1.0, "live": {}})
            )
            folder.rename(folder.with_name(".checkpoint.old"))
            fresh.rename(folder)
            for file in folder.with_name(".checkpoint.old").iterdir():
                file.unlink()
            folder.with_name(".checkpoint.old").rmdir()
            step += 1

    weights = (store.checkpoint_folder(run) / "model.safetensors").read_bytes()
    thread = threading.Thread(target=train)
    thread.start()
    try:
        for number in range(8):
            path = tmp_path / f"{number}.mixviz"
            export_run(store, run, path)
            home = RunStore(tmp_path / f"home-{number}")
            assert import_run(home, path) == run
            files = sorted(file.name for file in home.checkpoint_folder(run).iterdir())
            assert files == sorted(bundle.CHECKPOINT_FILES)
    finally:
        stop.set()
        thread.join()


def test_progress_ends_at_one(store, run, other, tmp_path):
    for work in (
        lambda told: export_run(store, run, tmp_path / "run.mixviz", progress=told.append),
        lambda told: import_run(other, tmp_path / "run.mixviz", progress=told.append),
    ):
        told = []
        work(told)
        assert told == sorted(told)
        assert told[-1] == 1.0


def test_unknown_run_makes_no_file(store, tmp_path):
    with pytest.raises(MixvizError, match="There is no run"):
        export_run(store, "nothing", tmp_path / "run.mixviz")
    assert not (tmp_path / "run.mixviz").exists()


def test_run_too_large_keeps_the_older_bundle(store, run, path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(bundle, "MAX_BYTES", 1000)
    with pytest.raises(MixvizError, match="too large"):
        export_run(store, run, path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["home", "run.mixviz"]


def test_place_that_cannot_be_written_is_said(store, run, path):
    with pytest.raises(MixvizError, match="could not be written"):
        export_run(store, run, path / "below-a-file.mixviz")


# ---- ids -------------------------------------------------------------------------------------


def test_same_run_is_imported_once(run, path, other):
    assert [import_run(other, path) for _ in range(3)] == [run] * 3
    assert len(other.runs()) == 1


def test_run_is_not_imported_beside_its_original(store, run, path):
    assert import_run(store, path) == run
    assert len(store.runs()) == 1


def test_another_run_of_the_same_id_gets_a_fresh_id_once(store, run, path):
    change_run(path, created=1.5, name="Stranger")
    fresh = import_run(store, path)
    assert fresh != run
    assert not fresh.startswith(run)
    assert import_run(store, path) == fresh
    assert (store.get(fresh).name, store.get(run).name) == ("Stranger", "A run")
    assert store.snapshot(fresh, 10).step == 10
    assert len(store.runs()) == 2


def test_folder_that_no_run_owns_is_left_alone(run, path, other):
    other.folder(run).mkdir(parents=True)
    (other.folder(run) / "precious").touch()
    assert import_run(other, path) != run
    assert (other.folder(run) / "precious").exists()


def test_live_status_in_a_bundle_reads_as_interrupted(run, path, other):
    change_run(path, status="running")
    import_run(other, path)
    assert other._db.execute("SELECT status FROM runs").fetchone()[0] == Status.INTERRUPTED


# ---- shipped ---------------------------------------------------------------------------------


@pytest.fixture
def shelf(store, run, tmp_path):
    """A folder with three bundles, a broken one, and something else."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for number in range(3):
        export_run(store, run, folder / f"{number}.mixviz")
        change_run(folder / f"{number}.mixviz", id=f"demo-{number}", created=float(number))
    (folder / "broken.mixviz").write_bytes(b"PK\x03\x04 and no more")
    (folder / "README.md").write_text("not a bundle")
    return folder


def test_shipped_runs_are_imported_once(shelf, other, caplog):
    assert len(shipped_bundles(shelf)) == 4
    assert import_shipped(other, shelf) == ["demo-0", "demo-1", "demo-2"]
    assert "broken.mixviz is cut short" in caplog.text
    assert import_shipped(other, shelf) == []
    assert [(r.id, r.shipped) for r in other.runs()] == [(f"demo-{n}", True) for n in (2, 1, 0)]


def test_a_shipped_run_that_was_made_again_replaces_the_old_one(shelf, other):
    change_run(shelf / "1.mixviz", name="Digits")
    import_shipped(other, shelf)
    other.annotate(["demo-0"], name="Digits")  # a user's name for another shipped run
    change_run(shelf / "1.mixviz", id="demo-1-again", created=9.0)
    assert import_shipped(other, shelf) == ["demo-1-again"]
    assert {run.id for run in other.runs()} == {"demo-0", "demo-2", "demo-1-again"}
    assert other.get("demo-1").archived
    assert import_shipped(other, shelf) == []


def test_shipped_runs_that_are_there_are_only_peeked_at(shelf, other, monkeypatch):
    import_shipped(other, shelf)
    monkeypatch.setattr(bundle_reader.Bundle, "unpack", None)
    began = time.perf_counter()
    assert import_shipped(other, shelf) == []
    assert time.perf_counter() - began < 0.2


def test_shipped_run_whose_id_is_taken_is_imported_once(shelf, other):
    change_run(shelf / "1.mixviz", id="demo-0")
    assert len(import_shipped(other, shelf)) == 3
    assert import_shipped(other, shelf) == []


def test_no_folder_is_no_bundle(other, tmp_path):
    assert shipped_bundles(tmp_path / "none") == []
    assert import_shipped(other, tmp_path / "none") == []


def test_processes_that_start_at_once_share_the_shipped_runs(shelf, tmp_path):
    program = (
        "import sys; from pathlib import Path; from mixviz.runs import RunStore;"
        "from mixviz.runs.bundle import import_shipped;"
        "print(len(import_shipped(RunStore(Path(sys.argv[1])), Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", program, tmp_path / "both", shelf]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0] * 3, errors
    store = RunStore(tmp_path / "both")
    assert sorted(run.id for run in store.runs()) == ["demo-0", "demo-1", "demo-2"]
    assert len(list(store.home.glob("runs/*"))) == 3
    assert not list(store.home.glob(".import-*"))


def test_threads_that_import_at_once_get_the_same_run(run, path, other):
    start, found = threading.Barrier(6), []

    def work():
        start.wait()
        found.append(import_run(other, path))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [run] * 6
    assert len(other.runs()) == 1
    assert [item.name for item in (other.home / "runs").iterdir()] == [run]


# ---- refusals --------------------------------------------------------------------------------


def test_missing_file(other, tmp_path):
    assert_refused(other, tmp_path / "none.mixviz", "cannot be read: No such file")


@pytest.mark.parametrize("content", [b"", b"PK", b"hello" * 100, b"\0" * 100_000])
def test_not_an_archive(path, other, content):
    path.write_bytes(content)
    assert_refused(other, path, "not a bundle: it is not a ZIP archive")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_short(path, other, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(other, path, "is cut short")


def test_archive_of_something_else(path, other):
    with zipfile.ZipFile(path, "w"):
        pass
    assert_refused(other, path, "it has no run.json")


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_format(path, other, version):
    change_run(path, format=version)
    assert_refused(other, path, f"has format {version}, and this version of mixviz reads format 1")


@pytest.mark.parametrize(
    "name",
    [
        "/etc/cron.d/x",
        "../outside.npz",
        "snapshots/../../outside.npz",
        "snapshots/000000001.npz/",
        "snapshots/1.npz",
        "snapshots/٠٠٠٠٠٠٠٠١.npz",
        "snapshots\\000000001.npz",
        "C:\\x.npz",
        "checkpoint/model.pt",
        "checkpoint/../state.json",
        "Run.json",
        "run.json\n",
        "extra.txt",
        "x" * 5000,
    ],
)
def test_unsafe_name(path, other, name, tmp_path):
    rewrite(path, **{name: b"x"})
    assert_refused(other, path, "has a member that no bundle has")
    assert not (tmp_path / "outside.npz").exists()


def test_name_with_a_nul(path, other):
    rewrite(path, **{"subsample.npzX": b"x"})
    path.write_bytes(path.read_bytes().replace(b"subsample.npzX", b"subsample.npz\0"))
    assert_refused(other, path, "has a member that no bundle has")


def test_link(path, other):
    rewrite(path, **{"checkpoint/state.json": None})
    entry = zipfile.ZipInfo("checkpoint/state.json")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert_refused(other, path, "a member that is not a plain file: checkpoint/state.json")


def test_same_member_twice(path, other):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("terms.json", "[]")
    assert_refused(other, path, "has the member terms.json twice")


def test_encrypted(path, other):
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    path.write_bytes(content)
    assert_refused(other, path, "is encrypted")


def test_too_many_members(path, other, monkeypatch):
    monkeypatch.setattr(bundle_reader, "MAX_MEMBERS", 5)
    assert_refused(other, path, "too many members")


def test_list_of_members_too_large(path, other, monkeypatch):
    monkeypatch.setattr(bundle_reader, "MAX_DIRECTORY_BYTES", 100)
    assert_refused(other, path, "too many members")


def test_zip64_is_refused(path, other):
    content = path.read_bytes()
    at = content.rindex(b"PK\x05\x06")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    path.write_bytes(content[:at] + locator + content[at:])
    assert_refused(other, path, "too large to be a bundle")


def test_too_large(path, other, monkeypatch):
    monkeypatch.setattr(bundle_reader, "MAX_BYTES", 5000)
    assert_refused(other, path, "too large|more than a bundle may hold")


def test_bomb(path, other, monkeypatch):
    monkeypatch.setattr(bundle_reader, "RATIO_FROM", 1_000_000)
    rewrite(path, **{"checkpoint/model.safetensors": bytes(20_000_000)})
    assert_refused(other, path, "unpacks to more than a bundle may hold")


def test_bomb_in_the_part_that_is_peeked_at(path, other, monkeypatch):
    monkeypatch.setattr(bundle_reader, "MAX_RUN_BYTES", 10_000)
    rewrite(path, **{"run.json": b" " * 20_000 + b"{}"})
    with pytest.raises(MixvizError, match="more than a bundle may hold"):
        peek(path)


def test_bomb_within_an_archive_within(path, other, monkeypatch):
    monkeypatch.setattr(bundle_reader, "RATIO_FROM", 1_000_000)
    file = io.BytesIO()
    np.savez_compressed(file, points=np.zeros(20_000_000, np.uint8), plain=np.zeros(2, np.uint8))
    rewrite(path, **{"snapshots/000000010.npz": file.getvalue()})
    assert_refused(other, path, "unpacks to more than a bundle may hold")


def test_header_that_lies_about_a_size(path, other):
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        name = "snapshots/000000010.npz"
        size = archive.getinfo(name).file_size
    at = content.rindex(name.encode()) - 46 + 24
    assert struct.unpack_from("<L", content, at) == (size,)
    struct.pack_into("<L", content, at, 100)
    path.write_bytes(content)
    assert_refused(other, path, f"its member {name} cannot be read")


@pytest.mark.parametrize("member", ["run.json", "subsample.npz", "checkpoint/model.safetensors"])
def test_flipped_byte(path, other, member):
    content = bytearray(path.read_bytes())
    content[content.index(member.encode()) + len(member) + 40] ^= 0xFF
    path.write_bytes(content)
    assert_refused(other, path, f"is damaged: its member {member} cannot be read")


def test_no_byte_that_is_lost_goes_unnoticed_or_unexplained(path, tmp_path):
    """Whatever single byte is wrong, the bundle is refused in a sentence or reads as before."""
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    store = RunStore(tmp_path / "fuzzed")
    for at in rng.integers(len(content), size=150):
        broken = bytearray(content)
        broken[at] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            imported = import_run(store, path)
        except MixvizError:
            assert store.runs() == []
        else:
            assert store.snapshot(imported, 10).step == 10
            store = RunStore(tmp_path / f"fuzzed-{at}")


def test_pickled_objects(path, other, capsys):
    arrays = {"points": np.array([Trap()], dtype=object), "plain": np.zeros(2, np.uint8)}
    rewrite(path, **{"snapshots/000000010.npz": npz(**arrays)})
    assert_refused(other, path, "contains pickled objects, in snapshots/000000010.npz")
    assert "unpickled" not in capsys.readouterr().out


def test_pickle_in_place_of_an_array(path, other, capsys):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("points.npy", b"cposix\nsystem\n(S'echo unpickled'\ntR.")
    rewrite(path, **{"subsample.npz": file.getvalue()})
    assert_refused(other, path, "its member subsample.npz cannot be read")


def plain(**values):
    return np.frombuffer(json.dumps(values).encode(), np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        npz(),
        npz(points=np.zeros(2)),
        npz(unheard_of=np.zeros(2)),
        npz(plain=np.frombuffer(b"{", np.uint8)),
        npz(plain=plain(step=10)),
        npz(points=np.zeros(2, "M8[s]")),
        npz(points=np.zeros(2, "U3")),
        npz(points=np.zeros(2, [("a", "f4"), ("b", "f4")])),
    ],
)
def test_snapshot_that_is_none(path, other, content):
    rewrite(path, **{"snapshots/000000010.npz": content})
    assert_refused(other, path, r"its member snapshots/000000010.npz cannot be read")


def written(record):
    """Return the bytes of a snapshot or a subsample."""
    file = io.BytesIO()
    values = vars(record)
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in values.items() if name not in arrays}
    np.savez(file, **arrays, plain=plain(**rest))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("points", np.zeros((6, 3))),
        ("points", np.zeros(12)),
        ("points", [[0.0, 0.0]] * 6),
        ("assignments", np.zeros(5, np.int16)),
        ("assignments", np.zeros(6)),
        ("confidences", np.zeros((6, 1))),
        ("means", np.zeros((4, 2))),
        ("means", np.float32(0) * np.ones(())),
        ("covariances", np.zeros((3, 2))),
        ("weights", np.ones(2)),
        ("usage", np.ones(4)),
        ("overlap", np.ones((3, 2))),
        ("samples", np.zeros((2, 2, 1, 8, 8), np.uint8)),
        ("density", np.zeros(16)),
        ("density_extent", np.zeros(2)),
        ("axes", np.zeros((5, 2))),
    ],
)
def test_snapshot_whose_arrays_do_not_fit_together(path, other, name, value):
    snapshot = dataclasses.replace(make_snapshot(10), **{name: value})
    rewrite(path, **{"snapshots/000000010.npz": written(snapshot)})
    assert_refused(other, path, "its member snapshots/000000010.npz cannot be read")


def test_snapshot_without_components(path, other):
    rewrite(path, **{"snapshots/000000010.npz": written(make_snapshot(10, components=1))})
    assert import_run(other, path)
    empty = {"means": (0, 2), "covariances": (0, 2, 2), "weights": 0, "usage": 0}
    empty |= {"overlap": (0, 0), "samples": 0}
    arrays = {name: np.zeros(shape) for name, shape in empty.items()}
    rewrite(path, **{"snapshots/000000010.npz": written(make_snapshot(10, **arrays))})
    with pytest.raises(MixvizError, match="cannot be read"):
        import_run(RunStore(other.home / "again"), path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("labels", np.zeros(5, np.int64)), ("points", np.zeros((6, 3))), ("indices", [1, 2])],
)
def test_subsample_whose_arrays_do_not_fit_together(path, other, name, value):
    subsample = dataclasses.replace(make_subsample(), **{name: value})
    rewrite(path, **{"subsample.npz": written(subsample)})
    assert_refused(other, path, "its member subsample.npz cannot be read")


def test_snapshots_without_their_observations(path, other):
    rewrite(path, **{"subsample.npz": None})
    assert_refused(other, path, "is not a whole bundle: it has no subsample.npz")


def test_as_many_snapshots_as_a_run_may_keep_fit():
    (most,) = [m.le for m in RunConfig.model_fields["snapshot_count"].metadata if hasattr(m, "le")]
    assert most + 4 + len(bundle.CHECKPOINT_FILES) <= bundle_reader.MAX_MEMBERS


def test_array_that_claims_more_than_there_is(path, other):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, archive.open("points.npy", "w") as member:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 2)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(16))
    rewrite(path, **{"snapshots/000000010.npz": file.getvalue()})
    assert_refused(other, path, "cannot be read")


def test_snapshot_of_another_step(store, run, path, other):
    with zipfile.ZipFile(path) as archive:
        content = archive.read("snapshots/000000010.npz")
    rewrite(path, **{"snapshots/000000015.npz": content})
    assert_refused(other, path, "its member snapshots/000000015.npz cannot be read")


@pytest.mark.parametrize("name", ["model", "optimizer"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04K\x01.", bytes(8) + b"{}", struct.pack("<Q", 1 << 60) + b"{}", b"PK\x03\x04"],
)
def test_weights_that_are_none(path, other, name, content):
    rewrite(path, **{f"checkpoint/{name}.safetensors": content})
    assert_refused(other, path, f"its member checkpoint/{name}.safetensors cannot be read")


@pytest.mark.parametrize("member", ["checkpoint/state.json", "terms.json", "events.json"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 100_000]
)
def test_json_that_is_none(path, other, member, content):
    rewrite(path, **{member: content})
    assert_refused(other, path, f"its member {member} cannot be read")


@pytest.mark.parametrize(
    ("member", "rows"),
    [
        ("terms.json", [[1, 0.1, {"elbo": 1.0}], [1, 0.1, {"elbo": 2.0}]]),
        ("terms.json", [[2**70, 0.1, {}]]),
        ("terms.json", [[1, 0.1, {"elbo": "1"}]]),
        ("terms.json", [[1, 0.1, {"x" * 300: 1.0}]]),
        ("terms.json", {"step": 1}),
        ("events.json", [[1, "eta", 1.0, 0.5], [1, "eta", 2.0, 0.5]]),
        ("events.json", [[-1, "eta", 1.0, 0.5]]),
        ("events.json", [[1, "eta", None, 0.5]]),
    ],
)
def test_rows_that_no_run_has(path, other, member, rows):
    rewrite(path, **{member: json.dumps(rows)})
    assert_refused(other, path, f"its member {member} cannot be read")


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "../../etc"},
        {"id": ""},
        {"id": "x" * 65},
        {"id": "20250101\n"},
        {"id": 5},
        {"status": "exploded"},
        {"step": -1},
        {"step": "5"},
        {"step": 2**70},
        {"steps_per_epoch": 0},
        {"created": float("nan")},
        {"seconds": float("inf")},
        {"name": "x" * 2000},
        {"message": None},
        {"config": []},
        {"config": {}},
        {"config": make_config(eta=float("nan"))},
        {"config": make_config() | {"settings": None}},
        {"config": make_config() | {"run": []}},
        {"config": make_config() | {"model": 1}},
        {"created": 1e300},
        {"result": {"nmi": float("inf")}},
        {"result": {"accuracy": 0.5}},
        {"result": {"accuracy": {"hungarian": "z"}}},
        {"result": {"silhouette": "0.5"}},
        {"result": {"effective_components": [1.0]}},
        {"result": {"terms": {"objective": "low"}}},
        {"result": {"split": 3}},
        {"tags": ["x" * 41]},
        {"tags": ["x"] * 21},
        {"tags": "x"},
        {"note": "x" * 5001},
        {"note": ["x"]},
        {"pid": 1},
        {"shipped": True},
    ],
)
def test_run_that_is_none(path, other, fields):
    change_run(path, **fields)
    assert_refused(other, path, "its member run.json cannot be read")


def test_disk_that_is_full_leaves_nothing(path, other, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_reader.Bundle, "_chunks", fail)
    monkeypatch.setattr(bundle_reader.Bundle, "run", lambda self: found)
    found = bundle_reader.BundledRun.model_construct(id="demo", created=1.0)
    assert_refused(other, path, "could not be added to the runs: No space left on device")


def test_rows_that_cannot_be_added_leave_no_folder(path, other, monkeypatch):
    other._db.execute(
        "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    assert_refused(other, path, "could not be added to the runs: full")


def test_runs_are_read_without_pytorch():
    program = (
        "import sys, mixviz.runs.bundle;"
        "assert not {'torch', 'streamlit', 'plotly'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


STATE = {"step": 20, "seconds": 5.5, "live": {"eta": 0.125}}


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {key: STATE[key] for key in ("step", "seconds")},
        {key: STATE[key] for key in ("step", "live")},
        {key: STATE[key] for key in ("seconds", "live")},
        STATE | {"step": "20"},
        STATE | {"step": -1},
        STATE | {"seconds": None},
        STATE | {"live": ["eta"]},
        STATE | {"live": {"eta": "high"}},
        STATE | {"more": float("nan")},
    ],
)
def test_checkpoint_that_does_not_say_where_it_is(path, other, state):
    rewrite(path, **{"checkpoint/state.json": json.dumps(state)})
    assert_refused(other, path, "its member checkpoint/state.json cannot be read")


def test_checkpoint_of_a_later_version_may_say_more(path, other):
    state = json.dumps(STATE | {"more": [1]})
    rewrite(path, **{"checkpoint/state.json": state})
    run = import_run(other, path)
    assert (other.checkpoint_folder(run) / "state.json").read_text() == state
