"""The run store: one writer per run, any number of readers, nothing lost between processes."""

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from mixviz.errors import MixvizError
from mixviz.runs import Event, RunStore, Status
from mixviz.runs.records import STALE_AFTER
from mixviz.runs.store import default_home
from tests.runs.conftest import make_snapshot


@pytest.fixture
def new(store):
    """Id of a run that is only queued."""
    return store.create(model="gmvae-v1", dataset="arcs", config={"components": 5})


@pytest.fixture(scope="module")
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def insert(store, ids):
    columns = "(id, created, name, model, dataset, config, status)"
    store._db.execute("BEGIN")
    store._db.executemany(
        f"INSERT INTO runs {columns} VALUES (?, ?, 'n', 'm', 'd', '{{}}', 'finished')",
        [(run, float(created)) for created, run in enumerate(ids)],
    )
    store._db.execute("COMMIT")


# ---- catalogue -------------------------------------------------------------------------------


def test_created_run_is_queued_and_has_a_folder(store):
    run = store.create(model="gmvae-v1", dataset="arcs", config={"components": 5}, total_steps=7)
    found = store.get(run)
    assert (found.status, found.step, found.total_steps) == (Status.QUEUED, 0, 7)
    assert found.name == "gmvae-v1 on arcs"
    assert found.config == {"components": 5}
    assert not found.shipped
    assert store.folder(run).is_dir()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (" Two\nlines\t", "Two lines"),
        ("bytes \udcff\udc00 of no text", "bytes of no text"),
        ("\n\udcff", "m on d"),
        ("x" * 300, "x" * 200),
    ],
)
def test_name_of_a_new_run_is_kept_in_one_line(store, name, kept):
    run = store.create(model="m", dataset="d", config={}, name=name)
    assert store.get(run).name == kept
    store.annotate([run], name=f"My {name}")  # as a new name is
    assert store.get(run).name == ("My" if kept == "m on d" else f"My {kept}"[:200])


def test_run_that_cannot_be_stored_leaves_nothing(store):
    with pytest.raises(UnicodeEncodeError):
        store.create(model="m", dataset="\udcff", config={})
    (store.home / "runs").mkdir(exist_ok=True)
    assert list((store.home / "runs").iterdir()) == []
    (store.home / "runs").rmdir()
    (store.home / "runs").write_text("in the way of the folder")
    with pytest.raises(OSError, match="Not a directory"):
        store.create(model="m", dataset="d", config={})
    assert store.runs() == []


def test_every_field_is_read_from_a_second_store(store, run):
    assert RunStore(store.home).get(run) == store.get(run)


def test_epoch_counts_steps(store, run):
    assert store.get(run).epoch == 2.0


def test_home_is_configured_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "elsewhere"))
    assert default_home() == tmp_path / "elsewhere"
    RunStore()
    assert (tmp_path / "elsewhere" / "runs.sqlite").is_file()


def test_unambiguous_beginning_of_an_id_is_enough(store):
    insert(store, ["20250101-a1", "20250101-b2"])
    assert store.get("20250101-a").id == "20250101-a1"
    with pytest.raises(MixvizError, match="Several runs begin with '20250101'"):
        store.get("20250101")


def test_whole_id_wins_over_a_longer_one(store):
    insert(store, ["run-1", "run"])
    assert store.get("run").id == "run"


@pytest.mark.parametrize("wildcard", ["%", "_", "2025%", "20250101-a_", "*", "?", ""])
def test_wildcards_mean_nothing_in_an_id(store, wildcard):
    insert(store, ["20250101-a1"])
    with pytest.raises(MixvizError, match=r"There is no run|Several runs"):
        store.get(wildcard)


def test_runs_are_listed_newest_first(store):
    insert(store, ["old", "middle", "new"])
    assert [run.id for run in store.runs()] == ["new", "middle", "old"]
    assert [run.id for run in store.runs(limit=1)] == ["new"]


def test_shipped_and_own_runs_are_listed_apart(store):
    insert(store, "abcdef")
    for run in "ace":
        store.update(run, shipped=True)
    assert [run.id for run in store.runs(shipped=True)] == ["e", "c", "a"]
    assert [run.id for run in store.runs(2, shipped=False)] == ["f", "d"]
    assert [run.id for run in store.runs()] == list("fedcba")


def test_ten_thousand_runs_are_listed_fast(store):
    insert(store, [f"run-{number:05d}" for number in range(10_000)])
    began = time.perf_counter()
    found = store.runs(limit=100)
    assert time.perf_counter() - began < 0.5
    assert [run.id for run in found[:2]] == ["run-09999", "run-09998"]
    assert len(found) == 100


def test_watching_lasts_a_moment(store, new):
    assert not store.get(new).is_watched
    store.watch(new)
    assert store.get(new).is_watched
    store.update(new, watched=time.time() - 60)
    assert not store.get(new).is_watched


# ---- who holds a run -------------------------------------------------------------------------


def test_second_owner_is_refused_while_the_first_lives(store, new):
    store.claim(new, "first")
    with pytest.raises(MixvizError, match=f"trained by process {os.getpid()}"):
        store.claim(new, "second")
    store.claim(new, "first")
    assert store.get(new).owner == "first"


def test_run_of_a_dead_process_reads_as_interrupted_and_can_be_claimed(store, new, dead_pid):
    store.claim(new, "first")
    assert store.get(new).status is Status.RUNNING
    store.update(new, pid=dead_pid)
    assert store.get(new).status is Status.INTERRUPTED
    assert store.runs()[0].status is Status.INTERRUPTED
    store.claim(new, "second")
    assert (store.get(new).owner, store.get(new).status) == ("second", Status.RUNNING)


@pytest.mark.parametrize("host", [socket.gethostname(), "another-host"])
def test_run_without_a_heartbeat_reads_as_interrupted(store, new, host):
    store.claim(new, "first")
    store.update(new, host=host)
    assert store.get(new).status is Status.RUNNING
    for apart in (-STALE_AFTER - 1, STALE_AFTER + 1):  # clocks may be set back
        store.update(new, heartbeat=time.time() + apart)
        assert store.get(new).status is Status.INTERRUPTED


def test_process_of_another_host_is_not_looked_for_here(store, new, dead_pid):
    store.claim(new, "first")
    store.update(new, host="another-host", pid=dead_pid)
    assert store.get(new).status is Status.RUNNING


def test_finished_run_stays_finished_without_a_heartbeat(store, new, dead_pid):
    store.update(new, status=Status.FINISHED, heartbeat=0, pid=dead_pid)
    assert store.get(new).status is Status.FINISHED


def test_one_thread_of_many_claims_a_run(store, new):
    start, claimed = threading.Barrier(8), []

    def claim(owner):
        start.wait()
        try:
            store.claim(new, owner)
        except MixvizError:
            return
        claimed.append(owner)

    threads = [threading.Thread(target=claim, args=(f"owner-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert claimed == [store.get(new).owner]


def test_heartbeat_of_a_former_owner_writes_nothing(store, new):
    beat = {"seconds": 1.0, "samples_per_second": 10.0}
    store.claim(new, "first")
    assert store.beat(new, "first", step=1, rows=[(1, 0.1, {"elbo": -1.0})], **beat)
    store.update(new, heartbeat=0)
    store.claim(new, "second")
    assert not store.beat(new, "first", step=2, rows=[(2, 0.2, {"elbo": -2.0})], **beat)
    assert store.get(new).step == 1
    assert store.terms(new) == [(1, 0.1, {"elbo": -1.0})]


@pytest.mark.parametrize("takes", [RunStore.queue, partial(RunStore.claim, owner="second")])
def test_orders_to_a_trainer_that_died_are_dropped_and_settings_kept(store, new, takes):
    store.claim(new, "first")
    for name in ("pause", "set", "stop"):
        store.send(new, name, "eta" if name == "set" else "")
    store.update(new, heartbeat=0)
    takes(store, new)
    assert [command.name for command in store.open_commands(new)] == ["set"]


def test_orders_to_a_run_that_waits_reach_its_trainer(store, new):
    store.queue(new)
    store.send(new, "stop")
    store.queue(new)  # by the process of a sweep, and again by the one that trains
    store.claim(new, "first")
    assert [command.name for command in store.open_commands(new)] == ["stop"]


# ---- curves and snapshots --------------------------------------------------------------------


def test_terms_are_read_from_a_step_on(store, run):
    assert [step for step, _, _ in store.terms(run, after=18)] == [19, 20]
    assert store.terms(run)[0] == (1, 0.1, {"elbo": -3.25})


def test_snapshots_have_a_file_and_a_line(store, run):
    assert store.snapshot_steps(run) == [0, 10, 20]
    assert [step for step, _, _ in store.snapshot_metrics(run, after=0)] == [10, 20]
    assert store.snapshot(run, 10).verdict == "verdict at 10"
    assert store.get(run).verdict == "verdict at 20"


def test_rewind_forgets_what_came_after_a_step(store, run):
    store.rewind(run, 10)
    assert [step for step, _, _ in store.terms(run)] == list(range(1, 11))
    assert store.snapshot_steps(run) == [0, 10]
    names = sorted(path.name for path in store.folder(run).glob("snapshots/*"))
    assert names == ["000000000.npz", "000000010.npz"]


def test_rewind_leaves_other_runs_alone(store, run, new):
    store.write_snapshot(new, make_snapshot(30))
    store.rewind(run, 0)
    assert store.snapshot_steps(new) == [30]
    assert store.snapshot(new, 30).step == 30


def test_thinned_snapshots_leave_no_file(store, run):
    store.delete_snapshots(run, [0, 10])
    assert store.snapshot_steps(run) == [20]
    assert [path.name for path in store.folder(run).glob("snapshots/*")] == ["000000020.npz"]


def test_readers_never_see_an_error_while_a_run_is_written(store, new):
    stop, problems, reads = threading.Event(), [], []

    def read():
        own = RunStore(store.home)
        try:
            while not stop.is_set():
                own.runs()
                own.get(new)
                own.terms(new)
                for step in own.snapshot_steps(new)[-2:]:
                    assert own.snapshot(new, step).step == step
                reads.append(1)
        except Exception as error:
            problems.append(error)

    store.claim(new, "trainer")
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(60):
        beat = {"step": step, "seconds": 1.0, "samples_per_second": 1.0}
        assert store.beat(new, "trainer", rows=[(step, step / 10, {"elbo": 0.5})], **beat)
        store.write_snapshot(new, make_snapshot(step))
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert len(reads) >= 3


# ---- steering --------------------------------------------------------------------------------


def test_commands_are_read_oldest_first_and_once(store, new):
    store.send(new, "set", "eta", 0.5)
    store.send(new, "pause")
    store.send(new, "resume")
    commands = store.open_commands(new)
    assert [command.name for command in commands] == ["set", "pause", "resume"]
    assert (commands[0].field, commands[0].value) == ("eta", 0.5)
    store.finish_command(commands[1], new)
    assert [command.name for command in store.open_commands(new)] == ["set", "resume"]


def test_commands_reach_only_their_run(store, run, new):
    store.send(new, "pause")
    assert store.open_commands(run) == []


def test_unknown_command_is_refused(store, new):
    with pytest.raises(ValueError, match="no command 'explode'"):
        store.send(new, "explode")


def test_command_from_another_process_arrives(store, new):
    program = (
        "import sys; from pathlib import Path; from mixviz.runs import RunStore;"
        "RunStore(Path(sys.argv[1])).send(sys.argv[2], 'set', 'eta', 0.125)"
    )
    subprocess.run([sys.executable, "-c", program, store.home, new], check=True)
    (command,) = store.open_commands(new)
    assert (command.name, command.field, command.value) == ("set", "eta", 0.125)


def test_finished_command_leaves_its_event(store, new):
    store.send(new, "set", "eta", 0.25)
    (command,) = store.open_commands(new)
    event = Event(step=30, field="eta", value=0.25, previous=1.0)
    store.finish_command(command, new, event)
    assert store.open_commands(new) == []
    assert store.events(new) == [event]


def test_events_come_in_order_and_two_at_one_step_are_one_change(store, new):
    for step, value, previous in ((10, 0.25, 1.0), (30, 0.5, 0.25), (30, 0.75, 0.5)):
        store.send(new, "set", "eta", value)
        (command,) = store.open_commands(new)
        store.finish_command(command, new, Event(step, "eta", value, previous))
    assert store.events(new) == [Event(10, "eta", 0.25, 1.0), Event(30, "eta", 0.75, 0.25)]
    assert [event.step for event in store.events(new, until=29)] == [10]
    assert [event.step for event in store.events(new, until=30)] == [10, 30]


def test_a_store_that_others_are_making_is_waited_for(tmp_path):
    """Switching to write-ahead mode fails at once where another connection writes."""
    other = sqlite3.connect(tmp_path / "runs.sqlite", isolation_level=None)
    other.execute("CREATE TABLE begun (number INTEGER)")
    other.execute("BEGIN IMMEDIATE")
    opened = []
    opening = threading.Thread(target=lambda: opened.append(RunStore(tmp_path).runs()))
    opening.start()
    opening.join(0.5)
    assert opened == [] and opening.is_alive()
    other.execute("COMMIT")
    opening.join(20)
    assert opened == [[]]
    other.close()
