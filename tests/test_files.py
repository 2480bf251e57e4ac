"""Output files: replaced at once, through links, with their mode; devices and pipes stay; errors name the path."""

from __future__ import annotations

import os
import re
import stat
import threading

import pytest

from jax_lstm import checkpoint, init_network
from jax_lstm._files import replacing
from jax_lstm.cli import main


@pytest.fixture(scope="module")
def layers():
    import jax

    return init_network(jax.random.key(0), 3, [4])


def put(path, text="new"):
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "deep").mkdir()
    target, link = tmp_path / "deep" / "target.bin", tmp_path / "link.txt"
    link.symlink_to(target)
    for before in (None, "old"):  # a link to nothing creates its target, as open() does
        if before is not None:
            target.write_text(before)
        put(link)
        assert link.is_symlink()
        assert target.read_text() == "new"
        assert [path.name for path in target.parent.iterdir()] == ["target.bin"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_the_mode_stays(tmp_path, mode):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    put(path)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)


def test_a_private_file_is_private_while_it_is_written(tmp_path):
    path = tmp_path / "a.txt"
    path.touch(0o600)
    with replacing(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    put(tmp_path / "a.txt")
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_a_pipe_is_written_to(tmp_path):
    pipe, got = tmp_path / "pipe.txt", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    put(pipe)
    reader.join(timeout=30)
    assert got == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_a_device(tmp_path, layers, capsys):
    null = tmp_path / "null"
    try:  # a copy: a mistake would replace the machine's own
        os.mknod(null, stat.S_IFCHR | 0o666, os.stat(os.devnull).st_rdev)
    except PermissionError:
        pytest.skip("making a device needs more rights")
    link = tmp_path / "null.safetensors"
    link.symlink_to(null)
    checkpoint.save(link, layers)
    assert main(["run", "1", "--plot", str(null)]) == 0
    assert stat.S_ISCHR(null.stat().st_mode)
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [null, link]


def test_errors_name_the_path_that_was_given(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=re.escape(repr(str(tmp_path / "no" / "a.txt")))):
        put(tmp_path / "no" / "a.txt")
    with pytest.raises(IsADirectoryError, match=re.escape(repr(str(tmp_path)))):
        put(tmp_path)
    with (
        pytest.raises(PermissionError, match=re.escape(repr(str(tmp_path / "a.txt")))),
        replacing(tmp_path / "a.txt") as temporary,
    ):
        raise PermissionError(13, "denied", str(temporary))
    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=re.escape(repr(str(tmp_path / "a.txt")))):
        put(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_error_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt") as temporary:
        (temporary.parent / "absent" / temporary.name).write_text("part")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
