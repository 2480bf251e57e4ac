"""A program of a user, for a strict type checker to read against the installed package: what each call returns."""

from functools import partial
from typing import assert_type

import jax
import jax.numpy as jnp

import jax_lstm
from jax_lstm import Bidirectional, BlockDiagonalParams, Carry, DiagonalParams, FinalCarries, LSTMParams, Readout, Trace

params: LSTMParams | DiagonalParams | BlockDiagonalParams = jax_lstm.init(jax.random.key(0), features=3, hidden=8)
xs = jnp.ones((20, 4, 3))

carry, hs = jax_lstm.lstm(params, xs, lengths=jnp.array([20, 7, 3, 0]))
assert_type(carry, Carry)
assert_type(hs, jax.Array)
assert_type(params.hidden, int)
assert_type(carry.h, jax.Array)

carry, values = jax_lstm.trace(params, xs, carry)
assert_type(values, Trace)
assert_type(values.forget_gate, jax.Array)

start = jax_lstm.zero_carry(params, (4,))
assert_type(start, Carry)
last, steps = jax.lax.scan(partial(jax_lstm.cell, params), start, xs)

layers = jax_lstm.init_network(jax.random.key(1), features=3, hidden=[8, 8], bidirectional=True)
carries, outputs = jax_lstm.network(layers, xs)
assert_type(carries, tuple[Carry | FinalCarries, ...])
assert_type(outputs, jax.Array)

pair = Bidirectional(params, params)
assert_type(pair.forward, LSTMParams | DiagonalParams | BlockDiagonalParams)

prediction = jax_lstm.readout(Readout(jnp.ones((16, 1))), outputs)
assert_type(prediction, jax.Array)
assert_type(jax_lstm.__version__, str)
assert_type(jax_lstm.explain_schedule(params, xs).schedule, str)
