"""ONNX: what we write runs in ONNX Runtime with our numbers, and what others write is read, or refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from onnx_models import BATCH, FEATURES, HIDDEN, LENGTHS, TIME, make, onnx, run
from peers import CLOSE, assert_same_bits, random

from jax_lstm import Bidirectional, Carry, Clip, Readout, init_network, network, readout
from jax_lstm.interop import from_onnx, to_onnx


def stacked(carries, field):
    """The last states of each layer as ONNX has them, directions first."""
    return [
        np.stack([getattr(carry, field) for carry in (ends if hasattr(ends, "forward") else (ends,))])
        for ends in carries
    ]


CASES = {
    "one layer": {},
    "stack": {"hidden": (HIDDEN, 2, 5)},
    "two directions": {"hidden": (HIDDEN, 2), "bidirectional": True},
    "no bias": {"bias": False},
    "peephole": {"peephole": True, "bidirectional": True},
    "coupled": {"coupled": True},
    "coupled, peephole, no bias": {"coupled": True, "peephole": True, "bias": False},
    "clip, peephole": {"clip": Clip(gates=0.75), "peephole": True},
    "clip, coupled": {"clip": Clip(gates=0.5), "coupled": True, "bidirectional": True},
}


# together they have every attribute and input that we write
QUICK = ("stack", "peephole", "coupled, peephole, no bias", "clip, coupled")


@pytest.mark.parametrize(
    ("case", "lengths"),
    [
        ("two directions", False),
        *((case, True) for case in QUICK),
        *(pytest.param(case, True, marks=pytest.mark.exhaustive) for case in CASES if case not in QUICK),
    ],
)
def test_onnx_runtime_gives_our_numbers_and_the_model_comes_back_to_the_bit(case, lengths):
    layers, xs = make(**CASES[case]), 2 * random(TIME, BATCH, FEATURES)
    model = to_onnx(layers, lengths=lengths)
    got = run(model, xs=xs, **({"lengths": LENGTHS} if lengths else {}))
    carries, hs = network(layers, xs, lengths=LENGTHS if lengths else None)
    np.testing.assert_allclose(got["hs"], hs, **CLOSE)
    for field in ("h", "c"):
        for k, states in enumerate(stacked(carries, field)):
            np.testing.assert_allclose(got[f"{field}_{k}"], states, **CLOSE)
    back = from_onnx(model.SerializeToString())
    assert_same_bits(back.layers, layers)
    assert back[1:] == (None, None, None, False, "hs", (), None)


@pytest.mark.parametrize("bias", [False, True])
def test_batch_first_and_a_readout(bias):
    layers, xs = make((HIDDEN, 2), bidirectional=True), random(BATCH, TIME, FEATURES)
    head = Readout(jnp.asarray(random(4, 2)), jnp.asarray(random(2)) if bias else None)
    model = to_onnx(layers, readout=head, batch_first=True, lengths=True)
    got = run(model, xs=xs, lengths=LENGTHS)["ys"]
    hs = network(layers, xs.swapaxes(0, 1), lengths=LENGTHS)[1]
    np.testing.assert_allclose(got, readout(head, hs).swapaxes(0, 1), **CLOSE)
    assert_same_bits(from_onnx(model).readout, head)
    assert_same_bits(from_onnx(model).layers, layers)


def test_reverse():
    layers, xs = make((HIDDEN, 2)), random(TIME, BATCH, FEATURES)
    model = to_onnx(layers, lengths=True, reverse=True)
    assert from_onnx(model).reverse is True
    got = run(model, xs=xs, lengths=LENGTHS)["hs"]
    np.testing.assert_allclose(got, network(layers, xs, lengths=LENGTHS, reverse=True)[1], **CLOSE)
    with pytest.raises(ValueError, match=r"reverse is True, but layers\[0\] has two directions"):
        to_onnx(make(bidirectional=True), reverse=True)


def test_a_model_from_its_path(tmp_path):
    layers = make()
    onnx.save(to_onnx(layers), tmp_path / "model.onnx")
    assert_same_bits(from_onnx(tmp_path / "model.onnx").layers, layers)
    assert_same_bits(from_onnx(str(tmp_path / "model.onnx")).layers, layers)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float64])
def test_other_dtypes_are_stored_to_the_bit(dtype):
    with jax.enable_x64(True):
        layers = jax.tree.map(lambda leaf: leaf.astype(dtype), make())
        assert_same_bits(from_onnx(to_onnx(layers)).layers, layers)


def test_onnx_runtime_ends_a_sequence_of_no_steps_in_zeros_and_we_in_the_initial_carry():
    (params,) = make()
    carry = Carry(*(jnp.asarray(random(2, HIDDEN, seed=seed)) for seed in (1, 2)))
    model = with_states(to_onnx((params,), lengths=True), initial_h=carry.h, initial_c=carry.c)
    lengths, xs = np.array([0, 2], np.int32), random(TIME, 2, FEATURES)
    got = run(model, xs=xs, lengths=lengths)
    read = from_onnx(model)
    assert_same_bits(read.carries, (carry,))
    (last,), hs = network(read.layers, xs, read.carries, lengths=lengths)
    np.testing.assert_allclose(got["hs"], hs, **CLOSE)
    np.testing.assert_allclose(got["h_0"][0, 1], last.h[1], **CLOSE)
    assert not got["h_0"][0, 0].any()
    np.testing.assert_array_equal(last.h[0], carry.h[0])


def with_states(model, **states):
    """The model with initial states as initializers of its one LSTM."""
    (node,) = (node for node in model.graph.node if node.op_type == "LSTM")
    node.input.extend([""] * (8 - len(node.input)))
    for name, array in states.items():
        node.input[("initial_h", "initial_c").index(name) + 5] = name
        array = np.asarray(array)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array if array.ndim == 3 else array[None], name))
    return model


def backend_cases():
    """The cases of the LSTM operator in ONNX's own test suite: a node, its inputs and its outputs each."""
    from onnx.backend.test.case.node import lstm

    cases = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lstm, "expect", lambda node, inputs, outputs, name: cases.append((name, node, inputs, outputs)))
        for name in dir(lstm.LSTM):
            if name.startswith("export_"):
                getattr(lstm.LSTM, name)()
    return cases


def model_of(node, xs, arrays):
    """A model of one node, its weights as initializers, or as Constant nodes."""
    helper = onnx.helper
    graph = helper.make_graph(
        [node],
        "case",
        [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, xs.shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in node.output if name],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def outputs_of(read, xs, batch_first=False):
    """Y, Y_h and Y_c as the operator has them."""
    xs = xs.swapaxes(0, 1) if batch_first else xs
    carries, hs = network(read.layers, xs, read.carries, lengths=read.lengths, reverse=read.reverse)
    directions = 2 if isinstance(read.layers[0], Bidirectional) else 1
    y = np.asarray(hs).reshape(*hs.shape[:2], directions, -1).swapaxes(1, 2)
    (h,), (c,) = stacked(carries, "h"), stacked(carries, "c")
    return [y.transpose(2, 0, 1, 3), h.swapaxes(0, 1), c.swapaxes(0, 1)] if batch_first else [y, h, c]


@pytest.mark.parametrize("case", backend_cases(), ids=lambda case: case[0])
def test_the_backend_tests_of_onnx(case):
    _, node, inputs, outputs = case
    named = dict(zip((name for name in node.input if name), inputs, strict=True))
    xs = named.pop("X")
    read = from_onnx(model_of(node, xs, named))
    batch_first = any(attribute.name == "layout" and attribute.i for attribute in node.attribute)
    got = [value for value, name in zip(outputs_of(read, xs, batch_first), node.output, strict=False) if name]
    for one, expected in zip(got, outputs, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)


def node_model(constants_as_nodes=False, drop=(), change=None, **attributes):
    """One bidirectional LSTM node with all inputs, as somebody else might write it, its inputs and weights."""
    roles = {
        "W": random(2, 4 * HIDDEN, FEATURES),
        "R": random(2, 4 * HIDDEN, HIDDEN, seed=1),
        "B": random(2, 8 * HIDDEN, seed=2),
        "sequence_lens": LENGTHS,
        "initial_h": random(2, BATCH, HIDDEN, seed=3),
        "initial_c": random(2, BATCH, HIDDEN, seed=4),
        "P": random(2, 3 * HIDDEN, seed=5),
    } | (change or {})
    if attributes.get("layout"):
        roles |= {name: roles[name].swapaxes(0, 1) for name in ("initial_h", "initial_c")}
    for role in drop:
        del roles[role]
    inputs = [
        "X",
        *(name if name in roles else "" for name in ("W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")),
    ]
    attributes = {"hidden_size": HIDDEN, "direction": "bidirectional"} | attributes
    node = onnx.helper.make_node("LSTM", inputs, ["Y", "Y_h", "Y_c"], "the_lstm", **attributes)
    xs = random(TIME, BATCH, FEATURES, seed=6)
    if not constants_as_nodes:
        return model_of(node, xs, roles), xs
    model = model_of(node, xs, {})
    for name, array in roles.items():
        value = onnx.numpy_helper.from_array(np.ascontiguousarray(array))
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [name], value=value))
    return model, xs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"constants_as_nodes": True},
        {"drop": ["B", "initial_h"]},
        {"drop": ["sequence_lens", "initial_c"], "activations": ["Sigmoid", "Tanh", "Tanh"] * 2},
        {"input_forget": 1, "clip": 0.5},
        {"clip": 0.7, "drop": ["P", "initial_h", "initial_c"]},
    ],
    ids=str,
)
def test_a_node_as_others_write_it(options):
    model, xs = node_model(**options)
    theirs = run(model, X=xs)
    for one, name in zip(outputs_of(from_onnx(model), xs), ("Y", "Y_h", "Y_c"), strict=True):
        np.testing.assert_allclose(one, theirs[name], **CLOSE, err_msg=name)


def test_layout_1_is_the_same_node_with_other_axes():
    # ONNX Runtime does not run layout 1; the backend test of ONNX above compares its numbers
    assert_same_bits(from_onnx(node_model(layout=1)[0]), from_onnx(node_model()[0]))


REFUSED = {
    "activations Sigmoid, Tanh, Relu": {"activations": ["Sigmoid", "Tanh", "Relu"] * 2},
    "activations HardSigmoid": {"activations": ["HardSigmoid", "Tanh", "Tanh"] * 2},
    "unknown attribute 'output_sequence'": {"output_sequence": 1},
    "hidden_size 5, but R of shape": {"hidden_size": 5},
    r"R has shape \(2, 16, 4\), expected \(1, 16, 4\) for forward": {"direction": "forward"},
    r"W has shape \(2, 15, 3\), expected \(2, 16, 3\)": {"change": {"W": random(2, 15, 3)}},
    r"B has shape \(2, 31\), expected \(2, 32\)": {"change": {"B": random(2, 31)}},
    r"P has shape \(1, 12\), expected \(2, 12\)": {"change": {"P": random(1, 12)}},
    "initial_c is for a batch of 2, but initial_h for 3": {"change": {"initial_c": random(2, 2, 4)}},
    r"initial_c has shape \(2, 3, 5\), expected \(2, batch, 4\)": {"change": {"initial_c": random(2, 3, 5)}},
    r"initial_h has shape \(2, 3, 2\), expected \(2, batch, 4\)": {"change": {"initial_h": 0 * random(2, 3, 2)}},
    "direction 'backward', expected one of 'forward', 'reverse', 'bidirectional'": {"direction": "backward"},
    "layout 2, expected one of 0, 1": {"layout": 2},
    "input_forget 2, expected one of 0, 1": {"input_forget": 2},
    "clip 1, expected a float": {"clip": 1},
    "hidden_size 'four', expected a int": {"hidden_size": "four"},
    r"activation_alpha \[0\.5\], which Sigmoid and Tanh do not have": {"activation_alpha": [0.5]},
    "W is not there": {"drop": ["W"]},
    "R is not there": {"drop": ["R"]},
    r"clip -1\.0, expected a positive number": {"clip": -1.0},
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_node_that_network_cannot_run_is_refused_by_name(said):
    with pytest.raises(ValueError, match=f"LSTM 'the_lstm'.* {said}"):
        from_onnx(node_model(**REFUSED[said])[0])


def test_weights_that_are_no_constants_are_refused():
    model = to_onnx(make())
    weights = model.graph.initializer[0]
    assert weights.name == "W_0"
    model.graph.input.append(onnx.helper.make_tensor_value_info("W_0", onnx.TensorProto.FLOAT, weights.dims))
    assert_same_bits(
        from_onnx(model).layers, make()
    )  # an initializer that is an input too is a constant with a default
    del model.graph.initializer[0]
    with pytest.raises(
        ValueError, match="LSTM 'layer_0': W is an input of the model, expected an initializer or a Constant"
    ):
        from_onnx(model)
    model.graph.node.insert(0, onnx.helper.make_node("Relu", ["xs"], ["W_0"]))
    del model.graph.input[-1]
    with pytest.raises(ValueError, match="W is made by Relu"):
        from_onnx(model)


def test_states_that_are_inputs_of_the_model_are_left_to_the_caller():
    model, _ = node_model(drop=["initial_h"])
    model.graph.input.append(onnx.helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, (2, BATCH, HIDDEN)))
    node = model.graph.node[0]
    node.input[5] = "state"
    with pytest.raises(ValueError, match="initial_c is held by the model, but other states are its inputs"):
        from_onnx(model)
    node.input[6] = "state"
    node.input[4] = "state"
    read = from_onnx(model)
    assert read.carries is None
    assert read.lengths is None


WRITE_REFUSED = {
    r"layers\[0\] has projection, which the ONNX LSTM format cannot hold": {"projection": 2},
    r"layers\[0\] has norm, ": {"norm": True, "coupled": True},
    r"layers\[0\] has a diagonal recurrence": {"diagonal": True, "coupled": True},
    r"layers\[0\] has clip of the cell state": {"clip": Clip(cell=1.0, gates=2.0)},
}


@pytest.mark.parametrize("said", WRITE_REFUSED)
def test_a_variant_that_the_operator_does_not_have_is_refused_by_name(said):
    with pytest.raises(ValueError, match=said):
        to_onnx(init_network(jax.random.key(0), FEATURES, [HIDDEN], **WRITE_REFUSED[said]))


def test_what_one_operator_cannot_hold_is_refused():
    (plain,), (peephole,), (wide,) = make(), make(peephole=True), make((5,))
    for other, said in (
        (peephole, "another peephole in each direction"),
        (wide, "one number of units in both directions"),
    ):
        with pytest.raises(ValueError, match=rf"layers\[0\] has .*{said}"):
            to_onnx((Bidirectional(plain, other),))
    with pytest.raises(ValueError, match=r"layers are bfloat16, which the ONNX LSTM format cannot hold"):
        to_onnx(jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (plain,)))
    with pytest.raises(ValueError, match=r"readout\.w is float32 \(3, 2\), expected float32 \(4, outputs\)"):
        to_onnx((plain,), readout=Readout(jnp.ones((3, 2))))
    with pytest.raises(TypeError, match=r"readout is a int, expected Readout"):
        to_onnx((plain,), readout=3)
