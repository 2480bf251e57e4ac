"""What `fit` refuses, in one line, before it starts."""

import jax.numpy as jnp
import numpy as np
import pytest
from train_cases import ADAM, KEY, KEYS, X, Y, exact, held_out

from jax_lstm.parallel import batch_mesh
from jax_lstm.train import Checkpoints, fit


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
    ],
)
def test_bad_input_is_refused(changes, message):
    given = dict(loss=exact, params=jnp.zeros(2), data=(X, Y), optimizer=ADAM, key=KEY, steps=5) | changes
    if given.get("mesh"):
        given["mesh"] = batch_mesh()
    with pytest.raises((ValueError, TypeError), match=message) as refusal:
        fit(**given)
    assert "\n" not in str(refusal.value)
