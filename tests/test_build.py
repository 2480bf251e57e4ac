"""The build: compilers under odd paths, that fail or hang; what is recorded; what a source tree runs with."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hatchling.builders.sdist import SdistBuilder

from jax_lstm.schedules.kernels.cpu import built, library

ROOT = Path(__file__).parents[1]
supported = pytest.mark.skipif(sys.platform != "linux", reason="there is a kernel for Linux only")


@pytest.fixture
def hook():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path, hook):
    """A source tree with what the hook reads of it, under a path with a space."""
    sources = tmp_path / "a tree" / hook.SOURCES
    sources.mkdir(parents=True)
    for path in (ROOT / hook.SOURCES).iterdir():
        if path.suffix in (".py", ".cc", ".h"):
            shutil.copy(path, sources)
    return tmp_path / "a tree"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A function that puts a shell script in the place of the compiler, under a path with a space."""
    path = tmp_path / "a folder" / "c++"
    path.parent.mkdir()
    monkeypatch.setenv("CXX", str(path))
    monkeypatch.delenv("JAX_LSTM_NATIVE", raising=False)

    def make(script):
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


WORKS = 'while [ "$1" != -o ]; do shift; done; printf GLIBC_2.28 >"$2"'


def build(hook, tree, version="standard"):
    """What the hook adds to a wheel, the record it writes, and the warning it shows."""
    said = []
    app = SimpleNamespace(display_warning=said.append)
    one = hook.CustomBuildHook(str(tree), {}, None, None, "", "wheel", app)
    data = {"force_include": {}, "pure_python": True, "tag": None}
    one.initialize(version, data)
    folder = tree / hook.SOURCES if version == "editable" else Path(one.work.name)
    record = json.loads((folder / built.RECORD).read_text())
    one.finalize(version, data, "")
    return data, record, said


@supported
@pytest.mark.parametrize("version", ["standard", "editable"])
def test_paths_may_have_spaces(hook, tree, compiler, version):
    compiler(WORKS)
    data, record, said = build(hook, tree, version)
    assert (record["reason"], said, data["pure_python"]) == (None, [], False)
    assert data["tag"].startswith("py3-none-manylinux_2_28_") or not data["tag"].startswith("py3-none-manylinux")
    assert (tree / hook.SOURCES / built.LIBRARY).exists() == (version == "editable")
    assert sorted(Path(path).name for path in data["force_include"].values()) == (
        [] if version == "editable" else [built.RECORD, built.LIBRARY]
    )


@supported
def test_options_may_follow_the_compiler_and_have_spaces(hook, tree, compiler, tmp_path, monkeypatch):
    compiler(f'echo "$@" >>"{tmp_path}/seen"; {WORKS}')
    monkeypatch.setenv("CXX", f"'{os.environ['CXX']}' --first")
    monkeypatch.setenv("CXXFLAGS", "-I'one folder' -g")
    assert build(hook, tree)[1]["reason"] is None
    for line in (tmp_path / "seen").read_text().splitlines():
        assert line.startswith("--first")
        assert "-Ione folder -g" in line


@supported
@pytest.mark.parametrize("version", ["standard", "editable"])
def test_a_failed_compile_is_recorded_and_leaves_no_older_library(hook, tree, compiler, version):
    old = tree / hook.SOURCES / built.LIBRARY
    old.write_text("of other sources")
    compiler("echo a note >&2; echo 'tiles.cc:7: error: no such thing' >&2; exit 3")
    data, record, said = build(hook, tree, version)
    assert "failed with exit code 3: tiles.cc:7: error: no such thing" in record["reason"]
    assert record["wanted"]
    assert record["reason"] in said[0]
    assert data["pure_python"]
    assert old.exists() == (version != "editable")  # a wheel leaves the tree as it is, and does not include it
    assert not [path for path in data["force_include"].values() if path.endswith(built.LIBRARY)]


@supported
def test_a_compiler_that_hangs_is_stopped_with_what_it_started(hook, tree, compiler, monkeypatch, tmp_path):
    compiler(f"sleep 1000 & echo $! >>'{tmp_path}/started'; wait")
    monkeypatch.setattr(hook, "LONGEST", 0.5)
    assert "took more than 0.5 seconds" in build(hook, tree)[1]["reason"]
    for number in (tmp_path / "started").read_text().split():
        assert has_ended(number)


def has_ended(process: str, seconds: float = 10) -> bool:
    """Whether a killed process is gone, or waits for a parent that never asks how it ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if "State:\tZ" in Path(f"/proc/{process}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


@supported
def test_caches_and_temporary_files_do_not_need_a_home_and_are_removed(hook, tree, compiler, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("HOME", "/proc/no")
    compiler(
        'for one in "$XDG_CACHE_HOME" "$ZIG_GLOBAL_CACHE_DIR" "$ZIG_LOCAL_CACHE_DIR" "$TMPDIR"; do '
        f'case $one in "{temporary}"/*) touch "$one/cache";; *) exit 9;; esac; done; {WORKS}'
    )
    assert build(hook, tree)[1]["reason"] is None
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("win32", "AMD64"), ("linux", "riscv64")])
def test_other_platforms_record_why_they_have_none(hook, tree, monkeypatch, system, machine):
    monkeypatch.delenv("JAX_LSTM_NATIVE", raising=False)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(hook.platform, "machine", lambda: machine)
    data, record, _ = build(hook, tree)
    assert record["reason"].startswith(f"there is no kernel for {system} on {machine}")
    assert data["pure_python"]


def made(folder, *, library="", sources="", reason=None, wanted=True):
    """A folder as a build leaves it."""
    folder.mkdir(exist_ok=True)
    if reason is None:
        (folder / built.LIBRARY).write_text(library)
    built.write(folder, reason, wanted=wanted, sources=sources)
    return folder


def test_a_source_tree_takes_the_installed_library_only_if_it_has_its_sources(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    assert "was not installed from it" in built.find((tree,))
    (tree / "calls.cc").write_text("one")
    installed = made(tmp_path / "installed", sources=built.digest(tree))
    assert built.find((tree, installed)) == installed / built.LIBRARY
    (tree / "calls.cc").write_text("two")
    assert "was built from other sources: install the package again" in built.find((tree, installed))
    made(tree, sources=built.digest(tree))
    assert built.find((tree, installed)) == tree / built.LIBRARY


def test_the_recorded_reason_is_reported_and_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(built.platform, "machine", lambda: "x86_64")
    failed = made(tmp_path / "failed", reason="c++ failed: no such thing")
    reason = built.find((failed,))
    assert reason.endswith("it was built without it: c++ failed: no such thing")
    with pytest.warns(RuntimeWarning, match="runs without its CPU kernel, which is slower: .* no such thing"):
        built.warn_if_supported(reason, (failed,))
    built.warn_if_supported("asked for", (made(tmp_path / "asked", reason="JAX_LSTM_NATIVE was 0", wanted=False),))
    monkeypatch.setattr(sys, "platform", "darwin")
    built.warn_if_supported(reason, (failed,))


@pytest.mark.skipif(library.missing() is not None, reason=f"no kernel: {library.missing()}")
def test_what_runs_from_a_source_tree_finds_the_installed_kernel(tmp_path):
    """The README's installation is not editable, and the current folder comes before the installed package."""
    ignored = shutil.ignore_patterns("*.so", built.RECORD, "__pycache__")
    shutil.copytree(ROOT / "jax_lstm", tmp_path / "clone" / "jax_lstm", ignore=ignored)
    site = tmp_path / "site"
    shutil.copytree(ROOT / "jax_lstm", site / "jax_lstm", ignore=shutil.ignore_patterns("*.cc", "*.h", "__pycache__"))
    about = site / "jax_lstm-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: jax_lstm\nVersion: 0\n")
    code = "from jax_lstm.schedules.kernels.cpu import built, library; print(built.__file__, library.missing())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path / "clone",
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(tmp_path / "clone" / "jax_lstm/schedules/kernels/cpu/built.py"), "None"]


def test_the_source_distribution_has_no_litter(tmp_path):
    tree = tmp_path / "tree"
    for name in ("README.md", "LICENSE", "pyproject.toml", "hatch_build.py", "jax_lstm_command.py"):
        tree.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "jax_lstm", tree / "jax_lstm", ignore=shutil.ignore_patterns("__pycache__"))
    litter = tree / "my env" / "lib" / "python3" / "site-packages"
    litter.mkdir(parents=True)
    (litter / "a.py").touch()
    (tree / "my env" / "lib64").symlink_to("lib")
    (tree / "data.csv").write_text("1\n")
    shutil.copy(ROOT / ".gitignore", tree)
    made(tree / "jax_lstm" / "schedules" / "kernels" / "cpu")
    (archive,) = SdistBuilder(str(tree)).build(directory=str(tmp_path / "dist"))
    with tarfile.open(archive) as stored:
        names = {name.partition("/")[2] for name in stored.getnames()}
    assert {name.partition("/")[0] for name in names} == {
        *(path.name for path in tree.iterdir() if path.name not in ("my env", "data.csv")),
        "PKG-INFO",
    }
    assert {"jax_lstm/schedules/kernels/cpu/calls.cc", "jax_lstm/schedules/kernels/cpu/built.py"} <= names
    assert not [name for name in names if name.endswith((".so", built.RECORD))]
