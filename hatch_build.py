"""Builds the CPU kernel into the wheel, or in place for an editable install; where that fails the wheel is pure Python.

A compiler on the PATH is used, or the one that CXX names; without any, the compiler of `ziglang`, which then is a build
requirement. CXXFLAGS adds options, for sanitizers for example. JAX_LSTM_NATIVE=0 builds without the kernel. A wheel
without the kernel records the reason, which the package reports when it runs.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("jax_lstm/schedules/kernels/cpu")
FLAGS = (
    "-O3 -std=c++17 -fPIC -fno-exceptions -fno-rtti -fno-threadsafe-statics -fvisibility=hidden -ffp-contract=fast"
    " -g0 -Wno-uninitialized"
)
# of each machine: the instruction sets by name, the bytes of a vector, and the options that choose them, for GCC or
# Clang and for zig
VARIANTS = {
    "x86_64": [
        (
            "avx512",
            64,
            "-march=skylake-avx512 -mprefer-vector-width=512",
            "-mcpu=skylake_avx512 -mprefer-vector-width=512",
        ),
        ("avx2", 32, "-march=haswell", "-mcpu=haswell"),
    ],
    "aarch64": [("neon", 16, "", "")],
}
REALS = ("float", "double")  # the dtypes, each compiled by itself
OLDEST_GLIBC = 17
LONGEST = 600
"""Seconds after which a compiler is stopped; the slowest that was tried, zig on one busy core, takes about 60."""


class CompileError(Exception):
    """A compiler that failed or took too long, with its first error."""


class CustomBuildHook(BuildHookInterface):
    """The hook that `pyproject.toml` names for wheels."""

    def dependencies(self) -> list[str]:
        """What the build needs beyond hatchling: XLA's C header, and a compiler if the system has none."""
        if reason_against():
            return []
        # the header of jaxlib 0.12 has other names; what is built with the older one runs with both
        header = "jaxlib>=0.9.0,<0.11"
        return [header] if system_compiler() else [header, "ziglang>=0.13"]

    def initialize(self, version: str, build_data: dict) -> None:
        """Compile the library and add it to the wheel with its record, or else the reason why it is not there."""
        editable = version == "editable"
        here = Path(self.root, SOURCES)
        built = load_by_path(here / "built.py")
        self.work = tempfile.TemporaryDirectory(prefix="jax_lstm-")  # removed by `finalize`, or as the process ends
        target = (here if editable else Path(self.work.name)) / built.LIBRARY
        target.unlink(missing_ok=True)  # of an earlier editable build, which may have had other sources
        reason = reason_against()
        wanted = os.environ.get("JAX_LSTM_NATIVE") != "0"
        if reason is None:
            try:
                compile_library(here, target)
            except (OSError, CompileError, LookupError) as error:
                target.unlink(missing_ok=True)
                reason = " ".join(str(error).split())
        built.write(target.parent, reason, wanted=wanted, sources=built.digest(here))
        files = [built.RECORD] if reason else [built.RECORD, built.LIBRARY]
        if not editable:
            build_data["force_include"] |= {str(target.parent / name): str(SOURCES / name) for name in files}
        if reason is None:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform_tag(target)}"
        else:
            self.app.display_warning(f"jax_lstm is built without its CPU kernel, as pure Python: {reason}")

    def finalize(self, version: str, build_data: dict, artifact_path: str) -> None:
        """Remove the temporary files."""
        self.work.cleanup()


def load_by_path(path: Path) -> ModuleType:
    """A module of the package, without the package, which needs JAX."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reason_against() -> str | None:
    """Why the kernel is not to be built here, or None."""
    if os.environ.get("JAX_LSTM_NATIVE") == "0":
        return "the environment variable JAX_LSTM_NATIVE was 0"
    if sys.platform != "linux" or platform.machine() not in VARIANTS or sys.maxsize < 2**32:
        bits = 64 if sys.maxsize > 2**32 else 32
        return f"there is no kernel for {sys.platform} on {platform.machine()} with a {bits}-bit Python"
    return None


def system_compiler() -> list[str] | None:
    """The command of a C++ compiler: what CXX says, with options if it has any, or the first that is found."""
    given = os.environ.get("CXX", "").strip()
    if given:
        found = shutil.which(given)  # a path may have spaces
        return [found] if found else shlex.split(given)
    return next(([name] for name in ("c++", "g++", "clang++") if shutil.which(name)), None)


def compile_library(here: Path, target: Path) -> None:
    """Compile each dtype's instruction sets and calls at the same time, then link the library.

    Args:
        here: the folder of the sources.
        target: the library to write.

    Raises:
        CompileError, OSError: the compiler failed, or cannot be started. LookupError: a requirement is missing.
    """
    compiler, zig = system_compiler(), False
    if compiler is None:
        if importlib.util.find_spec("ziglang") is None:
            raise LookupError("neither a C++ compiler nor ziglang was found")
        system = f"{platform.machine()}-linux-gnu.2.{OLDEST_GLIBC}"
        compiler, zig = [sys.executable, "-m", "ziglang", "c++", "-target", system], True
    jaxlib = importlib.util.find_spec("jaxlib")
    if jaxlib is None or not jaxlib.submodule_search_locations:
        raise LookupError("jaxlib, whose header is needed, was not found")
    include = Path(jaxlib.submodule_search_locations[0]) / "include"
    extra = shlex.split(os.environ.get("CXXFLAGS", ""))
    with tempfile.TemporaryDirectory(prefix="jax_lstm-") as folder:
        work = Path(folder)

        def compile_one(source: str, name: str, *options: str) -> str:
            made = work / f"{name}.o"
            run([*compiler, *FLAGS.split(), *options, *extra, "-c", str(here / source), "-o", str(made)], work, name)
            return str(made)

        with ThreadPoolExecutor() as pool:
            jobs = []
            for real in REALS:
                jobs.append(pool.submit(compile_one, "calls.cc", f"calls_{real}", f"-DREAL={real}", f"-I{include}"))
                for name, size, usual, of_zig in VARIANTS[platform.machine()]:
                    options = [f"-DREAL={real}", f"-DVARIANT={name}", f"-DBYTES={size}"]
                    options += (of_zig if zig else usual).split()
                    jobs.append(pool.submit(compile_one, "tiles.cc", f"{name}_{real}", *options))
            objects = [job.result() for job in jobs]
        link = ["-shared", "-s", "-Wl,--as-needed", "-nostdlib++" if zig else "-static-libgcc"]
        linked = work / target.name
        run([*compiler, *link, *extra, "-o", str(linked), *objects], work, "link")
        shutil.copyfile(linked, target)
        shutil.copymode(linked, target)


def run(command: list[str], work: Path, name: str) -> None:
    """Run a compiler, with its caches and temporary files in the work folder, as HOME may not be writable.

    Args:
        command: the program and its arguments.
        work: the folder.
        name: of this job, for the file of its messages.

    Raises:
        CompileError: it failed, or took longer than `LONGEST`. OSError: it cannot be started.
    """
    caches = ("XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR", "CCACHE_DIR", "TMPDIR")
    environment = os.environ | dict.fromkeys(caches, str(work))
    messages = work / f"{name}.txt"
    # messages go to a file and not to a pipe, which a program that the compiler started could keep open
    with (
        messages.open("wb") as output,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            code = process.wait(LONGEST)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # and what the compiler started
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise CompileError(f"{shlex.join(command[:1])} took more than {LONGEST} seconds") from error
    if code:
        lines = messages.read_text(errors="replace").splitlines() or ["it printed nothing"]
        first = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise CompileError(f"{shlex.join(command[:1])} failed with exit code {code}: {first[:300]}")


def platform_tag(library: Path) -> str:
    """The platform of the wheel: any Linux with a recent enough glibc, or with another C library only this one."""
    if platform.libc_ver()[0] != "glibc":
        return f"linux_{platform.machine()}"
    versions = re.findall(rb"GLIBC_2\.(\d+)", library.read_bytes())
    return f"manylinux_2_{max(OLDEST_GLIBC, *map(int, versions))}_{platform.machine()}"
