"""Parity with what each framework computed when `fixtures/make.py` ran; needs no framework but `onnx`."""

from pathlib import Path

import numpy as np
import pytest
from peers import CLOSE, peer

from jax_lstm import Bidirectional, interop, network, readout

FIXTURES = Path(__file__).parent / "fixtures"


def nested(weights):
    tree = {}
    for key, array in weights.items():
        dense, kind = key.split("/")
        tree.setdefault(dense, {})[kind] = array
    return tree


READERS = {
    "torch": interop.from_torch,
    "keras": lambda weights: interop.from_keras([[weights[str(k)] for k in range(6)]]),
    "linen": lambda weights: interop.from_flax(nested(weights)),
    "nnx": lambda weights: interop.from_flax(nested(weights)),
    "haiku": interop.from_haiku,
    "equinox": interop.from_equinox,
    "cudnn": lambda weights: interop.from_cudnn(weights["weights"], features=3, hidden=4, layers=2, bidirectional=True),
}


@pytest.mark.parametrize("name", READERS)
def test_the_outputs_of_then(name):
    with np.load(FIXTURES / f"{name}.npz") as file:
        held = dict(file)
    layers = READERS[name]({key.removeprefix("in/"): array for key, array in held.items() if key.startswith("in/")})
    lengths = held.get("lengths")
    hs = np.asarray(network(layers, held["xs"], lengths=lengths)[1])
    valid = np.arange(len(hs))[:, None] < (np.full(hs.shape[1], len(hs)) if lengths is None else lengths)
    np.testing.assert_allclose(hs[valid], held["hs"][valid], **CLOSE)


def test_a_model_that_pytorch_exported():
    peer("onnx")
    model = interop.from_onnx(FIXTURES / "torch_export.onnx")
    assert [type(layer) for layer in model.layers] == [Bidirectional, Bidirectional]
    with np.load(FIXTURES / "torch_export.npz") as file:
        ys = readout(model.readout, network(model.layers, file["xs"])[1])
        np.testing.assert_allclose(ys, file["ys"], **CLOSE)
    assert (model.carries, model.lengths, model.reverse) == (None, None, False)
