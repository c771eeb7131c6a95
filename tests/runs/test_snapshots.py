"""Snapshots and subsamples come back as they were written, or not at all."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mixviz.runs import Snapshot, snapshots
from mixviz.runs.files import write_atomically
from tests.runs.conftest import make_snapshot, make_subsample


def assert_same(one, other):
    assert type(one) is type(other)
    for item in dataclasses.fields(one):
        a, b = getattr(one, item.name), getattr(other, item.name)
        assert type(a) is type(b), item.name
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, item.name
            np.testing.assert_array_equal(a, b, item.name)
        else:
            assert a == b, item.name


def test_snapshot_round_trip_is_exact_for_every_field(tmp_path):
    snapshot = make_snapshot(12)
    snapshots.write(snapshot, tmp_path / "s.npz")
    assert_same(snapshot, snapshots.read_snapshot(tmp_path / "s.npz"))


def test_subsample_round_trip_is_exact_for_every_field(tmp_path):
    subsample = make_subsample()
    snapshots.write(subsample, tmp_path / "s.npz")
    assert_same(subsample, snapshots.read_subsample(tmp_path / "s.npz"))


def test_optional_arrays_stay_empty(tmp_path):
    full = make_snapshot(1)
    optional = {
        f.name for f in dataclasses.fields(Snapshot) if f.default_factory is not dataclasses.MISSING
    }
    snapshot = Snapshot(**{k: v for k, v in vars(full).items() if k not in optional})
    snapshots.write(snapshot, tmp_path / "s.npz")
    found = snapshots.read_snapshot(tmp_path / "s.npz")
    assert_same(snapshot, found)
    assert {getattr(found, name).size for name in optional} == {0}


floats = st.floats(allow_nan=False)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    step=st.integers(0, 2**40),
    seconds=floats,
    terms=st.dictionaries(st.text(max_size=8), floats, max_size=4),
    verdict=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    points=hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(2))),
    samples=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=5, max_side=3)),
)
def test_any_value_comes_back(tmp_path, step, seconds, terms, verdict, points, samples):
    changes = {"step": step, "seconds": seconds, "terms": terms, "verdict": verdict}
    snapshot = dataclasses.replace(make_snapshot(), points=points, samples=samples, **changes)
    snapshots.write(snapshot, tmp_path / "s.npz")
    assert_same(snapshot, snapshots.read_snapshot(tmp_path / "s.npz"))


def test_terms_that_are_not_finite_come_back(tmp_path):
    snapshots.write(make_snapshot(1, terms={"elbo": float("nan")}), tmp_path / "s.npz")
    assert np.isnan(snapshots.read_snapshot(tmp_path / "s.npz").terms["elbo"])


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return print, ("unpickled",)


def test_pickled_object_is_refused_and_not_run(tmp_path, capsys):
    with (tmp_path / "s.npz").open("wb") as file:
        np.savez(file, plain=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        snapshots.read_snapshot(tmp_path / "s.npz")
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_file_that_is_cut_short_is_a_value_error(tmp_path, share):
    path = tmp_path / "s.npz"
    snapshots.write(make_snapshot(1), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"damaged|pickled"):
        snapshots.read_snapshot(path)


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        snapshots.read_snapshot(tmp_path / "none.npz")


def test_writer_that_fails_midway_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half of the new")
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for content in (b"first", b"second"):
        write_atomically(path, lambda file, content=content: file.write(content))
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]
