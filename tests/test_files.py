"""Output files: replaced at once, through links, with their mode; devices and pipes stay; errors name the path."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading

import pytest

from jax_lstm import _files, checkpoint, init_network
from jax_lstm._files import check_writable, read_bytes, regular, replacing
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
    null = tmp_path / "null.png"
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
    assert sorted(tmp_path.iterdir()) == sorted([null, link])


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
    usual = os.open

    def read_only(path, flags, *rest, **options):
        if flags == os.O_WRONLY:
            raise PermissionError(13, "denied", str(path))
        return usual(path, flags, *rest, **options)

    monkeypatch.setattr("os.open", read_only)
    with pytest.raises(PermissionError, match=re.escape(repr(str(tmp_path / "a.txt")))):
        put(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_error_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt") as temporary:
        (temporary.parent / "absent" / temporary.name).write_text("part")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors have paths of their own on Linux")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "a link"])
def test_an_open_file_is_appended_to(tmp_path, name):
    if name == "a link":
        (tmp_path / "link").symlink_to("/dev/stdout")
        name = tmp_path / "link"
    code = "from jax_lstm.cli import outputs; print('before');"
    code += f"outputs.write_csv(outputs.Path({str(name)!r}), {{'a': [1]}})"
    log = tmp_path / "log.txt"
    log.write_text("earlier\n")
    with log.open("a") as output:
        subprocess.run([sys.executable, "-c", code], stdout=output, stderr=subprocess.DEVNULL, check=True)
    assert log.read_text() == "earlier\nbefore\na\n1\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    os.chown(path, 1234, 4321)
    path.chmod(0o4750)
    put(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o4750)


KILLED = """
import os, signal, sys
from jax_lstm._files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("part")
    print(flush=True)
    os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "dies" else sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks on folders")
def test_what_a_killed_process_leaves_is_removed_by_the_next_write_and_nothing_else(tmp_path):
    def start(name, how):
        arguments = [sys.executable, "-c", KILLED, str(tmp_path / name), how]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    with start("a.txt", "dies") as dead:
        dead.wait()
    (left,) = tmp_path.iterdir()
    with start("a.txt", "lives") as living:
        assert not left.exists()
        (working,) = tmp_path.iterdir()
        put(tmp_path / "b.txt")
        assert working.exists()
        living.stdin.close()
        assert living.wait() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]
    assert (tmp_path / "a.txt").read_text() == "part"


def test_errors_that_name_no_file_or_the_temporary_one_name_the_path(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match=re.escape(f"No space left on device: {str(path)!r}")):
            put(path)
    for kind in (OSError, ValueError):
        with pytest.raises(kind, match=re.escape(f"unable to open {path}, errno = 13")), replacing(path) as temporary:
            raise kind(f"unable to open {temporary}, errno = 13")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's")
def test_a_full_device_is_named():
    with pytest.raises(OSError, match="/dev/full"):
        put("/dev/full")


def test_what_cannot_be_written_is_known_before(tmp_path):
    path = tmp_path / "a.txt"
    check_writable(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    check_writable(path)
    assert (path.read_text(), len(list(tmp_path.iterdir()))) == ("old", 1)
    for refused in (
        tmp_path,
        tmp_path / "no" / "a.txt",
        tmp_path / "a.txt" / "b",
        tmp_path / ("a" * 300),
        "/proc/a.txt",
    ):
        with pytest.raises(OSError, match=re.escape(str(refused))):
            check_writable(refused)


def feed(pipe, data):
    """A thread that opens a pipe once and writes to it."""
    thread = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
    thread.start()
    return thread


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_read_once(tmp_path, layers, capsys):
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    checkpoint.save(tmp_path / "a.safetensors", layers)
    data = (tmp_path / "a.safetensors").read_bytes()
    for read in (
        lambda: checkpoint.load(pipe).layers[0].w_x.shape == (3, 16),
        lambda: main(["show", str(pipe)]) == 0,
        lambda: main(["convert", str(pipe), str(tmp_path / "b.npz")]) == 0,
    ):
        thread = feed(pipe, data)
        assert read()
        thread.join(timeout=30)
    capsys.readouterr()
    thread = feed(pipe, data[:-1])
    assert main(["show", str(pipe)]) == 2
    thread.join(timeout=30)
    assert capsys.readouterr().err.startswith(f"jax-lstm: {pipe} is not a complete safetensors file")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="Windows has no such device")
def test_a_device_without_end_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_files, "LARGEST_STREAM", 1 << 22)
    with pytest.raises(ValueError, match="/dev/zero has more than 4,194,304 bytes and is no regular file"):
        read_bytes("/dev/zero")
    link = tmp_path / "zero.npz"
    link.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=re.escape(str(link))), regular(link):
        pytest.fail("it was copied whole")
    assert main(["show", str(link)]) == 2
    assert capsys.readouterr().err.startswith(f"jax-lstm: {link} has more than")
