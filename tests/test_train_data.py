"""Where the batches of a step come from: all rows, minibatches, streams, iterables, and meshes of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from train_cases import ADAM, KEY, KEYS, X, Y, assert_close, assert_same, exact, held_out, leaky, squares

from jax_lstm import init, lstm, zero_carry
from jax_lstm.parallel import batch_mesh
from jax_lstm.train import fit


def drawn(rows: int, steps: int, batch_size: int) -> np.ndarray:
    """Which rows each step drew, (steps, rows): step t adds 2**t to the parameters of the rows drawn."""

    def loss(w, chosen, key):
        return -w[chosen].sum()

    optimizer = optax.sgd(lambda count: jnp.ldexp(1.0, count))
    w = fit(
        loss, jnp.zeros(rows), jnp.arange(rows), optimizer, key=KEY, steps=steps, batch_size=batch_size, batch_axis=0
    ).params
    return np.asarray(w).astype(int) >> np.arange(steps)[:, None] & 1


def test_minibatches_take_every_row_once_per_epoch_in_another_order():
    steps = drawn(rows=12, steps=8, batch_size=3)
    assert (steps.sum(axis=1) == 3).all()
    first, second = steps[:4], steps[4:]
    assert (first.sum(axis=0) == 1).all()
    assert (second.sum(axis=0) == 1).all()
    assert (first != second).any()


def test_rows_that_fill_no_batch_wait_for_another_epoch():
    epochs = drawn(rows=7, steps=20, batch_size=3).reshape(10, 2, 7).sum(axis=1)
    assert (np.sort(epochs) == [0, 1, 1, 1, 1, 1, 1]).all()
    assert len(set(epochs.argmin(axis=1))) > 2


def layered(params, carry, chunk, key):
    """A stream through an LSTM."""
    carry, hs = lstm(params, chunk, carry)
    return jnp.mean((hs - 0.1) ** 2), carry


SGD = optax.sgd(0.5)
LAYER = init(KEY, 1, 3)
STREAMS = [
    pytest.param(leaky, jnp.array([0.5, 1.0]), lambda xs: jnp.zeros(xs.shape[1:]), id="leaky"),
    pytest.param(layered, LAYER, lambda xs: zero_carry(LAYER, xs.shape[1:-1]), id="lstm", marks=pytest.mark.exhaustive),
]


@pytest.mark.parametrize(("loss", "params", "carry_for"), STREAMS)
def test_a_stream_passes_on_its_carry_and_starts_again(loss, params, carry_for):
    xs = jax.random.normal(KEYS[1], (11, 2, 1))
    initial = carry_for(xs)
    fitted = fit(loss, params, xs, SGD, key=KEY, steps=5, carry=initial, chunk=4)
    plain, carry, losses = params, initial, []
    gradient_of = jax.jit(jax.value_and_grad(loss, has_aux=True))
    for step in range(5):
        carry = initial if step % 2 == 0 else carry  # two whole chunks in eleven steps
        (value, carry), gradient = gradient_of(plain, carry, xs[step % 2 * 4 :][:4], None)
        plain = jax.tree.map(lambda p, g: p - 0.5 * g, plain, gradient)
        losses.append(value)
    assert_close((fitted.params, fitted.carry, fitted.history.loss), (plain, carry, jnp.stack(losses)))

    endless = fit(loss, params, iter([xs[:4], xs[4:8]]), SGD, key=KEY, steps=2, carry=initial)
    assert_close(endless.history.loss, fitted.history.loss[:2])


def test_batches_from_an_iterator_are_steps():
    batches = [(X[:8], Y[:8]), (X[8:16], Y[8:16]), (X[16:], Y[16:])]
    drawn = fit(squares, jnp.zeros(2), iter(batches), ADAM, key=KEY, steps=3)
    made = fit(squares, jnp.zeros(2), lambda step: iter(batches[step:]), ADAM, key=KEY, steps=3)
    assert_same(drawn, made)
    whole = [fit(exact, jnp.zeros(2), data, optax.sgd(0.1), key=KEY, steps=2) for data in (iter([(X, Y)] * 2), (X, Y))]
    assert_same(*whole)
    with pytest.raises(ValueError, match="data ended after 3 batches, but steps is 4"):
        fit(squares, jnp.zeros(2), iter(batches), ADAM, key=KEY, steps=4)


class Loader:
    """An iterable of batches that is no iterator and no tree, like the data loaders of other libraries."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_an_iterable_of_batches_is_iterated_again_for_every_epoch():
    batches = [(X[:8], Y[:8]), (X[8:16], Y[8:16]), (X[16:], Y[16:])]
    loaded = fit(squares, jnp.zeros(2), Loader(batches), ADAM, key=KEY, steps=7)
    assert_same(loaded, fit(squares, jnp.zeros(2), iter(batches * 2 + batches[:1]), ADAM, key=KEY, steps=7))
    with pytest.raises(ValueError, match="data ended after 0 batches, but steps is 7"):
        fit(squares, jnp.zeros(2), Loader([]), ADAM, key=KEY, steps=7)


def test_a_list_of_arrays_is_a_tree_of_arrays():
    assert_same(*(fit(exact, jnp.zeros(2), data, ADAM, key=KEY, steps=2).params for data in ([X, Y], (X, Y))))


@pytest.mark.exhaustive
def test_a_data_loader_of_torch():
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(torch.tensor(np.asarray(X)), torch.tensor(np.asarray(Y)))
    loaded = fit(exact, jnp.zeros(2), torch.utils.data.DataLoader(rows, batch_size=8), ADAM, key=KEY, steps=7)
    batches = [[X[:8], Y[:8]], [X[8:16], Y[8:16]], [X[16:], Y[16:]]]
    assert_same(loaded, fit(exact, jnp.zeros(2), Loader(batches), ADAM, key=KEY, steps=7))


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_mesh_gives_what_one_device_gives(batch_size, axis_type):
    mesh = batch_mesh(explicit=axis_type == AxisType.Explicit)
    assert mesh.size == 8
    options = dict(key=KEY, steps=10, batch_size=batch_size, batch_axis=(0, 0), validation=held_out, validate_every=5)
    one, many = (fit(exact, jnp.zeros(2), (X, Y), ADAM, mesh=place, **options) for place in (None, mesh))
    assert_close(one, jax.tree.map(np.asarray, many), rtol=1e-4)
    assert many.params.sharding.is_fully_replicated


@pytest.mark.parametrize(("loss", "params", "carry_for"), STREAMS)
def test_a_stream_on_a_mesh(loss, params, carry_for):
    xs = jax.random.normal(KEYS[1], (8, 16, 1))
    options = dict(key=KEY, steps=5, carry=carry_for(xs), chunk=4, batch_axis=1)
    one, many = (fit(loss, params, xs, SGD, mesh=mesh, **options) for mesh in (None, batch_mesh()))
    assert_close(one, jax.tree.map(np.asarray, many))
    assert all(len(leaf.sharding.device_set) == 8 for leaf in jax.tree.leaves(many.carry))


def test_what_is_traced_has_no_checkpoints_and_no_iterator():
    with pytest.raises(ValueError, match="inside jit or vmap"):
        jax.vmap(lambda key: fit(exact, jnp.zeros(2), iter([(X, Y)]), ADAM, key=key, steps=1))(KEYS)
