"""The benchmark compares like with like: every peer gives our numbers, and one that does not is refused."""

import json
import shutil

import jax
import numpy as np
import pytest
from peers import peer

from experiments.benchmark import fresh, pages, report, shapes, timing, uses, wide
from experiments.benchmark.__main__ import RESULTS
from experiments.benchmark.ours import draw, plain, spread
from experiments.benchmark.peers import PEERS, WITHOUT_LENGTHS
from jax_lstm import init

MODULES = {"ONNX Runtime": "onnxruntime", "Flax linen": "flax", "Flax nnx": "flax"}
WORK = [(name, ragged) for name in PEERS for ragged in (False, True) if not (ragged and name in WITHOUT_LENGTHS)]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "ragged"), WORK)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the peers' own code
def test_a_peer_does_the_same_work(name, ragged):
    peer(MODULES.get(name, name.lower()))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # the peers rely on both
        work = draw(5, 8, 2, 4, ragged)
        ours, theirs = plain(work), PEERS[name](work)
        for what, call in theirs.items():
            timing.refuse_unequal({"jax_lstm": ours[what](), name: call()}, work.valid if what == "forward" else None)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_peer_does_the_same_work_on_a_stack(name, bidirectional):
    peer(name)
    work = wide._draw_stack(wide.Stack(shapes.Shape(2, 5, 3, 4), 2, bidirectional))
    ours, theirs = wide._network(work), {"torch": wide._torch, "onnxruntime": wide._onnxruntime}[name](work)
    for what, call in theirs.items():
        if what != "last":
            timing.refuse_unequal({"jax_lstm": ours[what](), name: call()})


def test_multiply_adds_are_those_of_the_matrices():
    plain = init(jax.random.key(0), 3, 8)
    assert wide._multiply_adds(plain) == 4 * 8 * (3 + 8)
    assert wide._multiply_adds(init(jax.random.key(0), 3, 8, heads=2)) == 4 * 8 * (3 + 4)
    assert wide._multiply_adds(init(jax.random.key(0), 3, 8, diagonal=True)) == 4 * 8 * 3
    assert wide._multiply_adds(init(jax.random.key(0), 3, 8, projection=2)) == 4 * 8 * (3 + 2) + 8 * 2


def test_a_variant_is_judged_per_multiply_add():
    times = {"plain": 2.0, "variant": 3.0}
    row = {"variant": "halves", "schedule": "native", "multiply-adds": 0.5, "forward": times, "gradient": times}
    text = "\n".join(report._variants({"sizes": [1, 2, 3, 4], "variants": [row]}))
    assert "| halves | native | 0.5 | 3 | 3 | 3 | 3 |" in text


def test_the_peak_is_measured_where_there_is_a_compiler(monkeypatch):
    timing._peak_library.cache_clear()
    monkeypatch.delenv("CXX", raising=False)
    if shutil.which("c++"):
        assert timing.peak_rate(1, rounds=1, times=10**5) > 0
    timing._peak_library.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert timing.peak_rate(1, rounds=1, times=10**5) is None
    timing._peak_library.cache_clear()


def test_the_mesh_does_the_same_work():
    work = draw(5, 8, 2, 4, ragged=True)
    timing.refuse_unequal({"plain": plain(work)["gradient"](), "mesh": spread(work)["gradient"]()})


def test_different_work_is_refused():
    with pytest.raises(ValueError, match=r"wrong and right differ by 1\.0e-02"):
        timing.refuse_unequal({"right": np.ones(3), "wrong": np.array([1, 1, 1.01])})


def test_the_notebook_in_numpy_gives_the_notebooks_number():
    assert 4 * uses.notebook_in_numpy(np.array([[1.0], [2.0], [3.0]])) == pytest.approx(3.482711142511621, rel=1e-12)


def test_ratios_are_the_peers_time_over_ours():
    assert report.ratios({"jax_lstm": 2.0, "torch": 3.0, "Haiku": 5.0}) == {"best of all": 1.5, "best of JAX": 2.5}


def test_operations_are_those_of_the_products():
    batch, time, features, hidden = sizes = shapes.SHAPES["small"]
    products = 2 * batch * time * (features * 4 * hidden + hidden * 4 * hidden)
    assert timing.operations(*sizes, gradient=False) == products
    assert timing.operations(*sizes, gradient=True) == 3 * products


@pytest.mark.parametrize("name", ["large", "1x2x3", "1x2x3x0", "1x2x3x-4"])
def test_a_shape_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"--shapes {name}: expected one of small, "):
        shapes.parse(name)


def test_the_memory_of_a_call_is_what_it_holds_at_once():
    """The sum of two arrays of 64 MiB, of which one is made after the other is gone."""
    assert 60 < fresh.taken(lambda: [np.ones(2**23).sum() for _ in range(2)]) < 68


ROW = {"milliseconds": {"jax_lstm": 2.0, "torch": 3.0}, "limit": 1.0}


def results() -> dict:
    part = {"machine": "here", "date": "today", "command": "this", "versions": dict.fromkeys(report.PACKAGES, "1")}
    row = {"shape": "small", "sizes": [32, 100, 8, 64], "schedule": "native", "missing": ["Keras (keras)"]}
    row |= {"forward": ROW, "last": ROW, "gradient": ROW}
    fresh = {"first call, seconds": {"jax_lstm": 0.2, "torch": 0.4}}
    fresh |= {"memory of the gradient, MiB": {"jax_lstm": {"small": 5.0}, "torch": {"small": 12.5}}}
    return {"shapes": part | {"peak GF/s": {"1": 50.0}, "shapes": [row]}, "fresh": part | fresh}


def test_the_results_are_kept_as_they_were_measured(tmp_path):
    report.keep(tmp_path, results())
    text = (tmp_path / "results.md").read_text()
    assert "not compared: Keras (keras)" in text
    assert "| small | native | 1.5 | – | 0.5 |" in text
    assert "| geometric mean |  | 1.5 | – | – |" in text
    assert "| torch | 0.4 | 12.5 |" in text
    assert json.loads((tmp_path / "results.json").read_text()) == results()
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_has_ours_beside_one_other():
    row = "| small (32, 100, 8, 64) | 2 / 3 | 2 / 3 | 5 / 12.5 |"
    assert row in pages.compared("torch", "`torch.nn.LSTM`", results())
    assert "1.5× faster forward and 1.5× faster gradient" in pages.overview(results())
    with pytest.raises(ValueError, match="a page without the lines <!-- results -->"):
        pages.filled("no marks", "table")


@pytest.mark.parametrize("name", pages.PAGES)
def test_every_page_has_the_committed_results(name):
    committed = json.loads((RESULTS / "results.json").read_text("utf-8"))
    text = (pages.ROOT / name).read_text("utf-8")
    assert pages.filled(text, pages.PAGES[name](committed)) == text
