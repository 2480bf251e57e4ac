"""ONNX: what surrounds the LSTMs of a model is read, or named and refused; external data only from its folder."""

import re

import numpy as np
import pytest
from onnx_models import BATCH, FEATURES, HIDDEN, TIME, make, onnx, run
from peers import CLOSE, assert_same_bits, random

from jax_lstm import network, readout
from jax_lstm.interop import from_onnx, to_onnx


@pytest.mark.parametrize(
    ("operator", "attributes", "said"),
    [
        ("Relu", {}, "'layer_1' (4 inputs, 2 units, after Relu 'changed')"),
        (
            "Transpose",
            {"perm": (1, 0, 2)},
            "'layer_1' (4 inputs, 2 units, takes the outputs of LSTM 'layer_0' with time and batch exchanged)",
        ),
    ],
    ids=["Relu", "Transpose"],
)
def test_operators_between_two_lstms_make_two_stacks_unless_they_only_rearrange(operator, attributes, said):
    model = to_onnx(make((HIDDEN, 2)))
    (second,) = (node for node in model.graph.node if node.name == "layer_1")
    model.graph.node.insert(2, onnx.helper.make_node(operator, ["hs_0"], ["changed"], **attributes))
    second.input[0] = "changed"
    for partial in (False, True):
        with pytest.raises(
            ValueError, match=re.escape(f"2 LSTMs that are not one stack: 'layer_0' (3 inputs, 4 units), {said}")
        ):
            from_onnx(model, partial=partial)
    first, last = from_onnx(model, node="layer_0"), from_onnx(model, node="Y_1")
    assert_same_bits((*first.layers, *last.layers), make((HIDDEN, 2)))
    assert {"LSTM 'layer_1'", f"{operator} 'changed'"} - set(first.left_out) <= {"Transpose 'changed'"}
    assert "LSTM 'layer_0'" in last.left_out
    model.graph.node[2].CopyFrom(onnx.helper.make_node("Transpose", ["hs_0"], ["turned"], perm=(1, 0, 2)))
    model.graph.node.insert(3, onnx.helper.make_node("Transpose", ["turned"], ["changed"], perm=(1, 0, 2)))
    assert_same_bits(from_onnx(model).layers, make((HIDDEN, 2)))


def test_stacks_that_are_none_are_refused():
    model = to_onnx(make((HIDDEN, 2)), lengths=True)
    second = model.graph.node[2]
    second.input[4] = "others"
    model.graph.input.append(onnx.helper.make_tensor_value_info("others", onnx.TensorProto.INT32, ["batch"]))
    with pytest.raises(ValueError, match="takes the outputs of LSTM 'layer_0' with other sequence_lens"):
        from_onnx(model)
    second.input[4] = "lengths"
    (direction,) = (attribute for attribute in second.attribute if attribute.name == "direction")
    direction.s = b"reverse"
    with pytest.raises(ValueError, match="takes the outputs of LSTM 'layer_0' in another direction"):
        from_onnx(model)
    with pytest.raises(ValueError, match="node is 'layer_2', expected the name of an LSTM of the model: 'layer_0' "):
        from_onnx(model, node="layer_2")
    assert from_onnx(model, node="layer_1").reverse


def surrounded(before=(), after=(), hidden=(HIDDEN,), head=None, **constants):
    """A model with operators before and after what `to_onnx` writes, each given with its other inputs."""
    model = to_onnx(make(hidden), readout=head)
    graph, last = model.graph, "hs" if head is None else "ys"
    value = "x0"
    for k, (operator, *others) in enumerate(before):
        graph.node.insert(k, onnx.helper.make_node(operator, [value, *others], [f"x{k + 1}"], f"before_{k}"))
        value = f"x{k + 1}"
    if before:
        graph.input[0].name = "x0"
        graph.node[len(before)].input[0] = value
    value = last
    for k, (operator, *others) in enumerate(after):
        inputs = [value if name == "y" else name for name in (others or ["y"])]
        graph.node.append(onnx.helper.make_node(operator, inputs, [f"y{k}"], f"after_{k}"))
        value = f"y{k}"
    graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None))
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items())
    return model


W = random(HIDDEN, 2)


LINEAR = [("MatMul", "y", "w"), ("Add", "b", "y")]


LEFT_OUT = {
    "Linear, LSTM, Linear": (
        surrounded(
            [("MatMul", "v"), ("Add", "u")], LINEAR, v=random(5, FEATURES), u=random(FEATURES), w=W, b=random(2)
        ),
        "before it MatMul 'before_0', Add 'before_1';",
        True,
    ),
    "tanh((x - 2) / 3), LSTM, Linear, sigmoid": (
        surrounded(
            [("Sub", "two"), ("Div", "three"), ("Tanh",)],
            [*LINEAR, ("Sigmoid",)],
            two=np.float32(2),
            three=np.float32(3),
            w=W,
            b=random(2),
        ),
        "before it Sub 'before_0', Div 'before_1', Tanh 'before_2'; after it Sigmoid 'after_2';",
        True,
    ),
    "LSTM, Linear, ReLU, Linear": (
        surrounded([], [*LINEAR, ("Relu",), ("MatMul", "y", "v")], w=W, b=random(2), v=random(2, 2)),
        "after it Relu 'after_2', MatMul 'after_3';",
        True,
    ),
    "Add(y, y)": (surrounded([], [("MatMul", "y", "w"), ("Add", "y", "y")], w=W), "after it Add 'after_1';", True),
    "a bias over time": (
        surrounded([], LINEAR, w=W, b=random(TIME, 1, 2)),
        "after it Add 'after_1';",
        True,
    ),
    "the last step": (
        surrounded([], [("Gather", "y", "index"), ("MatMul", "y", "w")], index=np.int64(-1), w=W),
        "",
        True,
    ),
    "a softmax of the outputs": (surrounded([], [("Softmax",)]), "after it Softmax 'after_0';", False),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_a_model_computes_besides_is_named_and_refused_unless_asked_for(case, tmp_path):
    model, said, has_readout = LEFT_OUT[case]
    if not said:
        read = from_onnx(model)
        assert (read.reads, read.left_out, read.readout is not None) == ("hs[-1]", (), has_readout)
        return
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        from_onnx(model)
    assert "partial=True" in str(caught.value)
    read = from_onnx(model, partial=True)
    assert_same_bits(read.layers, make())
    assert (read.readout is not None) == has_readout
    assert all(name in str(caught.value) for name in read.left_out)
    assert len(read.left_out) == str(caught.value).count("'") // 2


def test_a_branch_beside_the_lstm_is_named():
    model = to_onnx(make())
    model.graph.node.append(onnx.helper.make_node("Relu", ["xs"], ["others"], "branch"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("others", onnx.TensorProto.FLOAT, None))
    with pytest.raises(ValueError, match="after it Relu 'branch'"):
        from_onnx(model)
    del model.graph.output[-1]
    assert from_onnx(model).left_out == ()  # nothing takes its values


@pytest.mark.parametrize("shape", [(2,), (1, 2), (1, 1, 2), (1,), ()])
def test_a_bias_of_any_shape_that_goes_along_the_outputs(shape):
    model = surrounded([], LINEAR, w=W, b=random(*shape))
    head = from_onnx(model).readout
    assert head.b.shape == (2,)
    xs = random(TIME, BATCH, FEATURES)
    np.testing.assert_allclose(run(model, xs=xs)["y1"], readout(head, network(make(), xs)[1]), **CLOSE)


def test_a_product_with_a_vector_is_a_readout_of_one_output():
    model = surrounded([], [("MatMul", "y", "w"), ("Add", "b", "y")], w=W[:, 0], b=np.float32(3))
    head = from_onnx(model).readout
    assert (head.w.shape, head.b.shape) == ((HIDDEN, 1), (1,))
    xs = random(TIME, BATCH, FEATURES)
    np.testing.assert_allclose(run(model, xs=xs)["y1"], readout(head, network(make(), xs)[1])[..., 0], **CLOSE)


def test_operators_that_only_rearrange_the_outputs_are_no_loss():
    model = surrounded([], [("Transpose",), ("Unsqueeze", "y", "axis"), ("Squeeze", "y", "axis")], axis=np.array([1]))
    assert from_onnx(model).left_out == ()
    model = to_onnx(make((HIDDEN, HIDDEN)))
    model.graph.node.append(onnx.helper.make_node("Concat", ["h_0", "h_1"], ["h"], axis=0))
    del model.graph.output[1:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, None))
    assert from_onnx(model).left_out == ()
    model.graph.node.append(onnx.helper.make_node("Concat", ["h_0", "xs"], ["mixed"], axis=0))
    model.graph.output.append(onnx.helper.make_tensor_value_info("mixed", onnx.TensorProto.FLOAT, None))
    assert from_onnx(model, partial=True).left_out == ("Concat 'mixed'",)


def external(folder, location="weights.bin", size=None):
    """A model whose W_0 is in another file, by its path."""
    model = to_onnx(make())
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    (folder / "weights.bin").write_bytes(data[:size])
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def test_external_data(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = external(folder)
    assert_same_bits(from_onnx(path).layers, make())
    with pytest.raises(
        ValueError, match=r"'W_0' of the model is in the file 'weights.bin': give the path of the model"
    ):
        from_onnx(path.read_bytes())
    (tmp_path / "other.bin").write_bytes((folder / "weights.bin").read_bytes())
    for location in (str(tmp_path / "other.bin"), "../other.bin"):
        with pytest.raises(ValueError, match=r"in the file '.*other.bin', expected a path inside the model's folder"):
            from_onnx(external(folder, location))
    (folder / "link.bin").symlink_to(tmp_path / "other.bin")
    with pytest.raises(ValueError, match=r"'link.bin', which is behind a link"):
        from_onnx(external(folder, "link.bin"))
    with pytest.raises(ValueError, match=r"'none.bin', which is missing"):
        from_onnx(external(folder, "none.bin"))
    with pytest.raises(
        ValueError, match=r"'weights.bin' of 8 bytes, expected 192 bytes up to 192: the file is truncated"
    ):
        from_onnx(external(folder, size=8))


def test_an_initializer_that_does_not_have_its_shape_is_refused_in_one_line():
    model = to_onnx(make())
    model.graph.initializer[0].dims[0] = 2**40
    with pytest.raises(ValueError, match=r"initializer 'W_0' of the model cannot be read") as caught:
        from_onnx(model)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_with_an_lstm_is_refused(tmp_path):
    model = to_onnx(make())
    del model.graph.node[0]
    with pytest.raises(ValueError, match="model has no LSTM operator, it has Squeeze"):
        from_onnx(model)
    with pytest.raises(ValueError, match="model is not an ONNX model"):
        from_onnx(b"not a model")
    (tmp_path / "no.onnx").write_bytes(b"not a model")
    with pytest.raises(ValueError, match="model is not an ONNX model"):
        from_onnx(tmp_path / "no.onnx")
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "missing.onnx")
    with pytest.raises(TypeError, match=r"model is a int, expected an onnx\.ModelProto, bytes or a path"):
        from_onnx(3)
