"""Builds the CPU kernel into the wheel, or in place if editable; where that cannot be done the wheel is pure Python.

A compiler on the PATH (or named by CXX) is used; where there is none, `ziglang` is asked for as a build requirement,
which is a compiler
by itself. CXXFLAGS adds options, for sanitizers say. JAX_LSTM_NATIVE=0 leaves the kernel out.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
OLDEST_GLIBC = 17


class CustomBuildHook(BuildHookInterface):
    """The hook that `pyproject.toml` names for wheels."""

    def dependencies(self) -> list[str]:
        """What the build needs beyond hatchling: XLA's C header, and a compiler where none is there."""
        if reason_against():
            return []
        # the header of jaxlib 0.12 has other names; what is built with the older one runs with both
        header = "jaxlib>=0.9.0,<0.11"
        return [header] if system_compiler() else [header, "ziglang>=0.13"]

    def initialize(self, version: str, build_data: dict) -> None:
        """Compiles the library, and adds it to the wheel."""
        reason = reason_against()
        here = Path(self.root, SOURCES)
        target = here / "native.so" if version == "editable" else Path(tempfile.mkdtemp()) / "native.so"
        if reason is None:
            try:
                compile_library(here, target)
            except (OSError, subprocess.CalledProcessError, LookupError) as error:
                reason = " ".join(str(error).split())
        if reason is not None:
            self.app.display_warning(f"jax_lstm is built without its CPU kernel, as pure Python: {reason}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_2_{needed_glibc(target)}_{platform.machine()}"
        if version != "editable":
            build_data["force_include"][str(target)] = str(SOURCES / "native.so")


def reason_against() -> str | None:
    """Why the kernel is not to be built here, or None."""
    if os.environ.get("JAX_LSTM_NATIVE") == "0":
        return "the environment variable JAX_LSTM_NATIVE is 0"
    if sys.platform != "linux" or platform.machine() not in VARIANTS:
        return f"there is none for {sys.platform} on {platform.machine()}"
    return None


def system_compiler() -> str | None:
    """A C++ compiler by name: what CXX says, or the first that is found."""
    if os.environ.get("CXX"):
        return os.environ["CXX"]
    return next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)


def compile_library(here: Path, target: Path) -> None:
    """Each instruction set and the calls at once, then the library."""
    compiler, zig = system_compiler(), False
    if compiler is None:
        if importlib.util.find_spec("ziglang") is None:
            raise LookupError("neither a C++ compiler nor ziglang was found")
        compiler, zig = f"{sys.executable} -m ziglang c++ -target {platform.machine()}-linux-gnu.2.{OLDEST_GLIBC}", True
    jaxlib = importlib.util.find_spec("jaxlib")
    if jaxlib is None or not jaxlib.submodule_search_locations:
        raise LookupError("jaxlib, whose header is needed, was not found")
    include = Path(jaxlib.submodule_search_locations[0]) / "include"
    extra = os.environ.get("CXXFLAGS", "").split()
    with tempfile.TemporaryDirectory() as work:

        def run(source: str, name: str, *options: str) -> str:
            made = str(Path(work, f"{name}.o"))
            command = [*compiler.split(), *FLAGS.split(), *options, *extra, "-c", str(here / source), "-o", made]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            return made

        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(run, "calls.cc", "calls", f"-I{include}")]
            for name, size, usual, of_zig in VARIANTS[platform.machine()]:
                options = (of_zig if zig else usual).split()
                jobs.append(pool.submit(run, "tiles.cc", name, f"-DVARIANT={name}", f"-DBYTES={size}", *options))
            objects = [job.result() for job in jobs]
        link = (
            ["-shared", "-s", "-Wl,--as-needed", "-nostdlib++"]
            if zig
            else ["-shared", "-s", "-Wl,--as-needed", "-static-libgcc"]
        )
        subprocess.run(
            [*compiler.split(), *link, *extra, "-o", str(target), *objects], check=True, stdin=subprocess.DEVNULL
        )


def needed_glibc(library: Path) -> int:
    """The minor version of glibc 2 that a library needs."""
    versions = re.findall(rb"GLIBC_2\.(\d+)", library.read_bytes())
    return max(OLDEST_GLIBC, *map(int, versions))
