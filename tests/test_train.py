"""`fit` does what a plain loop over Optax does: rows, keys, streams, validation, members, meshes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

from jax_lstm import init, lstm, zero_carry
from jax_lstm.parallel import batch_mesh
from jax_lstm.train import fit

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 3)
X = jax.random.normal(jax.random.key(1), (24, 2))
Y = jnp.dot(X, jnp.array([1.0, -2.0])) + 0.1 * jax.random.normal(jax.random.key(2), (24,))
ADAM = optax.adam(0.1)


def squares(w, batch, key):
    """A linear regression, with noise from the key so that keys that went astray are seen."""
    x, y = batch
    return jnp.mean((jnp.dot(x, w) - y + 0.01 * jax.random.normal(key, y.shape)) ** 2)


def exact(w, batch, key):
    return jnp.mean((jnp.dot(batch[0], w) - batch[1]) ** 2)


def held_out(w):
    return exact(w, (X, Y), None)


def assert_same(one, other):
    """The same bits, NaN included."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_close(one, other, rtol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), one, other)


def test_all_rows_at_every_step_is_the_plain_loop():
    fitted = fit(exact, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=30)
    w, losses, state = jnp.zeros(2), [], ADAM.init(jnp.zeros(2))
    for _ in range(30):
        loss, gradient = jax.value_and_grad(exact)(w, (X, Y), None)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = ADAM.update(gradient, state, w)
        w, losses = w + updates, [*losses, loss]
    assert_close((fitted.params, fitted.history.loss), (w, jnp.stack(losses)))
    assert int(fitted.steps) == 30
    assert not fitted.diverged


def test_minibatches_take_every_row_once_an_epoch_in_another_order():
    rows = jnp.arange(12)
    # a gradient of one for every row drawn, so that the parameters count the draws
    one, four, five, eight = (
        fit(lambda w, rows, key: -w[rows].sum(), jnp.zeros(12), rows, optax.sgd(1.0), key=KEY, steps=steps, batch_size=3).params
        for steps in (1, 4, 5, 8)
    )
    assert four.tolist() == [1.0] * 12
    assert eight.tolist() == [2.0] * 12
    assert (one != five - four).any()


def test_rows_that_fill_no_batch_wait_for_another_epoch():
    def count(steps):
        return fit(
            lambda w, rows, key: -w[rows].sum(), jnp.zeros(7), jnp.arange(7), optax.sgd(1.0), key=KEY, steps=steps, batch_size=3
        ).params

    assert sorted(count(2).tolist()) == [0, 1, 1, 1, 1, 1, 1]
    assert count(60).min() > 15


def test_the_same_key_gives_the_same_bits_and_another_does_not():
    one, two, other = (fit(squares, jnp.zeros(2), (X, Y), ADAM, key=key, steps=20, batch_size=8) for key in (KEY, KEY, KEYS[1]))
    assert_same(one, two)
    assert (one.params != other.params).all()


def test_keys_of_the_old_kind_are_keys():
    old = fit(squares, jnp.zeros(2), (X, Y), ADAM, key=jax.random.PRNGKey(0), steps=20, batch_size=8)
    assert_same(old, fit(squares, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=20, batch_size=8))


def test_members_are_vmap_is_jit_of_vmap_is_one_by_one():
    quick = optax.adam(0.3)
    options = dict(steps=60, batch_size=8, validation=held_out, validate_every=4, patience=2)
    members = fit(squares, jnp.zeros((3, 2)), (X, Y), quick, key=KEYS, **options)

    def one(key):
        return fit(squares, jnp.zeros(2), (X, Y), quick, key=key, **options)

    assert_same(members, jax.vmap(one)(KEYS))
    assert_same(members, jax.jit(jax.vmap(one))(KEYS))
    assert_close(members, jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(one, KEYS)))
    assert len(set(members.steps.tolist())) > 1  # each member stops for itself


def test_vmap_over_learning_rates_and_data_sets():
    rates = jnp.array([0.01, 0.1])
    together = jax.vmap(lambda rate: fit(exact, jnp.zeros(2), (X, Y), optax.adam(rate), key=KEY, steps=10).params)(rates)
    apart = [fit(exact, jnp.zeros(2), (X, Y), optax.adam(rate), key=KEY, steps=10).params for rate in (0.01, 0.1)]
    assert_close(together, jnp.stack(apart))
    sets = jnp.stack([Y, -Y])
    together = jax.vmap(lambda y: fit(exact, jnp.zeros(2), (X, y), ADAM, key=KEY, steps=10).params)(sets)
    assert_close(together[0], -together[1])


def test_the_outcome_has_a_derivative():
    def final_loss(rate):
        return fit(exact, jnp.zeros(2), (X, Y), optax.sgd(rate), key=KEY, steps=5).history.loss[-1]

    step = 1e-2
    assert_close(jax.grad(final_loss)(0.1), (final_loss(0.1 + step) - final_loss(0.1 - step)) / (2 * step), rtol=1e-2)


def test_the_best_parameters_are_kept_and_patience_ends():
    # without a gradient in the loss but its own, w grows by one a step
    fitted = fit(
        lambda w, x, key: -w, jnp.zeros(()), X, optax.sgd(1.0), key=KEY, steps=50,
        validation=lambda w: (w - 6.0) ** 2, validate_every=3, patience=2,
    )  # fmt: skip
    assert float(fitted.params) == 6.0
    assert int(fitted.steps) == 12
    assert fitted.history.validation[:4].tolist() == [9.0, 0.0, 9.0, 36.0]
    assert np.isnan(fitted.history.validation[4:]).all()
    assert np.isfinite(fitted.history.loss[:12]).all()
    assert np.isnan(fitted.history.loss[12:]).all()


@pytest.mark.parametrize("where", ["loss", "parameters"])
def test_what_is_not_finite_stops_the_run_at_the_named_step(where):
    def loss(w, x, key):
        return jnp.where(w > 3.5, jnp.nan, -w) if where == "loss" else -w

    rate = 1.0 if where == "loss" else lambda count: jnp.where(count == 4, jnp.inf, 1.0)
    with pytest.warns(RuntimeWarning, match="ceased to be finite in step 5: stopped there, with the last good parameters"):
        fitted = fit(loss, jnp.zeros(()), X, optax.sgd(rate), key=KEY, steps=50)
    assert bool(fitted.diverged)
    assert int(fitted.steps) == 4
    assert float(fitted.params) == (3.0 if where == "loss" else 4.0)  # the last whose loss was finite


def test_a_member_that_diverges_leaves_the_others_alone():
    with pytest.warns(RuntimeWarning, match="step 2 of member 1"):
        fitted = fit(lambda w, x, key: jnp.sqrt(w[1]) - w[0], jnp.array([[0.0, 9.0], [0.0, 0.5]]), X, optax.sgd(3.0), key=KEYS[:2], steps=3)
    assert fitted.steps.tolist() == [3, 1]
    assert fitted.diverged.tolist() == [False, True]


def test_a_stream_hands_on_its_carry_and_starts_again():
    layer = init(KEY, 1, 3)
    xs = jax.random.normal(KEYS[1], (11, 2, 1))

    def loss(params, carry, chunk, key):
        carry, hs = lstm(params, chunk, carry)
        return jnp.mean((hs - 0.1) ** 2), carry

    start = zero_carry(layer, xs)
    fitted = fit(loss, layer, xs, optax.sgd(0.5), key=KEY, steps=5, carry=start, chunk=4)
    params, carry, losses = layer, start, []
    for step in range(5):
        carry = start if step % 2 == 0 else carry  # two whole chunks in eleven steps
        (value, carry), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, carry, xs[step % 2 * 4 :][:4], None)
        params = jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient)
        losses.append(value)
    assert_close((fitted.params, fitted.carry, fitted.history.loss), (params, carry, jnp.stack(losses)))

    chunks = [xs[:4], xs[4:8]]
    endless = fit(loss, layer, iter(chunks), optax.sgd(0.5), key=KEY, steps=2, carry=start)
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


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_mesh_gives_what_one_device_gives(batch_size, axis_type):
    mesh = batch_mesh(explicit=axis_type == AxisType.Explicit)
    assert mesh.size == 8
    options = dict(key=KEY, steps=10, batch_size=batch_size, batch_axis=(0, 0), validation=held_out, validate_every=5)
    one, many = (fit(exact, jnp.zeros(2), (X, Y), ADAM, mesh=place, **options) for place in (None, mesh))
    assert_close(one, jax.tree.map(np.asarray, many), rtol=1e-4)
    assert many.params.sharding.is_fully_replicated


def test_a_stream_on_a_mesh():
    layer, xs = init(KEY, 1, 3), jax.random.normal(KEYS[1], (8, 16, 1))

    def loss(params, carry, chunk, key):
        carry, hs = lstm(params, chunk, carry)
        return jnp.mean((hs - 0.1) ** 2), carry

    options = dict(key=KEY, steps=5, carry=zero_carry(layer, xs), chunk=4, batch_axis=1)
    one, many = (fit(loss, layer, xs, optax.sgd(0.5), mesh=mesh, **options) for mesh in (None, batch_mesh()))
    assert_close(one, jax.tree.map(np.asarray, many))
    assert len(many.carry.h.sharding.device_set) == 8


def test_an_average_is_validated_and_returned():
    optimizer = optax.contrib.schedule_free_sgd(0.3)
    average = optax.contrib.schedule_free_eval_params
    fitted = fit(exact, jnp.zeros(2), (X, Y), optimizer, key=KEY, steps=20, average=average)
    raw = fit(exact, jnp.zeros(2), (X, Y), optimizer, key=KEY, steps=20)
    assert_close(fitted.params, average(fitted.opt_state, raw.params))
    seen = fit(exact, jnp.zeros(2), (X, Y), optimizer, key=KEY, steps=20, average=average, validation=held_out, validate_every=20)
    assert_close(seen.history.validation[0], held_out(fitted.params))


def test_optimisers_that_want_the_loss_have_it():
    fitted = fit(exact, jnp.zeros(2), (X, Y), optax.lbfgs(), key=KEY, steps=10)
    with jax.numpy_rank_promotion("allow"):
        assert_close(fitted.params, jnp.linalg.lstsq(X, Y)[0], rtol=1e-4)


def test_equal_runs_share_one_compilation_whatever_their_keys_and_values():
    traced = []

    def loss(w, batch, key):
        traced.append(1)
        return squares(w, batch, key)

    def run(key, params):
        fit(loss, params, (X, Y), ADAM, key=key, steps=30, batch_size=8)
        return len(traced)

    assert run(KEY, jnp.zeros(2)) == run(KEYS[1], np.ones(2, np.float32)) == run(KEYS[2], jnp.full(2, 3.0))


def test_progress_is_said_when_asked_and_not_where_there_is_no_terminal(capsys):
    fit(exact, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=10)
    assert capsys.readouterr() == ("", "")
    fit(exact, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=10, progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "10/10" in said.err
    assert "loss" in said.err
    assert "left" in said.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(steps=0), "steps is 0, expected a whole number of at least 1"),
        (dict(steps=2.0), "steps is 2.0"),
        (dict(batch_size=25), "batch_size is 25, but data has 24"),
        (dict(batch_size=-1), "batch_size is -1"),
        (dict(batch_size=4, batch_axis=(1, 0)), "expected as many"),
        (dict(batch_size=4, batch_axis=1), "no axis 1"),
        (dict(batch_size=6, mesh=True), "batch_size is 6, expected a multiple of the 8 devices"),
        (dict(chunk=4), "chunk is given without a carry"),
        (dict(carry=jnp.zeros(2)), "give chunk and not batch_size"),
        (dict(data=()), "data has no arrays"),
        (dict(data=iter([]), batch_size=2), "data is an iterator"),
        (dict(params={}), "params has no arrays"),
        (dict(params=jnp.zeros(2, int)), r"params is int32, expected floats"),
        (dict(key=KEYS), "there are 3 keys: give params an axis of 3 in front"),
        (dict(key=KEYS[None]), r"key has shape \(1, 3\)"),
        (dict(patience=2), "patience is given without a validation"),
        (dict(validation=held_out, validate_every=9), "validate_every is 9, but steps is 5"),
        (dict(checkpoints="folder"), r"checkpoints is a str, expected Checkpoints\(folder, every, keep\)"),
    ],
)
def test_bad_input_is_refused(changes, message):
    given = dict(loss=exact, params=jnp.zeros(2), data=(X, Y), optimizer=ADAM, key=KEY, steps=5) | changes
    if given.get("mesh"):
        given["mesh"] = batch_mesh()
    with pytest.raises((ValueError, TypeError), match=message) as refusal:
        fit(**given)
    assert "\n" not in str(refusal.value)


def test_what_is_traced_has_no_checkpoints_and_no_iterator():
    with pytest.raises(ValueError, match="inside jit or vmap"):
        jax.vmap(lambda key: fit(exact, jnp.zeros(2), iter([(X, Y)]), ADAM, key=key, steps=1))(KEYS)
