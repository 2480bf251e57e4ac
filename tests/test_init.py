"""Initializers and regularizers: what is drawn has the properties its source asks for, and depends on the key alone."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_lstm import (
    GATES,
    Clip,
    Coupled,
    DiagonalParams,
    Exponential,
    LSTMParams,
    Zoneout,
    chrono,
    drop_connect,
    dropout_mask,
    init,
    init_network,
    lstm,
    uniform,
    zoneout_masks,
)

KEY = jax.random.key(0)
F, H = 3, 5


def blocks(w, gates=4):
    return dict(
        zip(
            GATES if gates == 4 else [gate for gate in GATES if gate != "forget"],
            np.split(np.asarray(w), gates, axis=-1),
            strict=True,
        )
    )


@given(st.integers(0, 2**32 - 1))
def test_recurrent_blocks_are_orthogonal_each_by_itself(seed):
    drawn = list(blocks(init(jax.random.key(seed), F, H).w_h).values())
    for block in drawn:
        np.testing.assert_allclose(block @ block.T, np.eye(H), rtol=0, atol=1e-5)
    assert not np.allclose(drawn[0], drawn[1])


@given(st.integers(0, 2**32 - 1))
def test_input_blocks_are_glorot_each_by_itself(seed):
    bound = np.sqrt(6 / (F + H))  # by the sizes of a block: the whole of w_x would give a smaller one
    w_x = np.asarray(init(jax.random.key(seed), F, H).w_x)
    assert np.abs(w_x).max() <= bound
    assert np.abs(w_x).max() > np.sqrt(6 / (F + 4 * H))


def test_the_forget_bias_is_one_and_the_others_zero():
    for bias, options in ((1.0, {}), (-2.5, {"forget_bias": -2.5})):
        found = blocks(init(KEY, F, H, **options).b)
        np.testing.assert_array_equal(found.pop("forget"), np.full(H, bias, np.float32))
        assert not any(block.any() for block in found.values())
    assert init(KEY, F, H, bias=False).b is None


def test_every_variant_has_its_fields_and_begins_as_the_plain_layer():
    plain = init(KEY, F, H)
    assert [plain.peephole, plain.projection, plain.norm, plain.coupled, plain.clip] == [None] * 5
    assert init(KEY, F, H, peephole=True).peephole.shape == (3, H)
    assert init(KEY, F, H, projection=2).projection.shape == (H, 2)
    assert init(KEY, F, H, projection=2).w_h.shape == (2, 4 * H)
    assert init(KEY, F, H, clip=Clip(cell=3.0)).clip == Clip(cell=3.0)
    coupled = init(KEY, F, H, coupled=True, peephole=True, norm=True)
    assert coupled.coupled == Coupled()
    assert (coupled.w_x.shape, coupled.b.shape, coupled.peephole.shape, coupled.norm.scale_x.shape) == (
        (F, 3 * H),
        (3 * H,),
        (2, H),
        (3 * H,),
    )
    diagonal = init(KEY, F, H, diagonal=True)
    assert isinstance(diagonal, DiagonalParams)
    assert diagonal.w_h.shape == (4 * H,)
    heads = init(KEY, F, 6, heads=2, exponential=True)
    assert (heads.w_h.shape, heads.heads, heads.exponential) == ((2, 3, 12), 2, Exponential())
    for block in heads.w_h.reshape(2, 3, 4, 3).swapaxes(1, 2).reshape(8, 3, 3):
        np.testing.assert_allclose(block @ block.T, np.eye(3), rtol=0, atol=1e-5)
    xs = jnp.ones((4, F))
    np.testing.assert_array_equal(lstm(init(KEY, F, H, peephole=True), xs)[1], lstm(plain, xs)[1])


@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64], ids=lambda dtype: dtype.__name__
)
def test_dtypes(dtype):
    with jax.enable_x64(dtype is jnp.float64):
        for options in ({"projection": 2, "norm": True, "peephole": True}, {"diagonal": True}):
            assert {leaf.dtype for leaf in jax.tree.leaves(init(KEY, F, H, dtype=dtype, **options))} == {
                jnp.dtype(dtype)
            }


def test_the_key_decides():
    first, again, other = (init(key, F, H).w_h for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    one, two = init_network(KEY, H, [H, H])
    assert not np.allclose(one.w_h, two.w_h)
    (both,) = init_network(KEY, F, [H], bidirectional=True)
    assert not np.allclose(both.forward.w_h, both.backward.w_h)


def test_networks_fit_together():
    layers = init_network(KEY, F, [H, 4, 2], bidirectional=True, projection=3)
    assert [layer.forward.w_x.shape[0] for layer in layers] == [F, 6, 6]
    assert [layer.w_x.shape[0] for layer in init_network(KEY, F, [H, 4, 2])] == [F, H, 4]


def test_initializers_are_arguments_called_once_a_gate():
    shapes = []

    def counting(key, shape, dtype):
        shapes.append(shape)
        return jnp.full(shape, len(shapes), dtype)

    params = init(KEY, F, H, input_init=counting, recurrent_init=counting)
    assert shapes == [(F, H)] * 4 + [(H, H)] * 4
    assert [block.flat[0] for block in blocks(params.w_x).values()] == [1, 2, 3, 4]
    bounded = init(KEY, F, H, input_init=uniform(H), recurrent_init=uniform(H))
    assert np.abs(bounded.w_h).max() <= 1 / np.sqrt(H)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 10, 1000]))
def test_chrono_biases(seed, longest):
    """The forget gate begins where its memory is between 1 and `longest` steps long, the input gate at its
    complement.
    """
    params = chrono(jax.random.key(seed), init(KEY, F, H), longest)
    found = blocks(params.b)
    u = np.exp(found["forget"])
    assert (u >= 1 - 1e-6).all()
    assert (u <= (longest - 1) * (1 + 1e-5)).all()
    np.testing.assert_array_equal(found["input"], -found["forget"])
    assert not found["candidate"].any()
    assert not found["output"].any()


def test_chrono_of_a_coupled_layer_is_the_same_forget_gate():
    forget = oracle.sigmoid(blocks(chrono(KEY, init(KEY, F, H), 50).b)["forget"].astype(float))
    coupled = blocks(chrono(KEY, init(KEY, F, H, coupled=True), 50).b, gates=3)["input"].astype(float)
    np.testing.assert_allclose(1 - oracle.sigmoid(coupled), forget, rtol=1e-6)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.5, 0.9]))
def test_dropout_masks_keep_the_mean(seed, rate):
    mask = np.asarray(dropout_mask(jax.random.key(seed), rate, (4000,)), float)
    assert set(np.round(mask * (1 - rate), 6)) <= {0.0, 1.0}
    # six standard deviations of the mean of 4000 draws: one case in 10⁹
    assert abs(mask.mean() - 1) <= 6 * np.sqrt(rate / (1 - rate) / 4000) + 1e-6


@given(st.integers(0, 2**32 - 1))
def test_drop_connect_drops_recurrent_weights_alone(seed):
    params = init(KEY, F, H, peephole=True)
    dropped = drop_connect(jax.random.key(seed), params, 0.5)
    kept = dropped.w_h != 0
    np.testing.assert_allclose(dropped.w_h, jnp.where(kept, 2 * params.w_h, 0.0), rtol=1e-6)
    assert 0 < kept.sum() < kept.size
    jax.tree.map(np.testing.assert_array_equal, dropped._replace(w_h=params.w_h), params)
    np.testing.assert_array_equal(drop_connect(jax.random.key(seed), params, 0.0).w_h, params.w_h)


def test_zoneout_draws_at_its_rates_and_its_shares_are_the_mean():
    params = init(KEY, F, H)
    xs = jnp.ones((200, 10, F))
    drawn = zoneout_masks(KEY, params, xs, hidden=0.1, cell=0.6)
    # six standard deviations of 10,000 draws
    assert abs(drawn.hidden.mean() - 0.1) < 6 * np.sqrt(0.09 / 10_000)
    assert abs(drawn.cell.mean() - 0.6) < 6 * np.sqrt(0.24 / 10_000)
    # one step from zero: in the mean over the draws a unit keeps the share of its state that it keeps in evaluation
    ones = xs[:1, :1].repeat(4000, axis=1)
    trained, _ = lstm(params, ones, zoneout=zoneout_masks(KEY, params, ones, hidden=0.25, cell=0.0))
    evaluated, _ = lstm(params, ones, zoneout=Zoneout(0.25, 0.0))
    np.testing.assert_allclose(
        trained.h.mean(axis=0), evaluated.h[0], rtol=0, atol=6 * 0.5 * np.abs(evaluated.h).max() / np.sqrt(4000)
    )
    np.testing.assert_allclose(trained.c, evaluated.c, rtol=1e-6)


def test_a_layer_may_be_made_under_jit_and_vmap():
    stacked = jax.jit(jax.vmap(lambda key: init(key, F, H)))(jax.random.split(KEY, 3))
    assert isinstance(stacked, LSTMParams)
    for position, key in enumerate(jax.random.split(KEY, 3)):
        np.testing.assert_allclose(stacked.w_h[position], init(key, F, H).w_h, rtol=0, atol=1e-6)
