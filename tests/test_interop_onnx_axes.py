"""ONNX: where reshapes, transposes and slices move the data is followed, and what cannot be followed is refused."""

import numpy as np
import pytest
from onnx_models import BATCH, FEATURES, HIDDEN, TIME, make, onnx, run
from peers import CLOSE, assert_same_bits, random

from jax_lstm import Bidirectional, network, readout
from jax_lstm.interop import from_onnx, to_onnx

helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT


def rewired(model, steps, shapes, between=True):
    """A model with operators, each with its constants, in front of its second LSTM or after its outputs."""
    graph = model.graph
    value, new, constants = ("hs_0" if between else "hs"), [], {}
    for k, (operator, attributes, others) in enumerate(steps):
        names = [f"constant_{k}_{n}" for n in range(len(others))]
        constants |= dict(zip(names, others, strict=True))
        new.append(helper.make_node(operator, [value, *names], [f"step_{k}"], f"move_{k}", **attributes))
        value = f"step_{k}"
    if between:
        position = [node.name for node in graph.node].index("layer_1")
        graph.node[position].input[0] = value
        for node in reversed(new):
            graph.node.insert(position, node)
    else:
        graph.node.extend(new)
        graph.output[0].CopyFrom(helper.make_tensor_value_info(value, FLOAT, None))
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items())
    for axis, size in zip(graph.input[0].type.tensor_type.shape.dim, shapes, strict=True):
        if size is not None:
            axis.dim_value = size
    return model


def reshape(*shape):
    return ("Reshape", {}, [np.array(shape)])


def transpose(*perm):
    return ("Transpose", {"perm": perm}, [])


SAME = {
    "there and back": [transpose(1, 0, 2), transpose(1, 0, 2)],
    "through one axis": [reshape(-1, HIDDEN), reshape(TIME, BATCH, HIDDEN)],
    "axes added and removed": [("Unsqueeze", {}, [np.array([1])]), ("Squeeze", {}, [np.array([1])])],
    "flattened": [("Flatten", {"axis": 2}, []), reshape(TIME, BATCH, HIDDEN)],
    "in reverse twice": [("Slice", {}, [np.array([n]) for n in (-1, -100, 0, -1)])] * 2,
}
OTHER = {
    "a reshape for a transpose": [reshape(BATCH, TIME, HIDDEN)],
    "a reshape for a transpose, and a transpose back": [reshape(BATCH, TIME, HIDDEN), transpose(1, 0, 2)],
    "time and batch as one": [reshape(1, TIME * BATCH, HIDDEN)],
    "time and batch as one, then back in the other order": [
        reshape(-1, HIDDEN),
        reshape(BATCH, TIME, HIDDEN),
        transpose(1, 0, 2),
    ],
    "units as steps": [transpose(2, 1, 0), reshape(TIME, BATCH, HIDDEN)],
    "a transpose alone": [transpose(1, 0, 2)],
    "part of the steps": [("Slice", {}, [np.array([1]), np.array([100]), np.array([0])])],
    "in reverse": [("Slice", {}, [np.array([n]) for n in (-1, -100, 0, -1)])],
}


@pytest.mark.parametrize("case", SAME)
def test_axes_that_come_back_between_layers(case):
    model = rewired(to_onnx(make((HIDDEN, 2))), SAME[case], (TIME, BATCH, None))
    assert_same_bits(from_onnx(model).layers, make((HIDDEN, 2)))
    xs = random(TIME, BATCH, FEATURES)
    np.testing.assert_allclose(run(model, xs=xs)["hs"], network(make((HIDDEN, 2)), xs)[1], **CLOSE)


@pytest.mark.parametrize("case", OTHER)
def test_axes_that_change_between_layers_make_two_stacks(case):
    model = rewired(to_onnx(make((HIDDEN, 2))), OTHER[case], (TIME, BATCH, None))
    with pytest.raises(ValueError, match="2 LSTMs that are not one stack"):
        from_onnx(model, partial=True)


@pytest.mark.exhaustive
def test_random_moves_give_the_numbers_of_onnx_runtime_or_are_refused():
    """Chains of reshapes and transposes between two layers, whose result has the right shape more often than not."""
    rng = np.random.default_rng(0)
    accepted = 0
    for _ in range(150):
        sizes = tuple(rng.choice([2, 3, 4], 2))
        shape, steps = [int(sizes[0]), int(sizes[1]), HIDDEN], []
        for _ in range(rng.integers(1, 4)):
            if rng.random() < 0.5:
                order = [int(one) for one in rng.permutation(len(shape))]
                shape = [shape[axis] for axis in order]
                steps.append(transpose(*order))
            else:
                shape = [int(one) for one in rng.permutation([*map(int, sizes), HIDDEN])]
                steps.append(reshape(*shape))
        steps.append(reshape(*map(int, sizes), HIDDEN))
        model = rewired(to_onnx(make((HIDDEN, 2))), steps, (*map(int, sizes), None))
        try:
            read = from_onnx(model)
        except ValueError:
            continue
        accepted += 1
        xs = random(*map(int, sizes), FEATURES)
        np.testing.assert_allclose(run(model, xs=xs)["hs"], network(read.layers, xs)[1], **CLOSE)
    assert 10 < accepted < 140


def test_a_reshape_after_the_last_layer_that_scrambles_is_named():
    model = rewired(to_onnx(make()), [reshape(BATCH, TIME, HIDDEN)], (TIME, BATCH, None), between=False)
    with pytest.raises(ValueError, match="after it Reshape 'move_0'"):
        from_onnx(model)
    model = rewired(to_onnx(make()), [transpose(1, 0, 2), reshape(-1, HIDDEN)], (TIME, BATCH, None), between=False)
    assert from_onnx(model).left_out == ()


def test_a_reshape_of_the_inputs_that_scrambles_is_named():
    model = to_onnx(make())
    model.graph.node.insert(0, helper.make_node("Reshape", ["x", "shape"], ["xs"], "scramble"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([TIME, BATCH, FEATURES]), "shape"))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", FLOAT, [BATCH, TIME, FEATURES]))
    with pytest.raises(ValueError, match="before it Reshape 'scramble'"):
        from_onnx(model)


def lstm(name, x, params, direction="forward", outputs=(True, True)):
    """An LSTM operator of one direction, and its weights."""
    written = to_onnx((params,))
    weights = {
        f"{name}_{tensor.name[0]}": onnx.numpy_helper.to_array(tensor)
        for tensor in written.graph.initializer
        if "_0" in tensor.name
    }
    names = [f"{name}_Y" if outputs[0] else "", f"{name}_h" if outputs[1] else ""]
    node = helper.make_node(
        "LSTM", [x, *(f"{name}_{role}" for role in "WRB")], names, name, hidden_size=params.hidden, direction=direction
    )
    return node, weights


def graph_of(nodes, weights, output, shape=(None, None, FEATURES)):
    axes = [size or name for size, name in zip(shape, ("time", "batch", "features"), strict=True)]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("xs", FLOAT, axes)],
        [helper.make_tensor_value_info(output, FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def both_ways(order=("f", "b"), reverse_by="attribute", states=False):
    """A layer of two directions as two operators over the same data, and the layer."""
    (forward,), (backward,) = make(), make((5,), seed=1)
    by_slice = reverse_by in ("slice", "sequence")
    first, weights = lstm("f", "xs", forward)
    second, more = lstm("b", "turned" if by_slice else "xs", backward, "forward" if by_slice else "reverse")
    nodes, ends = [first, second], {}
    bounds = {"minus": np.array([-1]), "far": np.array([-(2**31)]), "zero": np.array([0]), "one": np.array([1])}
    turn = lambda x, y: helper.make_node("Slice", [x, "minus", "far", "zero", "minus"], [y])  # noqa: E731
    if reverse_by == "sequence":  # as tf2onnx: the lengths are the size of the time axis, for each row
        sizes = [
            helper.make_node("Shape", ["xs"], ["shape"]),
            helper.make_node("Slice", ["shape", "zero", "one", "zero"], ["steps"]),
            helper.make_node("Slice", ["shape", "one", "two", "zero"], ["rows"]),
            helper.make_node("Tile", ["steps", "rows"], ["full"]),
        ]
        bounds["two"] = np.array([2])
        turn = lambda x, y: helper.make_node("ReverseSequence", [x, "full"], [y], batch_axis=1, time_axis=0)  # noqa: E731
        nodes = sizes + nodes
    for name in ("f", "b"):
        nodes.append(
            helper.make_node("Squeeze", [f"{name}_{'h' if states else 'Y'}", "zero" if states else "one"], [name])
        )
        ends[name] = name
    if by_slice:
        nodes.insert(-4, turn("xs", "turned"))
        if not states:
            nodes.append(turn("b", "upright"))
            ends["b"] = "upright"
    nodes.append(helper.make_node("Concat", [ends[name] for name in order], ["hs"], "joined", axis=-1))
    return graph_of(nodes, weights | more | bounds, "hs"), Bidirectional(forward, backward)


@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("reverse_by", ["attribute", "slice", "sequence"])
def test_two_operators_over_the_same_data_are_one_layer_of_two_directions(reverse_by, states):
    model, layer = both_ways(reverse_by=reverse_by, states=states)
    read = from_onnx(model)
    assert_same_bits(read.layers, (layer,))
    assert (read.reverse, read.left_out, read.reads) == (False, (), "carry.h" if states else "hs")
    xs = random(TIME, BATCH, FEATURES)
    (last,), hs = network(read.layers, xs)
    expected = np.concatenate([last.forward.h, last.backward.h], -1) if states else hs
    np.testing.assert_allclose(run(model, xs=xs)["hs"], expected, **CLOSE)


def test_two_operators_in_the_other_order_are_two_stacks():
    with pytest.raises(ValueError, match=r"2 LSTMs that are not one stack: 'f' .*, 'b' "):
        from_onnx(both_ways(order=("b", "f"))[0])


def test_the_parts_of_two_directions_joined_again():
    """As tf2onnx writes it: a Slice and a Squeeze for each direction, and a Concat of both."""
    (layer,) = make(bidirectional=True)
    model = to_onnx((layer,))
    nodes, graph = [node for node in model.graph.node if node.op_type == "LSTM"], model.graph
    cut = [onnx.numpy_helper.from_array(np.array([n]), f"n{n}") for n in (0, 1, 2)]
    for name, d in (("f", 0), ("b", 1)):
        nodes.append(helper.make_node("Slice", ["Y_0", f"n{d}", f"n{d + 1}", "n1"], [f"{name}_4"]))
        nodes.append(helper.make_node("Squeeze", [f"{name}_4", "n1"], [name]))
    nodes.append(helper.make_node("Concat", ["f", "b"], ["hs"], axis=2))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(cut)
    assert_same_bits(from_onnx(model).layers, (layer,))
    assert from_onnx(model).left_out == ()
    graph.node[-1].input[:] = ["b", "f"]
    with pytest.raises(ValueError, match="after it Concat"):
        from_onnx(model)


def test_a_linear_layer_between_two_layers_is_the_readout_of_the_first():
    first, second = make(bidirectional=True), make((2,), seed=1)
    w, b = random(2 * HIDDEN, FEATURES), random(FEATURES)
    model = to_onnx(first)
    model.graph.node[0].name = "encoder"
    decoder, weights = lstm("decoder", "projected", second[0], outputs=(True, False))
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["hs", "w"], ["product"]),
            helper.make_node("Add", ["product", "b"], ["projected"]),
            decoder,
        ]
    )
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in (weights | {"w": w, "b": b}).items()
    )
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("decoder_Y", FLOAT, None))
    said = "'encoder' (3 inputs, 4 in two directions units), 'decoder' (3 inputs, 2 units, after Add 'projected')"
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        from_onnx(model)
    assert said in str(caught.value) or "after MatMul 'product'" in str(caught.value)
    one, two = (from_onnx(model, node=name) for name in ("encoder", "decoder"))
    xs = random(TIME, BATCH, FEATURES)
    hs = network(two.layers, readout(one.readout, network(one.layers, xs)[1]))[1]
    np.testing.assert_allclose(run(model, xs=xs)["decoder_Y"][:, 0], hs, **CLOSE)
    assert_same_bits((one.layers, two.layers), (first, second))


@pytest.mark.parametrize("operator", ["Gather", "Slice"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_readout_of_the_last_step(operator, batch_first):
    model, xs = to_onnx(make(), batch_first=batch_first), random(TIME, BATCH, FEATURES)
    axis = 1 if batch_first else 0
    w, b = random(2, HIDDEN), random(2)
    constants = {
        "w": w,
        "b": b,
        "at": np.int64(-1),
        "start": np.array([-1]),
        "end": np.array([2**31 - 1]),
        "axis": np.array([axis]),
    }
    if operator == "Gather":
        take = [helper.make_node("Gather", ["hs", "at"], ["last"], axis=axis)]
    else:
        take = [
            helper.make_node("Slice", ["hs", "start", "end", "axis"], ["part"]),
            helper.make_node("Squeeze", ["part", "axis"], ["last"]),
        ]
    model.graph.node.extend([*take, helper.make_node("Gemm", ["last", "w", "b"], ["y"], transB=1)])
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, None))
    read = from_onnx(model)
    assert (read.reads, read.left_out) == ("hs[-1]", ())
    theirs = run(model, xs=xs.swapaxes(0, 1) if batch_first else xs)["y"]
    np.testing.assert_allclose(theirs, readout(read.readout, network(read.layers, xs)[1][-1]), **CLOSE)


def turned(axis):
    return ("Slice", {}, [np.array([n]) for n in (-1, -(2**31), axis, -1)])


def taken(axis, at):
    return ("Gather", {"axis": axis}, [np.int64(at)])


@pytest.mark.parametrize(
    ("steps", "reads", "of"),
    [
        ([turned(0)], "hs[::-1]", lambda carry, hs: hs[::-1]),
        ([turned(0), turned(0)], "hs", lambda carry, hs: hs),
        ([transpose(1, 0, 2), turned(1)], "hs[::-1]", lambda carry, hs: hs[::-1].swapaxes(0, 1)),
        ([taken(0, -1)], "hs[-1]", lambda carry, hs: hs[-1]),
        ([turned(1)], None, lambda carry, hs: hs[:, ::-1]),
        ([turned(2)], None, lambda carry, hs: hs[..., ::-1]),
        ([taken(0, 0)], None, lambda carry, hs: hs[0]),
        ([taken(2, 1)], None, lambda carry, hs: hs[..., 1]),
    ],
)
def test_what_a_model_takes_of_the_outputs_is_said_or_refused(steps, reads, of):
    model, xs = rewired(to_onnx(make()), steps, (TIME, BATCH, None), between=False), random(TIME, BATCH, FEATURES)
    carries, hs = network(make(), xs)
    np.testing.assert_allclose(next(iter(run(model, xs=xs).values())), of(carries[-1], hs), **CLOSE)
    del model.graph.output[1:]  # the final states
    if reads is None:
        with pytest.raises(ValueError, match=r"computes more than its LSTM: after it .*(Slice|Gather)"):
            from_onnx(model)
    else:
        assert (from_onnx(model).reads, from_onnx(model).left_out) == (reads, ())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_inputs_in_reverse(axis):
    """In time that is another direction; of the features and the batch nothing of a layer's."""
    model, xs = to_onnx(make()), random(TIME, BATCH, FEATURES)
    operator, attributes, others = turned(axis)
    names = [f"turned_{n}" for n in range(4)]
    model.graph.node[0].input[0] = "turned"
    model.graph.node.insert(0, helper.make_node(operator, ["xs", *names], ["turned"], **attributes))
    model.graph.initializer.extend(map(onnx.numpy_helper.from_array, others, names))
    if axis:
        with pytest.raises(ValueError, match="computes more than its LSTM: before it Slice 'turned'"):
            from_onnx(model)
        return
    read = from_onnx(model)
    assert (read.reverse, read.reads, read.left_out) == (True, "hs[::-1]", ())
    hs = network(read.layers, xs, reverse=True)[1]
    np.testing.assert_allclose(run(model, xs=xs)["hs"], hs[::-1], **CLOSE)


@pytest.mark.parametrize(("layer", "state"), [(-1, "h"), (1, "h"), (0, "h"), (1, "c")])
def test_one_layer_of_the_final_states(layer, state):
    """As PyTorch's `h_n[-1]`: the states of all layers in a row, and one of them taken."""
    model, xs = to_onnx(make((HIDDEN, HIDDEN))), random(TIME, BATCH, FEATURES)
    rows = helper.make_node("Concat", [f"{state}_0", f"{state}_1"], ["rows"], axis=0)
    model.graph.node.extend([rows, helper.make_node("Gather", ["rows", "at"], ["end"], axis=0)])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int64(layer), "at"))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("end", FLOAT, None))
    if layer == 0:
        with pytest.raises(ValueError, match="computes more than its LSTM: after it Gather 'end'"):
            from_onnx(model)
        return
    read = from_onnx(model)
    assert (read.reads, read.left_out) == (f"carry.{state}", ())
    np.testing.assert_allclose(run(model, xs=xs)["end"], getattr(network(read.layers, xs)[0][-1], state), **CLOSE)
