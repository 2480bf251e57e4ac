"""The code of the README runs, from the first block to the last, and prints what stands below it."""

import contextlib
import io
import re
from pathlib import Path

import jax
import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_python_block_runs_and_prints_what_follows_it(tmp_path, monkeypatch):
    blocks = BLOCK.findall(README.read_text("utf-8"))
    assert any(language == "python" for language, _ in blocks)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "readme"}
    # a reader's JAX, rather than the strict one of the tests
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for (language, code), (after, printed) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
            if language != "python":
                continue
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, "README.md", "exec"), names)
            if after in ("text", "output"):
                assert out.getvalue().rstrip() == printed.rstrip(), code


@pytest.mark.parametrize("heading", ["## Run it", "## Test it"])
def test_the_first_block_below_a_heading_is_one_line_of_sh(heading):
    text = README.read_text("utf-8")
    assert f"{heading}\n" in text
    language, code = BLOCK.findall(text.split(f"{heading}\n")[1])[0]
    assert language == "sh"
    assert code.count("\n") == 1
