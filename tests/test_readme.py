"""The code of the README runs, from the first block to the last, and prints what the README says."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from jax_lstm.cli import main

pytestmark = pytest.mark.usefixtures("optimized")

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_python_block_runs_and_prints_what_follows_it(tmp_path, monkeypatch):
    blocks = BLOCK.findall(README)
    assert [language for language, _ in blocks[:2]] == ["python", "text"]
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "readme"}
    for (language, code), (after, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, "README.md", "exec"), names)
        if after == "text":
            assert out.getvalue().rstrip() == expected.rstrip(), code


def test_every_command_of_jax_lstm_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("experiments").symlink_to(ROOT / "experiments")
    commands = [
        shlex.split(line) for language, code in BLOCK.findall(README) if language == "sh" for line in code.splitlines()
    ]
    commands = [words[1:] for words in commands if words[0] == "jax-lstm"]
    assert {words[0] for words in commands} == {"run", "forecast", "evaluate"}
    for words in commands:
        assert main(words) == 0, words


@pytest.mark.parametrize("heading", ["## Run it", "## Test it"])
def test_the_first_block_below_a_heading_is_one_line_of_sh(heading):
    language, code = BLOCK.findall(README.split(f"{heading}\n")[1])[0]
    assert language == "sh"
    assert code.count("\n") == 1


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
