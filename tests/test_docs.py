"""The code of every page of the site runs, from its first block to its last, and prints what the page says."""

import importlib
import re
from pathlib import Path

import pages
import peers
import pytest

import jax_lstm

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
REFERENCE = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))


def _param(page: Path):
    """A page with its marks: `% slow` marks one that only the exhaustive suite runs."""
    marks = [pytest.mark.exhaustive] if "% slow" in page.read_text("utf-8").splitlines() else []
    return pytest.param(page, id=str(page.relative_to(DOCS).with_suffix("")), marks=marks)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # Keras, of itself
@pytest.mark.parametrize("page", [_param(page) for page in PAGES if pages.has_code(page)])
def test_every_block_runs_and_prints_what_follows_it(page, tmp_path, monkeypatch):
    for framework in pages.frameworks(page):
        peers.peer(framework)
    monkeypatch.chdir(tmp_path)
    with peers.lenient():
        pages.run(page)


def test_pages_name_what_they_need():
    assert pages.needs(DOCS / "tutorial.md") == [".[files]", "flatbuffers"]
    assert pages.frameworks(DOCS / "guides" / "haiku.md") == ["haiku"]
    assert pages.needs(DOCS / "guides" / "ragged.md") == []


@pytest.mark.parametrize("page", [_param(page) for page in PAGES])
def test_every_link_leads_to_a_page_and_a_heading(page):
    text = re.sub(pages.BLOCK, "", page.read_text("utf-8"))
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


@pytest.mark.parametrize("module", ["", *(f".{name}" for name in jax_lstm._SUBMODULES)])
def test_every_public_name_is_in_the_reference(module):
    names = importlib.import_module(f"jax_lstm{module}").__all__
    homes = r"(\.forecast|\.tables)" if module == ".forecast" else re.escape(module)  # it re-exports names of tables
    assert [name for name in names if not re.search(rf":: jax_lstm{homes}\.{re.escape(name)}\b", REFERENCE)] == []
