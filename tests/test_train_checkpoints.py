"""Checkpoints: a run resumes from the last good one, and errors of reading and writing are one line."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import train_child
from train_cases import leaky

from jax_lstm import init, lstm, zero_carry
from jax_lstm.parallel import batch_mesh
from jax_lstm.train import Checkpoints, fit

KEY = jax.random.key(0)
X = np.arange(32, dtype=np.float32)
SGD = optax.sgd(0.1)


def shrink(w, x, key):
    return jnp.mean((w - x - jax.random.normal(key, x.shape)) ** 2)


def line(folder, steps=6, every=2, w=0.0, **changes):
    """A run of the smallest kind."""
    given = dict(key=KEY, batch_size=8, batch_axis=0) | changes
    return fit(shrink, w, X, SGD, steps=steps, checkpoints=Checkpoints(folder, every), **given)


def assert_same(one, other):
    one, other = train_child.leaves(one), train_child.leaves(other)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.exhaustive
def test_a_run_in_parts_is_the_whole_run(tmp_path):
    """Named tuples, None fields, a clip in the structure, keys in the state of the optimizer, shortened histories."""
    whole = train_child.run(None, 1, steps=60)
    train_child.run(tmp_path, every=5, steps=23)
    assert sorted(os.listdir(tmp_path)) == ["15", "20", "23"]
    assert_same(train_child.run(tmp_path, every=50, steps=60), whole)
    assert sorted(os.listdir(tmp_path)) == ["23", "50", "60"]
    assert_same(train_child.run(tmp_path, every=50, steps=60), whole)


def layered(params, carry, chunk, key):
    """A stream through an LSTM."""
    carry, hs = lstm(params, chunk, carry)
    return jnp.mean((hs - 0.1) ** 2), carry


@pytest.mark.parametrize("on_mesh", [pytest.param(False, marks=pytest.mark.exhaustive), True])
@pytest.mark.parametrize("model", ["leaky", pytest.param("lstm", marks=pytest.mark.exhaustive)])
def test_a_stream_resumes_with_its_carry(tmp_path, model, on_mesh):
    xs = jax.random.normal(KEY, (40, 8, 1))
    mesh = batch_mesh() if on_mesh else None
    loss, params, carry = leaky, jnp.array([0.5, 1.0]), jnp.zeros((8, 1))
    if model == "lstm":
        loss, params = layered, init(KEY, 1, 2)
        carry = zero_carry(params, xs.shape[1:-1])

    def run(steps, folder=None):
        checkpoints = None if folder is None else Checkpoints(folder)
        options = dict(key=KEY, carry=carry, chunk=4, batch_axis=1, mesh=mesh, checkpoints=checkpoints)
        return fit(loss, params, xs, SGD, steps=steps, **options)

    run(7, tmp_path)
    assert_same(run(14, tmp_path), run(14))


class Loader:
    """An iterable of batches that can be iterated again."""

    def __iter__(self):
        return (X + i for i in range(3))


@pytest.mark.exhaustive
def test_members_and_iterables_resume(tmp_path):
    keys = jax.random.split(KEY, 3)

    def members(steps, folder=None):
        checkpoints = None if folder is None else Checkpoints(folder)
        return fit(
            shrink, jnp.zeros(3), X, SGD, key=keys, steps=steps, batch_size=8, batch_axis=0, checkpoints=checkpoints
        )

    members(3, tmp_path / "members")
    assert_same(members(8, tmp_path / "members"), members(8))

    def drawn(steps, folder=None, start=lambda step: (X + i for i in range(step, 99))):
        checkpoints = None if folder is None else Checkpoints(folder)
        return fit(shrink, jnp.zeros(()), start, SGD, key=KEY, steps=steps, checkpoints=checkpoints)

    drawn(3, tmp_path / "made")
    assert_same(drawn(8, tmp_path / "made"), drawn(8))
    drawn(3, tmp_path / "drawn", (X + i for i in range(99)))
    assert_same(drawn(8, tmp_path / "drawn", (X + i for i in range(99))), drawn(8))
    drawn(5, tmp_path / "loaded", Loader())
    assert_same(drawn(8, tmp_path / "loaded", Loader()), drawn(8, None, Loader()))


def test_a_run_that_has_diverged_stays_so(tmp_path):
    def loss(w, x, key):
        return jnp.where(w > 2.5, jnp.nan, -w)

    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="in step 4"):
            fitted = fit(
                loss, jnp.zeros(()), X, optax.sgd(1.0), key=KEY, steps=9, checkpoints=Checkpoints(tmp_path, every=2)
            )
        assert float(fitted.params) == 2.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(key=jax.random.key(7)), r"key is \[0, 0\] in step 6 and \[0, 7\] now"),
        (dict(batch_size=4), "batch_size is 8 in step 6 and 4 now"),
        (dict(w=np.zeros(1, np.float32)), r"state.finite is float32\[\] in step 6 and float32\[1\] now"),
        (dict(steps=4), "a checkpoint of step 6, but steps is 4"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, message):
    line(tmp_path)
    with pytest.raises(ValueError, match=message) as refusal:
        line(tmp_path, **changes)
    assert "\n" not in str(refusal.value)
    assert sorted(os.listdir(tmp_path)) == ["2", "4", "6"]


@contextmanager
def no_more_than(size: int):
    """Limit the size of files, as a full disk does; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes to set")
def test_a_full_disk_is_named_and_leaves_the_last_good_checkpoint(tmp_path):
    whole = line(tmp_path / "whole", steps=12)
    line(tmp_path / "full", steps=6)
    with (
        no_more_than(100),
        pytest.raises(
            OSError, match=r"the checkpoint of step 8 could not be written .* the last good one is of step 6"
        ) as refusal,
    ):
        line(tmp_path / "full", steps=12)
    assert "\n" not in str(refusal.value)
    assert "File too large" in str(refusal.value)
    assert_same(line(tmp_path / "full", steps=12), whole)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"checkpoints cannot be kept in .* give another folder") as refusal:
            line(folder)
        assert "\n" not in str(refusal.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write everywhere
    with pytest.raises(OSError, match=r"no permission to write in .* give another folder"):
        line(tmp_path)


@pytest.mark.parametrize("what", ["state/_METADATA", "about/metadata", "digest"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, what):
    whole = line(tmp_path)
    if what == "digest":
        about = tmp_path / "6" / "about" / "metadata"
        about.write_text(about.read_text().replace('"digest":', '"digest": 1'))
    else:
        damaged = tmp_path / "6" / what
        damaged.write_bytes(damaged.read_bytes()[:20])
    with pytest.warns(UserWarning, match="the checkpoint of step 6 in .* cannot be read, trying the one before"):
        again = line(tmp_path)
    assert_same(again, whole)
    assert_same(line(tmp_path), whole)


HOLDS = """
import sys
from pathlib import Path
from jax_lstm.train._lock import locked
with locked(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not locked there")
def test_two_runs_in_one_folder_are_refused_and_a_killed_one_is_not_waited_for(tmp_path):
    whole = line(tmp_path / "alone")
    folder = tmp_path / "shared"
    folder.mkdir()
    arguments = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(
            ValueError, match=f"is in use by another run .process {other.pid} on .*: give another folder"
        ):
            line(folder)
        other.kill()
    assert_same(line(folder), whole)
    assert sorted(os.listdir(folder)) == ["2", "4", "6"]


def test_a_run_that_fails_releases_its_folder(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fit(lambda w, x, key: 1 / 0, 0.0, X, SGD, key=KEY, steps=2, checkpoints=Checkpoints(tmp_path))
    line(tmp_path)
