"""`fit` does what a plain loop over Optax does: keys, members, validation, divergence, averages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from peers import peer
from train_cases import ADAM, KEY, KEYS, X, Y, assert_close, assert_same, exact, held_out, squares

from jax_lstm.train import fit


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


def test_the_same_key_gives_the_same_bits_and_another_does_not():
    one, two, other = (
        fit(squares, jnp.zeros(2), (X, Y), ADAM, key=key, steps=20, batch_size=8, batch_axis=0)
        for key in (KEY, KEY, KEYS[1])
    )
    assert_same(one, two)
    assert (one.params != other.params).all()


def test_keys_of_the_old_kind_are_keys():
    old = fit(squares, jnp.zeros(2), (X, Y), ADAM, key=jax.random.PRNGKey(0), steps=20, batch_size=8, batch_axis=0)
    assert_same(old, fit(squares, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=20, batch_size=8, batch_axis=0))


@pytest.mark.exhaustive
def test_members_are_vmap_is_jit_of_vmap_is_one_by_one():
    quick = optax.adam(0.3)
    options = dict(steps=60, batch_size=8, batch_axis=0, validation=held_out, validate_every=4, patience=2)
    members = fit(squares, jnp.zeros((3, 2)), (X, Y), quick, key=KEYS, **options)

    def one(key):
        return fit(squares, jnp.zeros(2), (X, Y), quick, key=key, **options)

    assert_same(members, jax.vmap(one)(KEYS))
    assert_same(members, jax.jit(jax.vmap(one))(KEYS))
    assert_close(members, jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(one, KEYS)))
    assert len(set(members.steps.tolist())) > 1  # each member stops for itself


@pytest.mark.exhaustive
def test_vmap_over_learning_rates_and_data_sets():
    rates = jnp.array([0.01, 0.1])
    together = jax.vmap(lambda rate: fit(exact, jnp.zeros(2), (X, Y), optax.adam(rate), key=KEY, steps=10).params)(
        rates
    )
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
    # the gradient of the loss is minus one, so w grows by one per step
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
    with pytest.warns(
        RuntimeWarning, match="ceased to be finite in step 5: stopped there, with the last good parameters"
    ):
        fitted = fit(loss, jnp.zeros(()), X, optax.sgd(rate), key=KEY, steps=50)
    assert bool(fitted.diverged)
    assert int(fitted.steps) == 4
    assert float(fitted.params) == (3.0 if where == "loss" else 4.0)  # the last whose loss was finite


def test_a_member_that_diverges_leaves_the_others_alone():
    with pytest.warns(RuntimeWarning, match="step 2 of member 1"):
        fitted = fit(
            lambda w, x, key: jnp.sqrt(w[1]) - w[0],
            jnp.array([[0.0, 9.0], [0.0, 0.5]]),
            X,
            optax.sgd(3.0),
            key=KEYS[:2],
            steps=3,
        )
    assert fitted.steps.tolist() == [3, 1]
    assert fitted.diverged.tolist() == [False, True]


def test_an_average_is_validated_and_returned():
    optimizer = optax.contrib.schedule_free_sgd(0.3)
    average = optax.contrib.schedule_free_eval_params
    fitted = fit(exact, jnp.zeros(2), (X, Y), optimizer, key=KEY, steps=20, average=average)
    raw = fit(exact, jnp.zeros(2), (X, Y), optimizer, key=KEY, steps=20)
    assert_close(fitted.params, average(fitted.opt_state, raw.params))
    seen = fit(
        exact,
        jnp.zeros(2),
        (X, Y),
        optimizer,
        key=KEY,
        steps=20,
        average=average,
        validation=held_out,
        validate_every=20,
    )
    assert_close(seen.history.validation[0], held_out(fitted.params))


def test_optimizers_that_want_the_loss_have_it():
    fitted = fit(exact, jnp.zeros(2), (X, Y), optax.lbfgs(), key=KEY, steps=10)
    with jax.numpy_rank_promotion("allow"):
        assert_close(fitted.params, jnp.linalg.lstsq(X, Y)[0], rtol=1e-4)


def test_equal_runs_share_one_compilation_whatever_their_keys_and_values():
    traced = []

    def loss(w, batch, key):
        traced.append(1)
        return squares(w, batch, key)

    def run(key, params):
        fit(loss, params, (X, Y), ADAM, key=key, steps=30, batch_size=8, batch_axis=0)
        return len(traced)

    assert run(KEY, jnp.zeros(2)) == run(KEYS[1], np.ones(2, np.float32)) == run(KEYS[2], jnp.full(2, 3.0))


def test_progress_is_shown_when_asked_and_not_where_there_is_no_terminal(capsys):
    fit(exact, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=10)
    assert capsys.readouterr() == ("", "")
    fit(exact, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=10, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "10/10" in shown.err
    assert "loss" in shown.err
    assert "left" in shown.err


def test_a_loss_without_a_hash_is_a_loss():
    eqx = peer("equinox")

    class Scaled(eqx.Module):
        """A loss with an array of its own, which therefore has no hash."""

        scale: jax.Array

        def __call__(self, w, batch, key):
            return self.scale * exact(w, batch, key)

    loss, validation = Scaled(jnp.array(2.0)), eqx.Partial(lambda scale, w: scale * held_out(w), jnp.array(2.0))
    for function in (loss, validation):
        with pytest.raises(TypeError):
            hash(function)
    options = dict(key=KEY, steps=20, validate_every=5)
    fitted = fit(loss, jnp.zeros(2), (X, Y), ADAM, validation=validation, **options)
    plain = fit(
        lambda *args: 2 * exact(*args), jnp.zeros(2), (X, Y), ADAM, validation=lambda w: 2 * held_out(w), **options
    )
    assert_same(fitted, plain)
    other = fit(Scaled(jnp.array(3.0)), jnp.zeros(2), (X, Y), ADAM, **options)
    assert_close(other.history.loss[0], 1.5 * fitted.history.loss[0])


def test_after_a_divergence_the_best_validated_parameters_are_returned():
    # w grows by one per step, its best validation loss is at 4, and its loss is NaN from 8 on
    with pytest.warns(RuntimeWarning, match="step 9"):
        fitted = fit(
            lambda w, x, key: jnp.where(w > 7.5, jnp.nan, -w), jnp.zeros(()), X, optax.sgd(1.0), key=KEY, steps=20,
            validation=lambda w: (w - 4.0) ** 2, validate_every=2,
        )  # fmt: skip
    assert float(fitted.params) == 4.0
