"""The notebooks of the site run from the first cell to the last, and print what they were committed with."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path):
    return pytest.importorskip("nbformat").read(path, as_version=4)


def shown(notebook) -> list[tuple]:
    """By cell, what its outputs are: the printed text, and the texts of values or types of pictures.

    A kernel may send one cell's printed text in several messages, so the text is joined.
    """
    return [_shown(cell.get("outputs", [])) for cell in notebook.cells]


def _shown(outputs):
    printed = [output for output in outputs if output.output_type == "stream"]
    values = [output.data for output in outputs if output.output_type != "stream"]
    return (
        "".join(output.text for output in printed if output.name == "stdout"),
        "".join(output.text for output in printed if output.name == "stderr"),
        [sorted(data) if "image/png" in data else data["text/plain"] for data in values],
    )


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {"first-layer", "forecast", "gates-and-gradients"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_its_outputs(path):
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)
    assert path.stat().st_size < 500_000


@pytest.mark.exhaustive
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_was_committed_with(path):
    notebook = read(path)
    committed = shown(notebook)
    client = pytest.importorskip("nbclient").NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    assert shown(notebook) == committed
