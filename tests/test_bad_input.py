"""Wrong calls, each refused with a message that names the argument, what it is and what was expected: at once, and
while tracing.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_lstm import (
    Bidirectional,
    Carry,
    Clip,
    FinalCarries,
    LayerNorm,
    Readout,
    Zoneout,
    cell,
    chrono,
    dense,
    drop_connect,
    dropout_mask,
    fit_readout,
    from_gates,
    init,
    init_network,
    lstm,
    network,
    network_step,
    readout,
    trace,
    trace_network,
    uniform,
    zero_carry,
    zoneout_masks,
)

KEY = jax.random.key(0)
PARAMS = init(KEY, 2, 3)
SLSTM = init(KEY, 2, 4, heads=2, exponential=True)
XS = jnp.ones((5, 4, 2))
CARRY = Carry(jnp.zeros((4, 3)), jnp.zeros((4, 3)))
MASK = jnp.ones((5, 4), bool)
NETWORK = init_network(KEY, 2, [3, 3])
BOTH_WAYS = init_network(KEY, 2, [3], bidirectional=True)
FINAL = FinalCarries(CARRY, CARRY)
GATES = {"forget": (0.5, 0.1, 0), "input": (0.6, 0.2, 0), "cell": (0.7, 0.3, 0), "output": (0.8, 0.4, 0)}


def at(function, *arguments, **options):
    return function, arguments, options


def params(**fields):
    return PARAMS._replace(**fields)


# (function, arguments, options), the error, and the message from its first word on
WRONG = {
    # the parameters of a layer
    "eight bits": (
        at(lstm, jax.tree.map(lambda leaf: leaf.astype(jnp.float8_e5m2), PARAMS), XS),
        TypeError,
        "params.w_x is float8_e5m2, expected float32, float64, bfloat16 or float16",
    ),
    "a projection to nothing": (
        at(lstm, params(projection=jnp.ones((3, 0)), w_h=jnp.ones((0, 12))), XS),
        ValueError,
        "params.projection has shape (3, 0), expected (hidden, out), with at least one output",
    ),
    "a norm with a field of None": (
        at(lstm, params(norm=LayerNorm(jnp.ones(12), jnp.ones(12), jnp.ones(3), None)), XS),
        TypeError,
        "params.norm.bias_c is None, expected an array",
    ),
    "a flag for a bound": (
        at(lstm, params(clip=Clip(cell=True)), XS),
        ValueError,
        "params.clip.cell is True, expected a positive number",
    ),
    "text for weights": (
        at(lstm, params(b="zeros"), XS),
        TypeError,
        "params.b is 'zeros', a str, expected an array",
    ),
    "text for inputs": (at(lstm, PARAMS, "xs"), TypeError, "xs is 'xs', a str, expected an array"),
    "text for a carry": (
        at(lstm, PARAMS, XS, Carry("h", CARRY.c)),
        TypeError,
        "carry.h is 'h', a str, expected an array",
    ),
    "objects for inputs": (
        at(lstm, PARAMS, np.array([None, 1.0])),
        TypeError,
        "xs is object, expected a floating-point array",
    ),
    "an array of schedules": (
        at(lstm, PARAMS, XS, schedule=np.array(["scan", "auto"])),
        ValueError,
        "schedule is array(['scan', 'auto']",
    ),
    "a complex share": (
        at(lstm, PARAMS, XS, zoneout=Zoneout(jnp.complex64(0.1), None)),
        TypeError,
        "zoneout.hidden is an array of shape (), expected a number in [0, 1)",
    ),
    "no parameters": (
        at(lstm, None, XS),
        TypeError,
        "params is None, expected LSTMParams, DiagonalParams or BlockDiagonalParams",
    ),
    "a dictionary": (
        at(lstm, PARAMS._asdict(), XS),
        TypeError,
        "params is a dict, expected LSTMParams, DiagonalParams or BlockDiagonalParams",
    ),
    "a pair of layers": (at(lstm, BOTH_WAYS[0], XS), TypeError, "params is a Bidirectional, expected LSTMParams"),
    "no w_x": (at(lstm, params(w_x=None), XS), TypeError, "params.w_x is None, expected an array"),
    "no w_h": (at(lstm, params(w_h=None), XS), TypeError, "params.w_h is None, expected an array"),
    "integer weights": (
        at(lstm, params(w_x=jnp.ones((2, 12), int)), XS),
        TypeError,
        "params.w_x is int32, expected a floating-point array",
    ),
    "mixed weights": (
        at(lstm, params(b=jnp.ones(12, jnp.bfloat16)), XS),
        TypeError,
        "params.b is bfloat16, but params.w_x is float32",
    ),
    "stacked weights": (
        at(lstm, params(w_x=jnp.ones((7, 2, 12))), XS),
        ValueError,
        "params.w_x has shape (7, 2, 12), expected (features, 4*hidden)",
    ),
    "ten columns": (
        at(lstm, params(w_x=jnp.ones((2, 10))), XS),
        ValueError,
        "params.w_x has shape (2, 10), expected 4 gate blocks",
    ),
    "no units": (
        at(lstm, params(w_x=jnp.ones((2, 0))), XS),
        ValueError,
        "params.w_x has shape (2, 0), expected 4 gate blocks",
    ),
    "w_h of another layer": (
        at(lstm, params(w_h=jnp.ones((4, 16))), XS),
        ValueError,
        "params.w_h has shape (4, 16), expected (3, 12)",
    ),
    "a vector w_h": (
        at(lstm, params(w_h=jnp.ones(12)), XS),
        ValueError,
        "params.w_h has shape (12,), expected (3, 12)",
    ),
    "two biases": (at(lstm, params(b=jnp.ones((2, 12))), XS), ValueError, "params.b has shape (2, 12), expected (12,)"),
    "wrong peepholes": (
        at(lstm, params(peephole=jnp.ones((3, 4))), XS),
        ValueError,
        "params.peephole has shape (3, 4), expected (3, 3)",
    ),
    "coupled peepholes": (
        at(lstm, init(KEY, 2, 3, coupled=True)._replace(peephole=jnp.ones((3, 3))), XS),
        ValueError,
        "params.peephole has shape (3, 3), expected (2, 3)",
    ),
    "a projection that does not fit": (
        at(lstm, params(projection=jnp.ones((4, 2))), XS),
        ValueError,
        "params.projection has shape (4, 2), expected (3, out), as w_x says hidden = 3",
    ),
    "a projection that w_h does not know": (
        at(lstm, params(projection=jnp.ones((3, 2))), XS),
        ValueError,
        "params.w_h has shape (3, 12), expected (2, 12)",
    ),
    "wrong norm": (
        at(lstm, params(norm=LayerNorm(jnp.ones(12), jnp.ones(12), jnp.ones(4), jnp.ones(3))), XS),
        ValueError,
        "params.norm.scale_c has shape (4,), expected (3,)",
    ),
    "a negative clip": (
        at(lstm, params(clip=Clip(cell=-1.0)), XS),
        ValueError,
        "params.clip.cell is -1.0, expected a positive number, or None",
    ),
    "a clip in text": (
        at(lstm, params(clip=Clip(gates="1")), XS),
        ValueError,
        "params.clip.gates is '1', expected a positive number",
    ),
    # the input
    "a list": (at(lstm, PARAMS, [[1.0, 2.0]]), TypeError, "xs is a list, expected an array: wrap it in jnp.asarray"),
    "a list of lengths": (
        at(lstm, PARAMS, XS, lengths=[5, 4, 3, 2]),
        TypeError,
        "lengths is a list, expected an array: wrap it in jnp.asarray",
    ),
    "a list for a mask": (
        at(lstm, PARAMS, XS, mask=[[True] * 4] * 5),
        TypeError,
        "mask is a list, expected an array: wrap it in jnp.asarray",
    ),
    "integer inputs": (
        at(lstm, PARAMS, jnp.ones((5, 2), int)),
        TypeError,
        "xs is int32, expected a floating-point array: convert it",
    ),
    "boolean inputs": (
        at(lstm, PARAMS, jnp.ones((5, 2), bool)),
        TypeError,
        "xs is bool, expected a floating-point array",
    ),
    "complex inputs": (
        at(lstm, PARAMS, jnp.ones((5, 2), complex)),
        TypeError,
        "xs is complex64, expected a floating-point array",
    ),
    "mixed dtypes": (
        at(lstm, PARAMS, XS.astype(jnp.bfloat16)),
        TypeError,
        "xs is bfloat16, but params are float32: convert one of them",
    ),
    "a flat series": (
        at(lstm, PARAMS, jnp.ones(5)),
        ValueError,
        "xs has shape (5,), expected (time, *batch, features): give one scalar series as xs[:, None]",
    ),
    "features in front": (
        at(lstm, PARAMS, jnp.ones((2, 4, 5))),
        ValueError,
        "xs has shape (2, 4, 5), expected (time, *batch, features) with features = 2",
    ),
    "an empty sequence": (
        at(lstm, PARAMS, jnp.ones((0, 4, 2))),
        ValueError,
        "xs has shape (0, 4, 2): an empty sequence, expected at least one step",
    ),
    # the carry
    "a plain pair": (
        at(lstm, PARAMS, XS, (CARRY.h, CARRY.c)),
        TypeError,
        "carry is a tuple, expected Carry(h, c): wrap the pair",
    ),
    "an array": (at(lstm, PARAMS, XS, CARRY.h), TypeError, "carry is an array of shape (4, 3), expected Carry(h, c)"),
    "a carry of both directions": (
        at(lstm, PARAMS, XS, FINAL),
        TypeError,
        "carry belongs to a bidirectional layer, expected Carry(h, c)",
    ),
    "another batch": (
        at(lstm, PARAMS, XS, jax.tree.map(lambda leaf: leaf[:2], CARRY)),
        ValueError,
        "carry.h has shape (2, 3), expected (*batch, size) = (4, 3)",
    ),
    "another layer's carry": (
        at(lstm, PARAMS, XS, CARRY._replace(c=jnp.zeros((4, 5)))),
        ValueError,
        "carry.c has shape (4, 5), expected",
    ),
    "a carry in half precision": (
        at(lstm, PARAMS, XS, CARRY._replace(c=jnp.zeros((4, 3), jnp.bfloat16))),
        TypeError,
        "carry.c is bfloat16, but params and input are float32: convert it with astype",
    ),
    "an integer carry": (
        at(lstm, PARAMS, XS, CARRY._replace(h=jnp.zeros((4, 3), int))),
        TypeError,
        "carry.h is int32, expected a floating",
    ),
    # ragged
    "lengths and mask": (
        at(lstm, PARAMS, XS, lengths=jnp.full(4, 5), mask=MASK),
        ValueError,
        "lengths and mask are both given, expected one",
    ),
    "fractional lengths": (
        at(lstm, PARAMS, XS, lengths=jnp.ones(4)),
        TypeError,
        "lengths is float32, expected integers",
    ),
    "boolean lengths": (
        at(lstm, PARAMS, XS, lengths=jnp.ones(4, bool)),
        TypeError,
        "lengths is bool, expected integers",
    ),
    "one length": (
        at(lstm, PARAMS, XS, lengths=jnp.array(5)),
        ValueError,
        "lengths has shape (), expected the batch axes of xs, (4,)",
    ),
    "too few lengths": (
        at(lstm, PARAMS, XS, lengths=jnp.ones(3, int)),
        ValueError,
        "lengths has shape (3,), expected the batch axes of xs, (4,)",
    ),
    "lengths longer than the sequence": (
        at(lstm, PARAMS, XS, lengths=jnp.array([1, 2, 6, 0])),
        ValueError,
        "lengths lie in [0, 6], expected [0, 5], as xs has 5 steps",
    ),
    "negative lengths": (
        at(lstm, PARAMS, XS, lengths=jnp.array([1, 2, -1, 0])),
        ValueError,
        "lengths lie in [-1, 2], expected [0, 5]",
    ),
    "a mask of numbers": (
        at(lstm, PARAMS, XS, mask=jnp.ones((5, 4))),
        TypeError,
        "mask is float32, expected booleans: compare, as in mask != 0",
    ),
    "a mask with the batch in front": (
        at(lstm, PARAMS, XS, mask=MASK.T),
        ValueError,
        "mask has shape (4, 5), expected (time, *batch) = (5, 4)",
    ),
    "a mask with features": (
        at(lstm, PARAMS, XS, mask=jnp.ones((5, 4, 2), bool)),
        ValueError,
        "mask has shape (5, 4, 2), expected (time, *batch)",
    ),
    "resets of numbers": (
        at(lstm, PARAMS, XS, resets=jnp.zeros((5, 4), int)),
        TypeError,
        "resets is int32, expected booleans",
    ),
    "resets for all rows at once": (
        at(lstm, PARAMS, XS, resets=MASK[:, 0]),
        ValueError,
        "resets has shape (5,), expected (time, *batch) = (5, 4)",
    ),
    "reset_to without resets": (
        at(lstm, PARAMS, XS, reset_to=CARRY),
        ValueError,
        "reset_to is given without resets, expected both or none",
    ),
    "reset_to of another batch": (
        at(lstm, PARAMS, XS, resets=MASK, reset_to=jax.tree.map(lambda leaf: leaf[:1], CARRY)),
        ValueError,
        "reset_to.h has shape (1, 3), expected (*batch, size) = (4, 3)",
    ),
    # regularizers, and the schedule
    "a recurrent mask per step": (
        at(lstm, PARAMS, XS, recurrent_mask=jnp.ones((5, 4, 3))),
        ValueError,
        "recurrent_mask has shape (5, 4, 3), expected (*batch, out) = (4, 3): one mask for all steps",
    ),
    "a boolean recurrent mask": (
        at(lstm, PARAMS, XS, recurrent_mask=jnp.ones((4, 3), bool)),
        TypeError,
        "recurrent_mask is bool, expected a floating-point array",
    ),
    "a pair for zoneout": (
        at(lstm, PARAMS, XS, zoneout=(0.1, 0.1)),
        TypeError,
        "zoneout is a tuple, expected Zoneout(hidden, cell)",
    ),
    "a zoneout of one": (
        at(lstm, PARAMS, XS, zoneout=Zoneout(1.0, 0.1)),
        ValueError,
        "zoneout.hidden is 1.0, expected a number in [0, 1)",
    ),
    "zoneout by half a cell": (
        at(lstm, PARAMS, XS, zoneout=Zoneout(0.1, jnp.ones((5, 4, 2), bool))),
        ValueError,
        "zoneout.cell has shape (5, 4, 2), expected (time, *batch, size) = (5, 4, 3)",
    ),
    "zoneout by numbers": (
        at(lstm, PARAMS, XS, zoneout=Zoneout(jnp.ones((5, 4, 3)), 0.1)),
        TypeError,
        "zoneout.hidden is float32, expected booleans, or one number",
    ),
    "an unknown schedule": (at(lstm, PARAMS, XS, schedule="fastest"), ValueError, "schedule is 'fastest', expected"),
    "a schedule that is no name": (
        at(lstm, PARAMS, XS, schedule=3),
        (TypeError, ValueError),
        "schedule is 3, expected",
    ),
    "an unknown schedule of a network": (
        at(network, NETWORK, XS, schedule="fastest"),
        ValueError,
        "schedule is 'fastest', expected",
    ),
    # one step, the trace, a carry of zeros
    "a step of other features": (
        at(cell, PARAMS, CARRY, jnp.ones((4, 3))),
        ValueError,
        "x has shape (4, 3), expected (*batch, features)",
    ),
    "a step in half precision": (
        at(cell, PARAMS, CARRY, XS[0].astype(jnp.bfloat16)),
        TypeError,
        "x is bfloat16, but params are float32",
    ),
    "a scalar step": (
        at(cell, PARAMS, CARRY, jnp.float32(1)),
        ValueError,
        "x has shape (), expected (*batch, features)",
    ),
    "a step's carry without batch": (
        at(cell, PARAMS, Carry(jnp.zeros(3), jnp.zeros(3)), XS[0]),
        ValueError,
        "carry.h has shape (3,), expected",
    ),
    "a trace without features": (
        at(trace, PARAMS, jnp.ones(5)),
        ValueError,
        "xs has shape (5,), expected (time, *batch, features)",
    ),
    "a traced mask of numbers": (
        at(trace, PARAMS, XS, mask=jnp.ones((5, 4))),
        TypeError,
        "mask is float32, expected booleans",
    ),
    "zeros for an array": (
        at(zero_carry, PARAMS, XS),
        TypeError,
        "batch_shape is an array of shape (5, 4, 2), expected a tuple of sizes",
    ),
    "zeros for half a row": (
        at(zero_carry, PARAMS, (0.5,)),
        TypeError,
        "batch_shape[0] is 0.5, expected a whole number",
    ),
    "no features": (
        at(lstm, params(w_x=jnp.ones((0, 12))), XS),
        ValueError,
        "params.w_x has shape (0, 12), expected at least one feature",
    ),
    "a step of both directions": (
        at(network_step, BOTH_WAYS, (FINAL,), XS[0]),
        ValueError,
        "layers[0] is bidirectional, expected one direction",
    ),
    "an infinite clip": (
        at(lstm, params(clip=Clip(cell=float("inf"))), XS),
        ValueError,
        "params.clip.cell is inf, expected a positive number",
    ),
    # networks
    "a bare layer": (at(network, PARAMS, XS), TypeError, "layers is a LSTMParams, expected a tuple of layers"),
    "no layers": (at(network, (), XS), TypeError, "layers is a tuple, expected a tuple of layers, at least one"),
    "a layer of another kind": (at(network, (PARAMS, 3.0), XS), TypeError, "layers[1] is"),
    "layers that do not follow": (
        at(network, (PARAMS, PARAMS), XS),
        ValueError,
        "layers[1] takes 2 features, but layers[0] has 3",
    ),
    "layers that do not fit xs": (
        at(network, NETWORK, jnp.ones((5, 4, 7))),
        ValueError,
        "layers[0] takes 2 features, but xs has 7",
    ),
    "a flat series for a network": (
        at(network, NETWORK, jnp.ones(5)),
        ValueError,
        "xs has shape (5,), expected (time, *batch, features)",
    ),
    "an empty sequence for a network": (
        at(network, NETWORK, jnp.ones((0, 4, 2))),
        ValueError,
        "xs has shape (0, 4, 2): an empty sequence",
    ),
    "a carry for another stack": (
        at(network, NETWORK, XS, (CARRY,)),
        ValueError,
        "carries has 1 entries, expected one per layer, 2",
    ),
    "a bare carry": (
        at(network, NETWORK, XS, CARRY),
        TypeError,
        "carries is a Carry, expected a tuple of one carry per layer",
    ),
    "carries of other units": (
        at(network, NETWORK, XS, (CARRY, CARRY._replace(h=jnp.zeros((4, 7))))),
        ValueError,
        "carries[1].h has shape (4, 7), expected (*batch, size) = (4, 3)",
    ),
    "final carries handed on": (
        at(network, BOTH_WAYS, XS, (FINAL,)),
        ValueError,
        "carries[0] holds the final carries of a bidirectional layer, which cannot stream",
    ),
    "one carry for two directions": (
        at(network, BOTH_WAYS, XS, (CARRY,)),
        TypeError,
        "carries[0] is a Carry, expected Bidirectional(forward, backward)",
    ),
    "two carries for one direction": (
        at(network, NETWORK[:1], XS, (Bidirectional(CARRY, CARRY),)),
        TypeError,
        "carries[0] is a Bidirectional, expected Carry(h, c)",
    ),
    "a wrong backward carry": (
        at(network, BOTH_WAYS, XS, (Bidirectional(CARRY, CARRY._replace(c=jnp.zeros((4, 1)))),)),
        ValueError,
        "carries[0].backward.c has shape (4, 1), expected",
    ),
    "reset_to for another stack": (
        at(network, NETWORK, XS, resets=MASK, reset_to=(CARRY,)),
        ValueError,
        "reset_to has 1 entries, expected one",
    ),
    "dropout without a key": (
        at(network, NETWORK, XS, dropout=0.5),
        ValueError,
        "dropout is 0.5 without a key, expected key=jax.random.key",
    ),
    "recurrent dropout without a key": (
        at(network, NETWORK, XS, recurrent_dropout=0.5),
        ValueError,
        "recurrent_dropout is 0.5 without a key",
    ),
    "a rate of one": (
        at(network, NETWORK, XS, dropout=1.0, key=KEY),
        ValueError,
        "dropout is 1.0, expected a number in [0, 1)",
    ),
    "a negative rate": (
        at(network, NETWORK, XS, recurrent_dropout=-0.1, key=KEY),
        ValueError,
        "recurrent_dropout is -0.1, expected a number",
    ),
    "a rate in text": (
        at(network, NETWORK, XS, dropout="half", key=KEY),
        TypeError,
        "dropout is 'half', a str, expected a number in [0, 1)",
    ),
    "a rate of true": (
        at(network, NETWORK, XS, dropout=True, key=KEY),
        TypeError,
        "dropout is True, a bool, expected a number in [0, 1)",
    ),
    "no rate at all": (
        at(network, NETWORK, XS, dropout=None, key=KEY),
        TypeError,
        "dropout is None, expected a number in [0, 1)",
    ),
    "a rate for zoneout": (
        at(network, NETWORK, XS, zoneout=0.1, key=KEY),
        TypeError,
        "zoneout is 0.1, a float, expected Zoneout(hidden, cell)",
    ),
    "a zoneout rate of two": (
        at(network, NETWORK, XS, zoneout=Zoneout(0.1, 2.0), key=KEY),
        ValueError,
        "zoneout.cell is 2.0, expected a number",
    ),
    "a number for a key": (
        at(network, NETWORK, XS, dropout=0.5, key=3),
        TypeError,
        "key is 3, an int, expected one key: jax.random.key(0)",
    ),
    "a traced network's mask": (
        at(trace_network, NETWORK, XS, mask=MASK.T),
        ValueError,
        "mask has shape (4, 5), expected (time, *batch)",
    ),
    # initializers
    "a number to begin with": (at(init, 0, 2, 3), TypeError, "key is 0, an int, expected one key: jax.random.key(0)"),
    "no function for an initializer": (
        at(init, KEY, 2, 3, bias_init=1.0),
        TypeError,
        "bias_init is 1.0, a float, expected a function (key, shape, dtype) -> array",
    ),
    "an initializer of another shape": (
        at(init, KEY, 2, 3, recurrent_init=lambda key, shape, dtype: jnp.ones(shape[::-1] * 2)),
        ValueError,
        "recurrent_init returned an array of shape (3, 3, 3, 3), expected the shape given, (3, 3)",
    ),
    "text for a forget bias": (
        at(init, KEY, 2, 3, forget_bias="one"),
        ValueError,
        "forget_bias is 'one', a str, expected a number, or an array of shape (hidden,) = (3,)",
    ),
    "a forget bias of another size": (
        at(init, KEY, 2, 3, forget_bias=jnp.ones(4)),
        ValueError,
        "forget_bias is an array of shape (4,), expected a number, or an array of shape (hidden,) = (3,)",
    ),
    "one size of NumPy for a stack": (
        at(init_network, KEY, 2, np.int64(3)),
        ValueError,
        "hidden is np.int64(3), expected one size per layer",
    ),
    "a number for a stack": (at(init_network, 0, 2, [3]), TypeError, "key is 0, an int, expected one key"),
    "two keys": (at(init, jax.random.split(KEY), 2, 3), TypeError, "key is an array of shape (2,), expected one key"),
    "a float for a key": (at(dropout_mask, 0.5, 0.5, (3,)), TypeError, "key is 0.5, a float, expected one key"),
    "no key for zoneout": (
        at(zoneout_masks, None, PARAMS, XS, hidden=0.1, cell=0.1),
        TypeError,
        "key is None, expected one key",
    ),
    "no key for chrono": (at(chrono, None, PARAMS, 10), TypeError, "key is None, expected one key"),
    "no hidden units": (at(init, KEY, 2, 0), ValueError, "hidden is 0, expected at least 1"),
    "half a feature": (at(init, KEY, 0.5, 3), TypeError, "features is 0.5, expected a whole number"),
    "true features": (at(init, KEY, True, 3), TypeError, "features is True, expected a whole number"),
    "integer parameters": (
        at(init, KEY, 2, 3, dtype=int),
        TypeError,
        "dtype is int32, expected a floating-point dtype",
    ),
    "no projection": (at(init, KEY, 2, 3, projection=0), ValueError, "projection is 0, expected at least 1"),
    "a diagonal projection": (
        at(init, KEY, 2, 3, projection=2, diagonal=True),
        ValueError,
        "projection is 2 on a diagonal layer, expected None",
    ),
    "heads that do not divide the units": (
        at(init, KEY, 2, 3, heads=2),
        ValueError,
        "heads is 2, expected a divisor of hidden = 3",
    ),
    "diagonal heads": (
        at(init, KEY, 2, 4, heads=2, diagonal=True),
        ValueError,
        "diagonal is True on a layer of 2 heads, expected one of the two",
    ),
    "projected heads": (
        at(init, KEY, 2, 4, heads=2, projection=2),
        ValueError,
        "projection is 2 on a layer of 2 heads, expected one of the two",
    ),
    "exponential gates without heads": (
        at(init, KEY, 2, 4, exponential=True),
        ValueError,
        "exponential is given without heads, expected both or none: heads=1",
    ),
    "coupled exponential gates": (
        at(init, KEY, 2, 4, heads=2, exponential=True, coupled=True),
        ValueError,
        "params has coupled and exponential gates, expected one of the two",
    ),
    "exponential gates as a plain layer": (
        at(dense, SLSTM),
        ValueError,
        "params has exponential gates, which LSTMParams do not have",
    ),
    "zoneout of the cell state of exponential gates": (
        at(lstm, SLSTM, jnp.ones((5, 2)), zoneout=Zoneout(0.1, 0.1)),
        ValueError,
        "zoneout.cell is given, expected None",
    ),
    "a carry of exponential gates without a normalizer": (
        at(lstm, SLSTM, jnp.ones((5, 2)), Carry(jnp.zeros(4), jnp.zeros(4))),
        ValueError,
        "carry.c has shape (4,), expected (*batch, size) = (12,)",
    ),
    "recurrent weights of heads as one matrix": (
        at(lstm, SLSTM._replace(w_h=jnp.ones((4, 16))), jnp.ones((5, 2))),
        ValueError,
        "params.w_h has shape (4, 16), expected (4, 1, 4)",
    ),
    "a forget bias where there is none": (
        at(init, KEY, 2, 3, forget_bias=2.0, bias=False),
        ValueError,
        "forget_bias is 2.0 on a layer that has none",
    ),
    "a forget bias of a coupled layer": (
        at(init, KEY, 2, 3, forget_bias=2.0, coupled=True),
        ValueError,
        "forget_bias is 2.0 on a layer that has none",
    ),
    "one size for a stack": (
        at(init_network, KEY, 2, 3),
        ValueError,
        "hidden is 3, expected one size per layer, as in [64, 64]",
    ),
    "no sizes": (at(init_network, KEY, 2, []), ValueError, "hidden is [], expected one size per layer"),
    "uniform in nothing": (at(uniform, 0), ValueError, "hidden is 0, expected at least 1"),
    "chrono without biases": (
        at(chrono, KEY, params(b=None), 10),
        ValueError,
        "params.b is None, expected biases to set",
    ),
    "chrono of two steps": (
        at(chrono, KEY, PARAMS, 2),
        ValueError,
        "longest is 2, expected at least 3",
    ),
    # the notebook's dictionary
    "a missing gate": (
        at(from_gates, {"forget": (1, 1, 1)}),
        ValueError,
        "gates has no 'input' and has no 'cell' and has no 'output', expected",
    ),
    "an unknown gate": (
        at(from_gates, GATES | {"reset": (1, 1, 1)}),
        ValueError,
        "gates has an unknown 'reset', expected the keys input,",
    ),
    "a list of gates": (
        at(from_gates, [1, 2]),
        TypeError,
        "gates is a list, expected a mapping with the keys input, forget, cell, output",
    ),
    "a gate without a bias": (
        at(from_gates, GATES | {"cell": (1, 2)}),
        ValueError,
        "gates['cell'] is (1, 2), expected three values",
    ),
    "a gate in text": (
        at(from_gates, GATES | {"cell": (1, "2", 3)}),
        TypeError,
        "gates['cell']: U is '2', expected a number or an array",
    ),
    "gates of different sizes": (
        at(from_gates, GATES | {"cell": (np.ones((1, 2)), np.eye(2), np.ones(2))}),
        ValueError,
        "gates['cell'] has W and U of shapes ((1, 2), (2, 2)), expected ((1, 1), (1, 1)), as 'input' has them",
    ),
    "a bias that does not fit": (
        at(from_gates, GATES | {"cell": (np.ones((1, 2)), np.eye(2), np.ones(3))}),
        ValueError,
        "gates['cell']: b has shape (3,), expected (2,)",
    ),
    # regularizers by themselves
    "a dropout rate of one": (at(dropout_mask, KEY, 1.0, (3,)), ValueError, "rate is 1.0, expected a number in [0, 1)"),
    "a dropout mask of integers": (
        at(dropout_mask, KEY, 0.5, (3,), int),
        TypeError,
        "dtype is int32, expected a floating-point dtype",
    ),
    "a negative DropConnect": (
        at(drop_connect, KEY, PARAMS, -0.5),
        ValueError,
        "rate is -0.5, expected a number in [0, 1)",
    ),
    "DropConnect of a pair": (
        at(drop_connect, KEY, BOTH_WAYS[0], 0.5),
        TypeError,
        "params is a Bidirectional, expected LSTMParams",
    ),
    "zoneout of all": (
        at(zoneout_masks, KEY, PARAMS, XS, hidden=0.1, cell=1.0),
        ValueError,
        "cell is 1.0, expected a number in [0, 1)",
    ),
    # the readout
    "a bare readout": (at(readout, jnp.ones((3, 1)), CARRY.h), TypeError, "params is a "),
    "a readout of other units": (
        at(readout, Readout(jnp.ones((2, 1))), CARRY.h),
        ValueError,
        "hs has shape (4, 3) and params.w (2, 1), expected",
    ),
    "a readout in half precision": (
        at(readout, Readout(jnp.ones((3, 1), jnp.bfloat16)), CARRY.h),
        TypeError,
        "hs is float32, but params.w is bfloat16: convert one of them with astype",
    ),
    "a readout's bias": (
        at(readout, Readout(jnp.ones((3, 1)), jnp.ones(2)), CARRY.h),
        ValueError,
        "params.b has shape (2,), expected (outputs,) = (1,)",
    ),
    "targets of another length": (
        at(fit_readout, CARRY.h, jnp.ones((5, 1))),
        ValueError,
        "hs has shape (4, 3) and targets (5, 1), expected",
    ),
    "flat targets": (
        at(fit_readout, CARRY.h, jnp.ones(4)),
        ValueError,
        "hs has shape (4, 3) and targets (4,), expected (samples, out)",
    ),
    "no samples": (
        at(fit_readout, jnp.ones((0, 3)), jnp.ones((0, 1))),
        ValueError,
        "hs has no samples, expected at least one",
    ),
    "integer targets": (
        at(fit_readout, CARRY.h, jnp.ones((4, 1), int)),
        TypeError,
        "targets is int32, expected a floating-point array",
    ),
}
# values are not there to be looked at while tracing
CONCRETE = {"lengths longer than the sequence", "negative lengths"}


def refused(call, error, message):
    with pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", WRONG)
def test_refused(name):
    (function, arguments, options), error, message = WRONG[name]
    refused(lambda: function(*arguments, **options), error, message)


@pytest.mark.parametrize("name", [name for name in WRONG if name not in CONCRETE])
def test_refused_while_tracing(name):
    (function, arguments, options), error, message = WRONG[name]
    leaves, tree = jax.tree.flatten((arguments, options))
    arrays = [isinstance(leaf, jax.Array) for leaf in leaves]

    def call(traced):
        rest = iter(traced)
        arguments, options = jax.tree.unflatten(
            tree, [next(rest) if is_array else leaf for leaf, is_array in zip(leaves, arrays, strict=True)]
        )
        return function(*arguments, **options)

    refused(
        lambda: jax.eval_shape(call, [leaf for leaf, is_array in zip(leaves, arrays, strict=True) if is_array]),
        error,
        message,
    )


def test_lengths_that_are_too_long_are_only_clipped_while_tracing():
    """What cannot be refused is defined: a traced length beyond the sequence is the whole, a negative one is none of
    it.
    """
    found = jax.jit(lstm)(PARAMS, XS, lengths=jnp.array([9, 5, -3, 0]))
    expected = lstm(PARAMS, XS, lengths=jnp.array([5, 5, 0, 0]))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("rate", [jnp.float32(0.0), jnp.float32(0.25)])
def test_rates_that_a_jit_closes_over_are_looked_at_without_tracing(rate):
    """Their values are known, though every operation of JAX inside the jit would be traced."""
    options = {"dropout": rate, "recurrent_dropout": rate, "zoneout": Zoneout(rate, rate), "key": KEY}
    found = jax.jit(lambda xs: network(NETWORK, xs, **options)[1])(XS)
    np.testing.assert_allclose(found, network(NETWORK, XS, **options)[1], rtol=0, atol=1e-6)
    wrong = rate + 1
    with pytest.raises(ValueError, match=r"rate is 1.*, expected a number in \[0, 1\)"):
        jax.jit(lambda xs: xs * dropout_mask(KEY, wrong, xs.shape))(XS)
