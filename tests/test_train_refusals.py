"""What `fit` refuses, in one line, before it starts."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from train_cases import ADAM, KEY, KEYS, X, Y, assert_same, exact, held_out, squares

from jax_lstm.parallel import batch_mesh
from jax_lstm.train import Checkpoints, fit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(steps=0), "steps is 0, expected a whole number of at least 1"),
        (dict(steps=2.0), "steps is 2.0"),
        (dict(batch_size=25, batch_axis=0), "batch_size is 25, but data has 24"),
        (dict(batch_size=-1), "batch_size is -1"),
        (dict(batch_size=4, batch_axis=(1, 0)), "expected the same number"),
        (dict(batch_size=4, batch_axis=1), "no axis 1"),
        (dict(batch_size=6, batch_axis=0, mesh=True), "batch_size is 6, expected a multiple of the 8 devices"),
        (dict(steps=True), "steps is True"),
        (
            dict(batch_size=4),
            "batch_size is given without batch_axis: give the axis of the rows in data, 1 for sequences",
        ),
        (dict(mesh=True), "mesh is given without batch_axis"),
        (dict(mesh=8), "mesh is a int, expected a mesh"),
        (dict(batch_size=4, batch_axis="rows"), "batch_axis is 'rows' for data"),
        (dict(batch_size=4, batch_axis=(0, 0, 0)), r"batch_axis is \(0, 0, 0\), expected an integer, or a tree"),
        (dict(batch_size=4, batch_axis=-3), "no axis -3"),
        (dict(loss=2.0), r"loss is a float, expected a function \(params, batch, key\)"),
        (
            dict(loss=lambda w, batch: 0.0),
            r"loss takes \(w, batch\), expected to be called with \(params, batch, key\)",
        ),
        (dict(loss=lambda w, batch, key: 1.0), "loss returned a float, expected a scalar array of floats"),
        (dict(loss=lambda w, batch, key: (jnp.sum(w), w)), "loss returned a tuple of 2, expected a scalar"),
        (dict(loss=lambda w, batch, key: w), r"loss returned shape \(2,\), expected a scalar .*: return the mean"),
        (dict(loss=lambda w, batch, key: jnp.sum(w > 0)), "loss returned int32, expected a scalar"),
        (dict(loss=lambda w, batch, key: None), "loss returned a NoneType"),
        (dict(loss=lambda w, c, x, key: w.sum(), carry=jnp.zeros(2), chunk=4), r"expected \(loss, carry\)"),
        (
            dict(loss=lambda w, c, x, key: (w.sum(), c[:1]), carry=jnp.zeros(2), chunk=4),
            r"the carry that loss returned is float32\[1\], but float32\[2\] in the initial carry",
        ),
        (
            dict(loss=lambda w, c, x, key: (w.sum(), (c,)), carry=jnp.zeros(2), chunk=4),
            r"the carry that loss returned is absent, but float32\[2\] in the initial carry",
        ),
        (dict(optimizer=0.1), "optimizer is a float, expected an Optax transformation"),
        (dict(optimizer=optax.adam), "optimizer is the function adam, expected what it returns: call it"),
        (dict(validation=lambda w: 1.0, validate_every=1), "validation returned a float, expected a scalar array"),
        (dict(validation=lambda w, x: w, validate_every=1), r"validation takes \(w, x\), expected .* \(params\)"),
        (dict(validation=0.1, validate_every=1), r"validation is a float, expected a function \(params\)"),
        (dict(average=lambda w: w), r"average takes \(w\), expected to be called with \(opt_state, params\)"),
        (dict(average=lambda state, w: w[:1]), r"what average returned is float32\[1\], but float32\[2\] in params"),
        (dict(params=["text"]), r"params\[0\] is a str, expected an array of floats"),
        (dict(data=(1.0, 2.0), batch_size=1, batch_axis=0), "no axis 0"),
        (dict(chunk=4), "chunk is given without a carry"),
        (dict(carry=jnp.zeros(2)), "give chunk and not batch_size"),
        (dict(data=()), "data has no arrays"),
        (dict(data=iter([]), batch_size=2), "data is an iterable of batches"),
        (dict(params={}), "params has no arrays"),
        (dict(params=jnp.zeros(2, int)), r"params is int32, expected floats"),
        (dict(key=KEYS), "there are 3 keys: give params a leading axis of 3"),
        (dict(key=KEYS[None]), r"key has shape \(1, 3\)"),
        (dict(key=0), r"key is 0, expected a key of jax.random, such as jax.random.key\(0\), or several \(members,\)"),
        (dict(key=None), "key is a NoneType, expected a key of jax.random"),
        (dict(key=jnp.zeros(2)), r"key is an array float32\[2\], expected a key of jax.random"),
        (dict(key=np.zeros(3, np.uint32)), r"key is an array uint32\[3\], expected a key of jax.random"),
        (dict(data="letters"), "data is a str, expected an array"),
        (dict(data={"x": X, "y": object()}), r"data\['y'\] is a object, expected an array"),
        (dict(patience=2), "patience is given without a validation"),
        (dict(validation=held_out, validate_every=9), "validate_every is 9, but steps is 5"),
        (dict(checkpoints="folder"), r"checkpoints is a str, expected Checkpoints\(folder, every, keep\)"),
        (
            dict(checkpoints=Checkpoints("folder", every=0)),
            "checkpoints.every is 0, expected a whole number of at least 1",
        ),
        (dict(checkpoints=Checkpoints(3)), "checkpoints.folder is a int, expected a path"),
    ],
)
def test_bad_input_is_refused(changes, message):
    given = dict(loss=exact, params=jnp.zeros(2), data=(X, Y), optimizer=ADAM, key=KEY, steps=5) | changes
    if given.get("mesh"):
        given["mesh"] = batch_mesh() if given["mesh"] is True else given["mesh"]
    with pytest.raises((ValueError, TypeError), match=message) as refusal:
        fit(**given)
    assert "\n" not in str(refusal.value)


def test_counts_of_any_integer_type_and_axes_from_the_end_are_taken():
    plain = fit(squares, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=4, batch_size=8, batch_axis=0)
    steps, size = np.int64(4), np.uint8(8)
    other = fit(squares, jnp.zeros(2), (X, Y), ADAM, key=KEY, steps=steps, batch_size=size, batch_axis=(-2, -1))
    assert_same(plain, other)
