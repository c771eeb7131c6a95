"""Tests of the program `mixviz`: what it prints where, its exit statuses, its one-line refusals."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from mixviz import __version__
from mixviz.cli import app, main
from mixviz.data import SOURCES
from mixviz.data.downloads import data_root
from mixviz.errors import MixvizError
from mixviz.home import default_home
from mixviz.models import MODELS, presets
from mixviz.runs import RunStore, Status
from mixviz.training import sensible
from mixviz.training.config import RunConfig, plan
from mixviz.training.jobs import Jobs
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer

TERMS = {"reconstruction", "conditional_prior", "w_prior", "z_prior", "consistency_violation"}
KEYS = {
    "run",
    "terms",
    "accuracy",
    "nmi",
    "ari",
    "effective_components",
    "dead_components",
    "verdict",
    "split",
    "seconds",
    "samples_per_second",
}
SHORT = ["--set=batch_size=1000", "--set=threads=1", "--set=snapshot_points=200"]


@pytest.fixture(autouse=True)
def surroundings():
    """Give back the signal handlers and processor threads that training takes."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Folder of an empty store that the program uses."""
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of a store with one finished run on arcs, and the run's id; copy before writing."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXVIZ_HOME", str(home))
        assert main(["train", "--epochs=2", "--set=components=5", "--name=shown", *SHORT]) == 0
    return home, RunStore(home).runs()[0].id


@pytest.fixture
def run(trained, monkeypatch):
    """Id of the finished run; tests must not change it."""
    monkeypatch.setenv("MIXVIZ_HOME", str(trained[0]))
    return trained[1]


def call(capsys, *arguments):
    """Run the program in this process; return its status and what it wrote to stdout and stderr."""
    capsys.readouterr()
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as left:
        status = left.code
    written = capsys.readouterr()
    return status, written.out, written.err


def printed_json(capsys, *arguments):
    status, out, _ = call(capsys, *arguments, "--json")
    assert status == 0
    assert len(out.splitlines()) == 1
    return json.loads(out, parse_constant=pytest.fail)


# ---- train -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gmvae-v2", "gmvae-v1"])
def test_train_prints_one_json_object_and_draws_the_bar_on_stderr(home, capsys, model):
    arguments = ["train", "--model", model, "--dataset", "arcs", "--epochs", "2", "--seed", "4"]
    status, out, err = call(capsys, *arguments, *SHORT, "--json")
    assert status == 0
    found = json.loads(out, parse_constant=pytest.fail)
    assert out == json.dumps(found) + "\n"
    assert found.keys() >= KEYS
    assert found["terms"].keys() >= TERMS
    assert found["accuracy"].keys() == {"hungarian", "majority", "most_confident"}
    assert all(0 <= value <= 1 for value in found["accuracy"].values())
    assert (found["split"], found["status"]) == ("test", "finished")
    assert found["seconds"] > 0
    assert found["samples_per_second"] > 0
    assert "20/20" in err

    stored = RunStore(home).get(found["run"])
    assert (stored.model, stored.status) == (model, Status.FINISHED)
    assert stored.config["run"]["seed"] == 4
    assert stored.result.items() <= found.items()
    assert found["verdict"] == stored.verdict


def test_classical_model_has_its_own_terms(home, capsys):
    found = printed_json(capsys, "train", "--model=gmm", "--epochs=3", "--set=components=5")
    assert set(found["terms"]) == {"log_likelihood"}
    assert found.keys() >= KEYS


def test_train_without_json_prints_a_summary(home, capsys):
    status, out, err = call(capsys, "train", "--preset=gmm-figure-2c", "--epochs=2", "--name=mine")
    assert status == 0
    assert "mine  finished" in out
    assert "verdict  5 components" in out
    assert "log_likelihood" in out
    assert "(nats, mean over the test split)" in out
    assert "hungarian" in out
    assert "2/2" in err
    assert RunStore(home).runs()[0].config["settings"]["components"] == 5


def test_run_that_diverged_says_so_and_is_not_resumed(home, capsys):
    rate = ["--set=learning_rate=0.1", "--set=components=10", "--set=threads=1", "--epochs=20"]
    status, out, err = call(capsys, "train", *rate, "--json")
    found = json.loads(out, parse_constant=pytest.fail)
    assert (status, found["status"]) == (1, "diverged")
    assert found["verdict"] and found["seconds"] > 0 and found["samples_per_second"] > 0
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"mixviz: run {found['run']} diverged: ")
    assert "not finite" in last
    message = refusal(capsys, "resume", found["run"])
    assert "diverged" in message
    assert "learning rate" in message
    assert printed_json(capsys, "evaluate", found["run"])["terms"].keys() >= TERMS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set=network=conv28"], "Network conv28 needs images of 28x28 pixels"),
        (["--set=likelihood=bernoulli"], "A Bernoulli likelihood needs values in [0, 1]"),
        (["--dataset=mnist"], "get it with: mixviz download mnist"),
        pytest.param(
            ["--set=device=cuda"],
            "There is no cuda device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_run_is_made(
    home, capsys, monkeypatch, tmp_path, options, said
):
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path / "empty"))
    assert said in refusal(capsys, "train", *options)
    assert RunStore(home).runs() == []


def test_run_that_failed_says_why(home, capsys, monkeypatch):
    def fail(model, x, generator):
        raise MixvizError("These data have no clusters.")

    monkeypatch.setattr(MODELS["gmvae-v2"], "prepare", fail)
    status, _, err = call(capsys, "train", *SHORT)
    assert status == 1
    assert "Traceback" not in err
    assert "failed: These data have no clusters." in err.splitlines()[-1]


@pytest.mark.parametrize("all_of_it", [True, False])
def test_run_that_a_full_disk_ends_says_so(home, capsys, monkeypatch, all_of_it):
    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(RunStore, "beat", full)
    if all_of_it:
        monkeypatch.setattr(RunStore, "release", full)
    status, out, err = call(capsys, "train", *SHORT, "--json")
    assert status == 1
    assert "Traceback" not in err
    assert "failed: OperationalError: database or disk is full" in err.splitlines()[-1]
    assert json.loads(out)["status"] == "failed"
    if not all_of_it:
        assert RunStore(home).runs()[0].message == "OperationalError: database or disk is full"


def test_what_a_disk_refuses_is_said_in_one_line(home, capsys, monkeypatch):
    home.mkdir()
    (home / "runs").write_text("in the way of the folder")
    assert "Not a directory" in refusal(capsys, "train", *SHORT)

    def refuse(*_):
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(RunStore, "send", refuse)
    run = create_run(RunStore(home.with_name("other")), plan(), "")
    monkeypatch.setenv("MIXVIZ_HOME", str(home.with_name("other")))
    assert "attempt to write a readonly database" in refusal(capsys, "stop", run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_training_with_a_checkpoint_and_resume_goes_on(home, capsys, number):
    store = RunStore(home)

    def interrupt():
        while not any(run.step for run in store.runs()):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    status, out, _ = call(capsys, "train", "--epochs=100000", *SHORT)
    thread.join()
    assert status == 0
    stopped = store.runs()[0]
    assert stopped.status is Status.STOPPED
    assert f"{stopped.id}  gmvae-v2 on arcs  stopped" in out
    state = json.loads((store.checkpoint_folder(stopped.id) / "state.json").read_bytes())
    assert state["step"] == stopped.step > 0

    curve = store.terms(stopped.id)
    epochs = stopped.step // 10 + 2
    found = printed_json(capsys, "resume", stopped.id, f"--epochs={epochs}")
    assert (found["run"], found["status"]) == (stopped.id, "finished")
    finished = store.get(stopped.id)
    assert finished.step == finished.total_steps == 10 * epochs
    assert curve[-1][0] == stopped.step
    longer = store.terms(stopped.id)
    assert longer[: len(curve)] == curve
    assert longer[-1][0] == finished.step


def test_interrupt_before_all_is_imported_leaves_no_run(home):
    program = f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "mixviz.training.trainer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from mixviz.cli import main
sys.exit(main(["train", "--epochs=1", *{SHORT}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert RunStore(home).runs() == []


def test_interrupt_while_a_run_is_made_stops_it(home, capsys, monkeypatch):
    create = RunStore.create

    def interrupted(self, **values):
        os.kill(os.getpid(), signal.SIGINT)
        return create(self, **values)

    monkeypatch.setattr(RunStore, "create", interrupted)
    status, _, err = call(capsys, "train", "--epochs=100000", *SHORT)
    assert status == 0
    assert "Traceback" not in err
    assert RunStore(home).runs()[0].status is Status.STOPPED


# ---- evaluate, export, import ----------------------------------------------------------------


def test_evaluate_repeats_the_scores_of_the_run(run, capsys):
    result = RunStore().get(run).result
    found = printed_json(capsys, "evaluate", run)
    assert (found["run"], found["dataset"], found["split"]) == (run, "arcs", "test")
    for key in ("terms", "accuracy", "nmi", "ari", "effective_components", "dead_components"):
        assert found[key] == result[key]
    status, out, _ = call(capsys, "evaluate", run[:-1])
    assert status == 0
    assert f"run      {run}" in out
    assert "z_prior" in out


def test_evaluate_on_another_data_set_of_the_same_shape(run, capsys):
    found = printed_json(capsys, "evaluate", run, "--dataset", "pinwheel")
    assert found["dataset"] == "pinwheel"
    assert found["terms"] != RunStore().get(run).result["terms"]


def test_evaluate_refuses_data_of_another_shape(run, capsys):
    message = refusal(capsys, "evaluate", run, "--dataset", "digits")
    assert "(2,)" in message
    assert "(1, 8, 8)" in message


def test_run_survives_export_and_import(run, trained, tmp_path, monkeypatch, capsys):
    file = tmp_path / "shared.mixviz"
    status, out, _ = call(capsys, "export", run, file)
    assert (status, out) == (0, f"{file}\n")
    own = RunStore(trained[0])
    evaluated = printed_json(capsys, "evaluate", run)

    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "elsewhere"))
    status, out, _ = call(capsys, "import", file)
    assert status == 0
    imported = out.strip()
    theirs = RunStore(tmp_path / "elsewhere")
    assert theirs.get(imported).name == "shown"
    assert theirs.get(imported).result == own.get(run).result
    assert theirs.terms(imported) == own.terms(run)
    assert theirs.snapshot_steps(imported) == own.snapshot_steps(run)
    again = printed_json(capsys, "evaluate", imported)
    assert again | {"run": None} == evaluated | {"run": None}


# ---- lists -----------------------------------------------------------------------------------


def test_runs_are_listed_as_json_and_as_text(run, capsys):
    (found,) = printed_json(capsys, "runs")
    assert (found["id"], found["name"], found["status"]) == (run, "shown", "finished")
    assert found["step"] == found["total_steps"] == 20
    assert found["result"]["split"] == "test"
    assert found["config"]["settings"]["components"] == 5
    status, out, _ = call(capsys, "runs")
    assert status == 0
    assert len(out.splitlines()) == 1
    assert run in out
    assert "20/20" in out


def test_empty_store_lists_nothing(home, capsys):
    assert printed_json(capsys, "runs") == []
    assert call(capsys, "runs") == (0, "", "")


def test_presets_are_listed(capsys):
    status, out, _ = call(capsys, "presets")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(presets())
    for line, (model, preset) in zip(out.splitlines(), presets().values(), strict=True):
        assert line.split()[1:3] == [model, preset.dataset]


@pytest.mark.parametrize("model", MODELS)
def test_settings_of_a_model_and_of_the_run_are_listed(capsys, model):
    status, out, _ = call(capsys, "settings", model)
    assert status == 0
    names = [line.split("=")[0] for line in out.splitlines()]
    assert names == [*MODELS[model].Config.model_fields, *RunConfig.model_fields]
    live = [line.split("=")[0] for line in out.splitlines() if "[live" in line]
    assert tuple(live) == MODELS[model].Config.live_fields()
    lines = dict(zip(names, out.splitlines(), strict=True))
    assert "1 to 1000" in lines["components"] and "auto, cpu, cuda, mps" in lines["device"]


def test_datasets_are_listed_with_what_is_missing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path))
    status, out, _ = call(capsys, "datasets")
    assert status == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert list(lines) == list(SOURCES)
    assert lines["arcs"] == "ready"
    assert "mixviz download mnist" in lines["mnist"]


# ---- refusals --------------------------------------------------------------------------------


def refusal(capsys, *arguments):
    """Return the only line that a refused command writes."""
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("mixviz: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--dataset=arc"], ["'arc'", SOURCES]),
        (["train", "--model=gmvae"], ["'gmvae'", *MODELS]),
        (["train", "--preset=v2"], ["'v2'", *presets()]),
        (["train", "--preset=v1-figure-2c", "--model=gmvae-v2"], ["v1-figure-2c", "v2-digits"]),
        (["train", "--set=eta=1"], ["'eta'", "z_prior_floor", "batch_size"]),
        (["train", "--set=components=0"], ["components='0'", "1 to 1000"]),
        (["train", "--set=components=few"], ["components='few'", "1 to 1000"]),
        (["train", "--set=learning_rate=nan"], ["learning_rate='nan'", "0 to 0.1"]),
        (["train", "--set=likelihood=normal"], ["'normal'", "'bernoulli'", "'gaussian'"]),
        (["train", "--set", "components"], ["'components'", "NAME=VALUE"]),
        (["train", "--set", "=3"], ["'=3'", "NAME=VALUE"]),
        (["train", "--epochs=0"], ["epochs='0'", "1 to 100000"]),
        (["train", "--epochs=2.5"], ["epochs='2.5'", "1 to 100000"]),
        (["train", "--seed=-1"], ["seed='-1'", "0 to 2147483647"]),
        (["settings", "gmvae"], ["'gmvae'", *MODELS]),
        (["download", "arc"], ["'arc'", SOURCES]),
        (["download", "arcs"], ["nothing to download"]),
    ],
)
def test_wrong_name_or_value_is_refused_with_the_choices(home, capsys, arguments, says):
    message = refusal(capsys, *arguments)
    for word in says:
        # Data sets of the user's own come and go with the home.
        assert all(name in message for name in ([word] if isinstance(word, str) else word))
    assert RunStore(home).runs() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["resume", "nope"],
        ["resume", "nope", "--epochs=3"],
        ["pause", "nope"],
        ["continue", "nope"],
        ["stop", "nope"],
        ["checkpoint", "nope"],
        ["set", "nope", "eta=1"],
        ["evaluate", "nope"],
        ["export", "nope", "file"],
    ],
)
def test_wrong_run_is_refused(home, capsys, arguments):
    assert "There is no run 'nope'; list them with: mixviz runs" in refusal(capsys, *arguments)


@pytest.mark.parametrize("name", ["pause", "continue", "stop", "checkpoint"])
def test_run_that_nobody_trains_is_not_steered(run, capsys, name):
    message = refusal(capsys, name, run)
    assert "is finished" in message
    assert f"mixviz resume {run}" in message
    assert RunStore().open_commands(run) == []


def test_evaluate_refuses_an_unknown_data_set(run, capsys):
    assert all(name in refusal(capsys, "evaluate", run, "--dataset=arc") for name in SOURCES)


def test_resume_refuses_epochs_out_of_bounds(run, capsys):
    before = RunStore().get(run).config
    for epochs in ("0", "100001", "2.5", "many"):
        assert "1 to 100000" in refusal(capsys, "resume", run, f"--epochs={epochs}")
    assert RunStore().get(run).config == before


def test_resume_refuses_fewer_epochs_than_are_done(home, capsys):
    run = printed_json(capsys, "train", "--epochs=2", *SHORT)["run"]
    before = RunStore(home).get(run)
    assert "2 epochs already" in refusal(capsys, "resume", run, "--epochs=1")
    assert RunStore(home).get(run) == before


def test_a_shared_run_that_cannot_be_trained_for_longer_keeps_its_scores(
    home, capsys, tmp_path, monkeypatch
):
    run = printed_json(capsys, "train", "--epochs=2", *SHORT)["run"]
    assert call(capsys, "export", run, tmp_path / "shared.mixviz")[0] == 0
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "other"))
    assert call(capsys, "import", tmp_path / "shared.mixviz")[0] == 0
    store = RunStore()
    (shared,) = store.runs()
    assert "without its optimiser" in refusal(capsys, "resume", shared.id, "--epochs=3")
    assert store.get(shared.id) == shared and shared.result["accuracy"]


def test_a_folder_that_cannot_hold_runs_is_said_in_one_line(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "file"))
    assert "set MIXVIZ_HOME" in refusal(capsys, "runs")


def test_import_refuses_what_is_no_bundle(home, capsys, tmp_path):
    refusal(capsys, "import", tmp_path / "missing.mixviz")
    (tmp_path / "text.mixviz").write_text("nothing")
    refusal(capsys, "import", tmp_path / "text.mixviz")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["fly"], "choose from"),
        (["train", "--fast"], "--fast"),
        (["evaluate"], "run; see: mixviz evaluate --help"),
        (["runs", "--limit=x"], "--limit: 'x' is not a whole number"),
        (["sweep", "FILE", "--jobs=0"], "--jobs: '0' is not a whole number"),
        (["cluster", "digits", "--components=-3"], "'-3' is not a whole number"),
    ],
)
def test_wrong_usage_is_said_in_one_line(capsys, arguments, says):
    assert says in refusal(capsys, *arguments)


# ---- steering --------------------------------------------------------------------------------


def test_a_run_that_waits_is_stopped_as_soon_as_it_begins(home, capsys):
    store = RunStore(home)
    run = create_run(store, plan(values={"epochs": 100_000, "threads": 1, "components": 3}))
    store.queue(run)
    assert call(capsys, "stop", run) == (0, "", "")
    assert Trainer(store, run).train() is Status.STOPPED
    assert store.get(run).step < 100
    assert store.open_commands(run) == []


def test_live_setting_is_checked_before_it_is_sent(home, capsys):
    store = RunStore(home)
    jobs = Jobs(store)
    run = jobs.start(plan(values={"epochs": 100_000, "threads": 1, "components": 3}))
    while not store.get(run).owner:
        assert jobs.alive(run)
    try:
        assert "live settings: " in refusal(capsys, "set", run, "components=3")
        assert "z_prior_floor" in refusal(capsys, "set", run, "eta=3")
        assert "allowed: 0 to 5" in refusal(capsys, "set", run, "z_prior_floor=7")
        assert "'high' is not a number" in refusal(capsys, "set", run, "z_prior_floor=high")
        assert "NAME=VALUE" in refusal(capsys, "set", run, "z_prior_floor")
        assert "is being trained by process" in refusal_after_the_bar(capsys, "resume", run)
        assert "stop it before" in refusal(capsys, "resume", run, "--epochs=3")
        assert store.events(run) == []
        assert call(capsys, "set", run, "z_prior_floor=1.5") == (0, "", "")
        assert call(capsys, "pause", run) == (0, "", "")
        while store.get(run).status is not Status.PAUSED:
            assert jobs.alive(run)
        assert f"mixviz continue {run}" in refusal_after_the_bar(capsys, "resume", run)
    finally:
        assert call(capsys, "stop", run) == (0, "", "")
        jobs.wait(run, 30)
    assert store.get(run).status is Status.STOPPED
    assert [(e.field, e.value) for e in store.events(run)] == [("z_prior_floor", 1.5)]


def refusal_after_the_bar(capsys, *arguments):
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err
    return err.splitlines()[-1]


# ---- the program itself ----------------------------------------------------------------------


def test_python_m_mixviz_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "mixviz", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"mixviz {__version__}\n"
    wrong = subprocess.run([sys.executable, "-m", "mixviz", "stop", "nope"], capture_output=True)
    assert wrong.returncode == 2


def test_app_that_is_terminated_takes_its_server_along(monkeypatch):
    signal.signal(signal.SIGTERM, lambda *_: None)
    popen = subprocess.Popen

    def instead(*_, **__):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return popen([sys.executable, "-c", "import time; time.sleep(5)"])

    monkeypatch.setattr(subprocess, "Popen", instead)
    assert main(["app"]) == -signal.SIGTERM


@pytest.mark.parametrize("given", [True, False])
def test_app_says_where_it_opens_and_opens_there(monkeypatch, capsys, given):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(app, "_PORT", port)
        started = []
        popen = subprocess.Popen

        def instead(command, **_):
            started.extend(command)
            return popen([sys.executable, "-c", ""])

        monkeypatch.setattr(subprocess, "Popen", instead)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        options = ["--server.port=9123"] if given else []
        assert main(["app", *options]) == 0
    used = int(started[started.index("--server.port") + 1])
    assert used == 9123 if given else port < used < port + 100
    assert f"http://127.0.0.1:{used}" in capsys.readouterr().out


def test_an_app_started_again_has_the_port_it_had(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as browser:
            server.accept()[0].close()  # first, so that the system remembers the connection here
            assert browser.recv(1) == b""
        monkeypatch.setattr(app, "_PORT", address[1])
        assert app._free_port("127.0.0.1") > address[1]
    assert app._free_port("127.0.0.1") == address[1]


def test_folders_given_from_where_one_is_are_the_same_in_the_app(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIXVIZ_HOME", "my runs")
    monkeypatch.setenv("MIXVIZ_DATA", "../data")
    popen = subprocess.Popen

    def instead(command, **surroundings):
        program = (
            "from mixviz.data.downloads import data_root; from mixviz.home import default_home;"
            "print(default_home(), data_root(), sep=chr(10))"
        )
        with (tmp_path / "said").open("w") as said:
            return popen([sys.executable, "-c", program], stdout=said, **surroundings)

    monkeypatch.setattr(subprocess, "Popen", instead)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["app"]) == 0
    said = (tmp_path / "said").read_text().splitlines()
    assert said == [str(tmp_path / "my runs"), str(tmp_path / "../data")]
    assert said == [str(default_home()), str(data_root())]


def test_listing_and_steering_runs_do_not_import_torch(run):
    program = (
        "import sys; from mixviz.cli import main; main(['runs']); main(['stop', 'nope']);"
        "heavy = {'torch', 'sklearn', 'scipy', 'streamlit', 'plotly', 'lightning_fabric'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert run in done.stdout


def test_reader_that_closes_the_pipe_is_no_error(run):
    command = [sys.executable, "-m", "mixviz", "runs", "--json"]
    pipe = subprocess.PIPE
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=buffered) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_add_makes_a_data_set_that_every_command_knows(home, tmp_path, capsys):
    rows = "\n".join(f"{i % 7},{i % 5},{'ab'[i % 2]}" for i in range(60))
    path = tmp_path / "my points.csv"
    path.write_text(f"x,y,kind\n{rows}\n")
    assert main(["add", str(path), "--label", "kind", "--scaling", "range"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("my-points  60 observations of shape 2\n")
    assert "labels   2: a, b" in printed
    assert "kept     already" not in printed
    again = call(capsys, "add", path, "--label=kind", "--scaling=range")[1]
    assert again.splitlines()[1] == "kept     already, with just this content; nothing was added"
    assert again.splitlines()[-1] == "next     mixviz cluster my-points"
    assert main(["datasets"]) == 0
    assert re.search(r"^my-points +ready$", capsys.readouterr().out, re.M)
    options = ["--model=k-means", "--set=components=2", "--set=threads=1", "--json"]
    assert main(["train", "--dataset=my-points", *options]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["hungarian"] >= 0.5


def test_add_says_the_columns_and_is_told_whether_they_are_named(home, tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("1,2\n" + "3,4\n5,7\n" * 10)
    assert "columns  2: 1, 2\n" in call(capsys, "add", path)[1]
    assert "columns  2: column 1, column 2\n" in call(capsys, "add", path, "--no-header")[1]


def test_added_set_is_clustered_by_the_command_that_add_names(home, tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0]])
    points = centres[np.arange(150) % 3] + rng.normal(size=(150, 3))
    np.save(tmp_path / "three.npy", points)
    _, out, _ = call(capsys, "add", tmp_path / "three.npy")
    command = out.splitlines()[-1].split()
    assert command == ["next", "mixviz", "cluster", "three"]
    monkeypatch.setattr(sensible, "STEPS", 600)
    found = printed_json(capsys, *command[2:])
    assert (found["components"], found["distinct_components"]) == (3, 3)
    assert "the one with 3 has the least BIC" in found["reason"]
    run = RunStore(home).get(found["run"])
    assert (run.name, run.note) == ("three, K=3", found["reason"])
    own = plan(dataset="three", values=sensible.sensible(SOURCES["three"], 3).settings)
    assert run.config == own.as_json()
    status, out, _ = call(capsys, "cluster", "three", "--components=2", "--seed=1", "--name=pair")
    assert (status, out.count("150 vectors")) == (0, 1)
    assert "BIC" not in out
    assert "pair  finished" in out
    assert "(nats, mean over the whole set)" in out
    assert "no data set" in refusal(capsys, "cluster", "nothing").lower()
    assert "a whole number from 1 up" in refusal(capsys, "cluster", "three", "--components=0")


def test_add_refuses_in_one_line(home, tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n3\n")
    assert refusal(capsys, "add", path) == (
        "mixviz: bad.csv cannot be read as a table: "
        "its first line has 2 values, and this one has 1: '3'.\n"
    )
    refusal(capsys, "add", tmp_path / "none.csv")
    for text in ("nothing but words\n", "nothing but words"):
        path.write_text(text)
        assert refusal(capsys, "add", path) == (
            "mixviz: bad.csv has 0 rows; at least 10 are needed.\n"
        )
