"""The notebook, to the digit, by every way of running it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from jax_lstm import Carry, Readout, Trace, cell, from_gates, lstm, readout, trace

GATES = {"forget": (0.5, 0.1, 0), "input": (0.6, 0.2, 0), "cell": (0.7, 0.3, 0), "output": (0.8, 0.4, 0)}
SEQUENCE = [1, 2, 3]

# forget, input, candidate, cell, output, hidden
PRINTED = [
    ["0.6225", "0.6457", "0.6044", "0.3902", "0.6900", "0.2564"],
    ["0.7361", "0.7775", "0.9009", "0.9877", "0.8459", "0.6398"],
    ["0.8269", "0.8730", "0.9798", "1.6721", "0.9344", "0.8707"],
]
EXACT = np.array(
    [
        [0.6224593312, 0.6456563062, 0.6043677771, 0.3902138666, 0.6899744811, 0.2563562828],
        [0.7360688969, 0.7775198442, 0.9008868573, 0.9876816992, 0.8458665101, 0.6397897934],
        [0.8269235694, 0.8730232245, 0.9797760983, 1.6721045647, 0.9343746800, 0.8706777856],
    ]
)
ESTIMATE = 3.482711142511621
HIDDEN = Trace._fields.index("hidden_state")
FLOAT32, FLOAT64 = 1e-6, 1e-12


def arguments(dtype):
    params = from_gates(GATES, dtype=dtype)
    zero = jnp.zeros(1, dtype)
    return params, Carry(zero, zero), jnp.asarray(SEQUENCE, dtype)[:, None]


def by_python_loop(params, carry, xs):
    steps = []
    for x in xs:
        carry, values = cell(params, carry, x)
        steps.append(values)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *steps)


def by_scan(params, carry, xs):
    return jax.lax.scan(partial(cell, params), carry, xs)


def by_lstm(params, carry, xs):
    return lstm(params, xs, carry)


def by_trace(params, carry, xs):
    return trace(params, xs, carry)


def over_sequences(run):
    """The run under `vmap` over a batch of sequences, of which ours is the second."""

    def mapped(params, carry, xs):
        return second(jax.vmap(partial(run, params, carry))(jnp.stack([-xs, xs, 2 * xs])))

    return jax.jit(mapped)


def over_parameters(run):
    """The run under `vmap` over stacked parameters, of which ours are the second."""

    def mapped(params, carry, xs):
        stacked = jax.tree.map(lambda leaf: jnp.stack([-leaf, leaf, 2 * leaf]), params)
        return second(jax.vmap(run, in_axes=(0, None, None))(stacked, carry, xs))

    return jax.jit(mapped)


def second(tree):
    return jax.tree.map(lambda leaf: leaf[1], tree)


RUNS = {"python loop": by_python_loop, "scan": by_scan, "lstm": by_lstm, "trace": by_trace}
AROUND = {
    "plain": lambda run: run,
    "jit": jax.jit,
    "vmap over sequences": over_sequences,
    "vmap over parameters": over_parameters,
}


@pytest.fixture(params=[jnp.float32, jnp.float64], ids=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param is jnp.float64):
        yield request.param


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("run", RUNS)
def test_the_six_values_and_the_estimate(run, around, dtype):
    tolerance = FLOAT64 if dtype is jnp.float64 else FLOAT32
    params, carry, xs = arguments(dtype)
    last, values = AROUND[around](RUNS[run])(params, carry, xs)
    reference = oracle.lstm(jax.tree.map(np.float64, params), np.float64(xs))

    if isinstance(values, Trace):
        found = np.stack([np.asarray(leaf, np.float64)[:, 0] for leaf in values], axis=1)
        columns = list(range(6))
    else:
        found = np.asarray(values, np.float64)
        columns = [HIDDEN]  # what lstm returns
    assert [[f"{value:.4f}" for value in row] for row in found] == [[row[k] for k in columns] for row in PRINTED]
    # the design prints ten decimals, so the figures themselves can be off by half a unit of the tenth; the oracle has
    # all of them
    np.testing.assert_allclose(found, EXACT[:, columns], rtol=0, atol=max(tolerance, 5.1e-11))
    np.testing.assert_allclose(
        found, np.stack([reference.values[Trace._fields[k]][:, 0] for k in columns], axis=1), rtol=0, atol=tolerance
    )
    np.testing.assert_allclose([last.h[0], last.c[0]], [reference.h[0], reference.c[0]], rtol=0, atol=tolerance)

    estimate = readout(Readout(jnp.full((1, 1), 4, dtype)), last.h)
    assert f"{estimate[0]:.4f}" == "3.4827"
    assert estimate[0] == pytest.approx(ESTIMATE, rel=0, abs=4 * tolerance)


def test_the_oracle_is_the_notebook():
    params = jax.tree.map(np.float64, from_gates(GATES))
    params = params._replace(w_x=np.array([[0.6, 0.5, 0.7, 0.8]]), w_h=np.array([[0.2, 0.1, 0.3, 0.4]]))
    result = oracle.lstm(params, np.array([[1.0], [2.0], [3.0]]))
    found = np.stack([result.values[name][:, 0] for name in Trace._fields], axis=1)
    np.testing.assert_allclose(found, EXACT, rtol=0, atol=5.1e-11)
    assert 4 * result.h[0] == pytest.approx(ESTIMATE, rel=0, abs=1e-15)


def test_from_gates_takes_arrays_and_a_diagonal_recurrence():
    """With arrays for numbers the notebook computes each unit by itself: a diagonal layer."""
    two = {name: tuple(np.array([value, 2 * value], np.float32) for value in triple) for name, triple in GATES.items()}
    xs = jnp.asarray(SEQUENCE, jnp.float32)[:, None]
    _, together = trace(from_gates(two, diagonal=True), xs)
    for unit, factor in enumerate((1, 2)):
        scaled = {name: tuple(factor * value for value in triple) for name, triple in GATES.items()}
        _, apart = trace(from_gates(scaled), xs)
        for both, one in zip(together, apart, strict=True):
            np.testing.assert_allclose(both[:, unit], one[:, 0], rtol=0, atol=1e-6)
