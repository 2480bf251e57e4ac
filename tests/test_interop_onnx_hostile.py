"""ONNX files that are made to hang, to take memory, or to read other files: refused in one line."""

import os

import numpy as np
import pytest
from onnx_models import make, onnx, run
from peers import CLOSE, assert_same_bits, peer, random

from jax_lstm import network, readout
from jax_lstm.interop import from_onnx, to_onnx

helper = onnx.helper


def refused(model, match):
    with pytest.raises(ValueError, match=match) as caught:
        from_onnx(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("operator", ["Transpose", "Slice", "Identity", "Add"])
def test_a_cycle(operator):
    model = to_onnx(make())
    others = ["other"] * (operator != "Transpose")
    model.graph.node.append(helper.make_node(operator, ["a", *others], ["b"]))
    model.graph.node.append(helper.make_node(operator, ["b", *others], ["a"]))
    model.graph.node[0].input[0] = "b"
    refused(model, "model is not a valid ONNX model: .*(cycle|loop)")


def functions(*calls):
    """A model whose functions, by name, consist of calls of other functions."""
    model = to_onnx(make())
    for name, called in calls:
        nodes = [helper.make_node(one, ["x"], ["y"], domain="own") for one in called]
        model.functions.append(helper.make_function("own", name, ["x"], ["y"], nodes, [helper.make_opsetid("", 17)]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.insert(0, helper.make_node("f0", ["xs"], ["z"], domain="own"))
    return model


def test_functions_that_call_each_other():
    refused(functions(("f0", ["f1"]), ("f1", ["f0"])), "its function 'f.' calls itself")
    refused(functions(("f0", ["f0"])), "its function 'f0' calls itself")
    doubling = [(f"f{k}", [f"f{k + 1}"] * 2) for k in range(40)]
    refused(functions(*doubling, ("f40", ["Relu"])), r"model has [\d,]+ operators, expected at most 100,000")


def test_a_constant_that_grows():
    model = to_onnx(make())
    for k in range(60):
        model.graph.node.insert(k, helper.make_node("Concat", [f"w{k}", f"w{k}"], [f"w{k + 1}"], axis=0))
    model.graph.initializer.append(onnx.numpy_helper.from_array(random(4, 4), "w0"))
    model.graph.node[60].input[1] = "w60"
    refused(model, "W is made by Concat")
    model = to_onnx(make())
    for name, array in (("small", random(1, 1, 1)), ("shape", np.array([2**20, 2**20, 2**10]))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    model.graph.node.insert(0, helper.make_node("Expand", ["small", "shape"], ["huge"]))
    model.graph.node[1].input[1] = "huge"
    refused(model, "W is made by Expand")


def test_external_data_of_any_tensor(tmp_path):
    model = to_onnx(make())
    tensor = helper.make_tensor("inside", onnx.TensorProto.FLOAT, [4], np.zeros(4))
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "pipe"
    os.mkfifo(tmp_path / "pipe")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    refused(tmp_path / "a.onnx", "'inside' of the model is in the file 'pipe', which is not a regular file")
    entry.value = "../../etc/passwd"
    model.graph.node[0].attribute[0].t.CopyFrom(tensor)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    refused(tmp_path / "a.onnx", "expected a path inside the model's folder")
    for key, value, words in (("offset", "-5", "truncated"), ("length", "x", "unknown type or place")):
        (tmp_path / "data").write_bytes(bytes(100))
        entry.value = "data"
        other = tensor.__class__()
        other.CopyFrom(tensor)
        other.external_data.add(key=key, value=value)
        model.graph.node[0].attribute[0].t.CopyFrom(other)
        (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
        refused(tmp_path / "a.onnx", words)


@pytest.mark.parametrize(
    "attribute", [{"perm": (0, 0, 1)}, {"perm": (0, 1)}, {"perm": (0, 1, 7)}, {"perm": "abc"}], ids=str
)
def test_attributes_that_are_none(attribute):
    model = to_onnx(make())
    model.graph.node.append(helper.make_node("Transpose", ["hs"], ["turned"], **attribute))
    model.graph.output[0].name = "turned"
    refused(model, "model is not a valid ONNX model: Transpose 'turned'")


def quantized(weights):
    """A weight as 8-bit numbers with a scale per row, and what they stand for."""
    scale = np.abs(weights).max(axis=(0, 2)) / 127
    numbers = np.round(weights / scale[None, :, None]).astype(np.int8)
    return numbers, scale.astype(np.float32)


def test_constants_behind_operators_are_folded():
    (params,) = make()
    model = to_onnx((params,))
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    numbers, scale = quantized(arrays["W_0"])
    new = [
        helper.make_node("DequantizeLinear", ["numbers", "scale"], ["W_0"], axis=1),
        helper.make_node("Transpose", ["turned"], ["R_0"], perm=(0, 2, 1)),
        helper.make_node("Cast", ["wide"], ["narrow"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["narrow", "zero"], ["B_0"]),
    ]
    held = {
        "numbers": numbers,
        "scale": scale,
        "turned": arrays["R_0"].swapaxes(1, 2),
        "wide": arrays["B_0"][0].astype(float),
    }
    nodes = list(model.graph.node)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend([*new, *nodes])
    held |= {"zero": np.array([0]), "direction_axis": arrays["direction_axis"]}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in held.items()
    )
    read, xs = from_onnx(model), random(5, 2, 3)
    assert_same_bits((read.layers[0].w_h, read.layers[0].b), (params.w_h, params.b))
    np.testing.assert_allclose(run(model, xs=xs)["hs"], network(read.layers, xs)[1], **CLOSE)


def exported(torch, tmp_path, module, x, **options):
    path = tmp_path / "exported.onnx"
    torch.onnx.export(module.eval(), (x,), path, verbose=False, **options)
    return path


CASES = {
    "one layer": {},
    "two layers in two directions": {"num_layers": 2, "bidirectional": True},
    "learned initial states": {"learned": True},
    "the last step": {"last": True},
}
HOW = ["dynamic", "static", "opset 7", "opset 8", "opset 17"]
# PyTorch does not write the expansion of learned states before opset 9
EXPORTS = [(case, how) for case in CASES for how in HOW if not ("learned" in case and how in ("opset 7", "opset 8"))]


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")  # PyTorch's own, many
@pytest.mark.parametrize(("case", "how"), EXPORTS)
def test_what_pytorch_exports(case, how, tmp_path):
    torch = peer("torch")
    options = dict(CASES[case])
    learned, last = options.pop("learned", False), options.pop("last", False)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(3, 4, batch_first=True, **options)
            self.fc = torch.nn.Linear(8 if options else 4, 2)
            self.h0, self.c0 = (torch.nn.Parameter(torch.randn(1, 1, 4)) for _ in range(2))

        def forward(self, x):
            states = (self.h0.expand(1, len(x), 4).contiguous(), self.c0.expand(1, len(x), 4).contiguous())
            ys = self.lstm(x, states)[0] if learned else self.lstm(x)[0]
            return self.fc(ys[:, -1] if last else ys)

    torch.manual_seed(0)
    model, x = Model(), torch.randn(5, 6, 3)
    if how == "dynamic":
        axes = {"x": {0: torch.export.Dim("batch"), 1: torch.export.Dim("time")}}
        path = exported(torch, tmp_path, model, x, dynamo=True, dynamic_shapes=axes)
    elif how == "static":
        path = exported(torch, tmp_path, model, x, dynamo=True)
    else:
        version = int(how.split()[1])
        axes = {"x": {0: "batch", 1: "time"}} if version > 8 else None
        path = exported(
            torch, tmp_path, model, x, dynamo=False, opset_version=version, input_names=["x"], dynamic_axes=axes
        )
    read = from_onnx(path)
    assert (read.reads, read.left_out) == ("hs[-1]" if last else "hs", ())
    carries = read.carries
    if learned:
        batch = lambda state: np.broadcast_to(state, (5, 4))  # noqa: E731
        carries = tuple(type(one)(*map(batch, one)) for one in carries)
    hs = network(read.layers, x.numpy().swapaxes(0, 1), carries)[1]
    ours = readout(read.readout, hs[-1] if last else hs)
    expected = model(x).detach().numpy()
    np.testing.assert_allclose(ours if last else ours.swapaxes(0, 1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")
def test_a_projection_that_pytorch_exports_as_another_layer_is_refused(tmp_path):
    torch = peer("torch")
    path = exported(torch, tmp_path, torch.nn.LSTM(3, 4, proj_size=2), torch.randn(5, 6, 3), dynamo=True)
    refused(path, r"initial_c has shape \(1, 6, 4\), expected \(1, batch, 2\): they must fit its weights")


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences_that_pytorch_exports(bidirectional, tmp_path):
    """Its exporter before dynamo=True, which refuses them, makes the lengths an input."""
    torch = peer("torch")
    pack, pad = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(3, 4, 2, batch_first=True, bidirectional=bidirectional)

        def forward(self, x, lengths):
            return pad(self.lstm(pack(x, lengths, batch_first=True))[0], batch_first=True)[0]

    torch.manual_seed(0)
    model, x, lengths = Model().eval(), torch.randn(3, 5, 3), torch.tensor([5, 3, 2])
    path = tmp_path / "exported.onnx"
    torch.onnx.export(model, (x, lengths), path, dynamo=False, input_names=["x", "lengths"])
    read = from_onnx(path)
    assert (read.lengths, read.left_out) == (None, ())
    hs = network(read.layers, x.numpy().swapaxes(0, 1), lengths=lengths.numpy().astype(np.int32))[1]
    expected = model(x, lengths).detach().numpy()
    np.testing.assert_allclose(np.asarray(hs).swapaxes(0, 1), expected, rtol=1e-5, atol=1e-6)
