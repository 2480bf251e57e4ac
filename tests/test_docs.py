"""The code of every page of the site runs, from its first block to its last, and prints what stands below it."""

import ast
import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import peers
import pytest

import jax_lstm
from jax_lstm.cli import main

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REFERENCE = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))


def _param(page: Path):
    """A page with its marks: `% slow` stands on one that only the exhaustive suite runs."""
    marks = [pytest.mark.exhaustive] if "% slow" in page.read_text("utf-8").splitlines() else []
    return pytest.param(page, id=str(page.relative_to(DOCS).with_suffix("")), marks=marks)


def _has_code(page: Path) -> bool:
    return any(language in ("python", "sh") for language, _ in BLOCK.findall(page.read_text("utf-8")))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # Keras, of itself
@pytest.mark.parametrize("page", [_param(page) for page in PAGES if _has_code(page)])
def test_every_block_runs_and_prints_what_follows_it(page, tmp_path, monkeypatch):
    text = page.read_text("utf-8")
    for name in re.findall(r"^% needs: (.*)$", text, re.MULTILINE):
        for framework in name.split():
            peers.peer(framework)
    monkeypatch.chdir(tmp_path)
    Path("experiments").symlink_to(DOCS.parent / "experiments")
    blocks = BLOCK.findall(text)
    names: dict = {"__name__": page.stem}
    with peers.lenient():
        for (language, code), (after, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
            printed = _run(language, code, names)
            if after == "text" and language in ("python", "sh"):
                assert printed.rstrip() == expected.rstrip(), code


def _run(language: str, code: str, names: dict) -> str:
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
            for line in code.splitlines():
                if line.startswith("jax-lstm "):
                    assert main(shlex.split(line)[1:]) == 0, line
    return out.getvalue()


@pytest.mark.parametrize("page", [_param(page) for page in PAGES])
def test_every_link_leads_to_a_page_and_a_heading(page):
    text = re.sub(BLOCK, "", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:", target) or path.startswith("_pictures/"):
            continue
        linked = page if not path else (page.parent / path).resolve()
        assert linked.is_file(), target
        if anchor:
            assert anchor in _anchors(linked), target


def _anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_picture_is_drawn_by_the_gallery():
    shown = {name for page in PAGES for name in re.findall(r"_pictures/([\w.-]+)", page.read_text("utf-8"))}
    assert shown
    code = (DOCS / "gallery.md").read_text("utf-8")
    assert {name for name in shown if f'"{name}"' not in code} == set()


@pytest.mark.parametrize("module", ["", "interop", "checkpoint", "train", "parallel", "plot", "schedules", "forecast"])
def test_every_public_name_is_in_the_reference(module):
    """By the names that an `__init__` exports under themselves, `from … import name as name`."""
    root = Path(jax_lstm.__file__).parent / module
    source = (root / "__init__.py" if root.is_dir() else root.with_suffix(".py")).read_text("utf-8")
    exported = {
        alias.asname
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name and not alias.name.startswith("_")
    }
    prefix = f"jax_lstm.{module}." if module else "jax_lstm."
    missing = {name for name in exported if not re.search(rf":: {re.escape(prefix + name)}\b", REFERENCE)}
    assert missing == set()
