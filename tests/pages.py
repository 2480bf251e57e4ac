"""The code of the pages of the site: what it needs, and whether it runs and prints what the page says.

`python tests/pages.py PAGE…` runs pages without pytest, as `.ci/pages` does in environments that have only what a page
names. `python tests/pages.py --needs PAGE…` prints that: a line for each page, its packages first.
"""

import contextlib
import inspect
import io
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# what is imported of a package or of an extra that the tests do without
MODULES = {"dm-haiku": "haiku", ".[engines]": "fugue"}


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of every block."""
    return BLOCK.findall(page.read_text("utf-8"))


def needs(page: Path) -> list[str]:
    """What the `pip install` lines of a page name: `.` or `.[extras]` for this package, and other packages."""
    lines = [line for language, code in blocks(page) if language == "sh" for line in code.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    installs = [line[2:] for line in words if line[:1] and line[0].endswith("pip") and line[1:2] == ["install"]]
    return sorted({word for line in installs for word in line if not word.startswith("-")} - {"."})


def framework_options(framework: str) -> dict[str, str]:
    """What the page on the frameworks' options says of each, by name: the table below a heading."""
    text = (ROOT / "docs/reference/framework-options.md").read_text("utf-8")
    (section,) = re.findall(rf"^## {framework}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", section, re.MULTILINE)
    return {name: said for names, said in rows for name in re.findall(r"`(\w+)`", names)}


def layer_options(kind: type) -> set[str]:
    """The names of the options of a class, as its signature has them."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {one.name for one in parameters if one.kind not in several} - {"self"}


def frameworks(page: Path) -> list[str]:
    """The modules that a page needs and the tests do without, as they are imported."""
    return [MODULES.get(name, name) for name in needs(page) if name in MODULES or not name.startswith(".")]


def has_code(page: Path) -> bool:
    """Whether a page has anything to run."""
    return any(language in ("python", "sh") for language, _ in blocks(page))


def run(page: Path) -> None:
    """Run every block in the current folder; a `text` block below one is exactly what it prints.

    Raises:
        AssertionError: it prints something else, or a command fails.
    """
    if not Path("experiments").exists():
        Path("experiments").symlink_to(ROOT / "experiments")
    names: dict = {"__name__": page.stem}
    every = blocks(page)
    for (language, code), (after, expected) in zip(every, [*every[1:], ("", "")], strict=True):
        printed = _run_block(language, code, names)
        if after == "text" and language in ("python", "sh"):
            assert printed.rstrip() == expected.rstrip(), f"{code}\nprinted\n{printed}\nexpected\n{expected}"


def _run_block(language: str, code: str, names: dict) -> str:
    """What a block prints; commands other than `jax-lstm` are not run."""
    if language == "python" and "use_all_cores(" in code:  # before the first computation: a program of its own
        ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if language == "python":
            exec(compile(code, "page", "exec"), names)
        elif language == "sh":
            _run_commands(code)
    return out.getvalue()


def _run_commands(code: str) -> None:
    from jax_lstm.cli import main

    for line in code.splitlines():
        if line.startswith("jax-lstm "):
            assert main(shlex.split(line)[1:]) == 0, line


def main(arguments: list[str]) -> None:
    """Run pages one after the other, each in a process of its own; or print what they need."""
    wanted = [(ROOT / name).resolve() for name in arguments if name != "--needs"]
    for page in filter(has_code, wanted):
        if "--needs" in arguments:
            print(" ".join(needs(page)), page.relative_to(ROOT), sep="\t")
            continue
        print(page.relative_to(ROOT), flush=True)
        program = (
            "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import pages; pages.run(pathlib.Path(sys.argv[2]))"
        )
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", program, str(ROOT / "tests"), str(page)]
            subprocess.run(command, check=True, cwd=folder)


if __name__ == "__main__":
    main(sys.argv[1:])
