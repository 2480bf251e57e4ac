"""The table of a stack says what its arrays say."""

import jax
import jax.numpy as jnp
import pytest

from jax_lstm import Carry, describe, init, init_network


def cells(layers):
    return [line.split() for line in describe(layers).splitlines()]


def test_both_directions_heads_and_members_have_their_sizes():
    both = init_network(jax.random.key(0), features=3, hidden=[4], bidirectional=True)
    heads = init(jax.random.key(1), features=8, hidden=6, heads=2, dtype=jnp.bfloat16)
    _, forward, backward, last, total = cells([*both, heads])
    assert forward == ["0.forward", "plain", "3", "4", "4", "128", "float32", "512"]
    assert backward == ["0.backward", *forward[1:]]
    assert last == ["1", "2", "heads", "8", "6", "6", "288", "bfloat16", "576"]
    assert total == ["all", "544", "1,600"]
    members = jax.vmap(lambda key: init(key, features=3, hidden=4))(jax.random.split(jax.random.key(2), 10))
    assert cells(members)[1] == ["0", "plain", "3", "4", "4", "1,280", "float32", "5,120"]
    assert describe(members) == describe([members])


@pytest.mark.parametrize("given", [None, [], jnp.ones(3), [Carry(jnp.ones(2), jnp.ones(2))]])
def test_what_is_no_layer_is_refused(given):
    with pytest.raises(TypeError, match="expected a"):
        describe(given)
