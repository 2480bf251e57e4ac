"""The benchmark compares like with like: every peer gives our numbers, and one that does not is refused."""

import json

import jax
import numpy as np
import pytest
from peers import peer

from experiments.benchmark import report, timing, uses
from experiments.benchmark.ours import all_cores, draw, one_device
from experiments.benchmark.peers import PEERS, WITHOUT_LENGTHS

MODULES = {"ONNX Runtime": "onnxruntime", "Flax linen": "flax", "Flax nnx": "flax"}
WORK = [
    pytest.param(name, ragged, marks=pytest.mark.exhaustive if ragged else ())
    for name in PEERS
    for ragged in (False, True)
    if not (ragged and name in WITHOUT_LENGTHS)
]


@pytest.mark.parametrize(("name", "ragged"), WORK)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the peers' own code
def test_a_peer_does_the_same_work(name, ragged):
    peer(MODULES.get(name, name.lower()))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # the peers rely on both
        work = draw(5, 8, 2, 4, ragged)
        ours, theirs = one_device(work), PEERS[name](work)
        for what, call in theirs.items():
            timing.refuse_unequal({"jax_lstm": ours[what](), name: call()}, work.valid if what == "forward" else None)


def test_all_cores_do_the_same_work():
    work = draw(5, 8, 2, 4, ragged=True)
    timing.refuse_unequal({"one": one_device(work)["gradient"](), "all": all_cores(work)["gradient"]()})


def test_different_work_is_refused():
    with pytest.raises(ValueError, match=r"wrong and right differ by 1\.0e-02"):
        timing.refuse_unequal({"right": np.ones(3), "wrong": np.array([1, 1, 1.01])})


def test_the_notebook_in_numpy_gives_the_notebooks_number():
    assert 4 * uses.notebook_in_numpy(np.array([[1.0], [2.0], [3.0]])) == pytest.approx(3.482711142511621, rel=1e-12)


def test_ratios_are_the_peers_time_over_ours():
    found = report.ratios({"jax_lstm": 2.0, "torch": 3.0, "Haiku": 5.0})
    assert found == {"jax_lstm": {"torch": 1.5, "Haiku": 2.5, "best of all": 1.5, "best of JAX": 2.5}}


def test_the_results_are_kept_as_they_were_measured(tmp_path):
    row = {"milliseconds": {"jax_lstm": 2.0, "torch": 3.0}, "limit": 1.0}
    measured = {
        "machine": "here",
        "date": "today",
        "command": "this",
        "versions": {},
        "GF/s": 1.0,
        "shapes": [{"shape": "small", "missing": ["keras"], "forward": row, "last": row, "gradient": row}],
        "compile seconds": {"small": {"jax_lstm": 0.5}},
    }
    text = report.as_text(measured)
    assert "not compared: keras" in text
    assert "| small: jax_lstm | – | 1.5 | 0.5 |" in text
    report.keep(tmp_path, measured, text)
    assert json.loads((tmp_path / "results.json").read_text()) == measured
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
