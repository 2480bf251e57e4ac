"""Recurrent reinforcement learning: a rollout step by step and the update's whole sequence see the same states."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from strategies import every_schedule

from jax_lstm import Readout, init_network, network, network_step, readout, zero_carries

ENVIRONMENTS, STEPS, OBSERVATIONS, ACTIONS = 4, 12, 3, 2


def policy(params, carries, observation, start):
    """One step of an agent: an episode that starts here does so from zeros."""
    layers, head = params
    fresh = zero_carries(layers, observation.shape[:-1])
    carries = jax.tree.map(lambda old, zero: jnp.where(start[:, None], zero, old), carries, fresh)
    carries, h = network_step(layers, carries, observation)
    return carries, readout(head, h)


def rollout(params, carries, observations, starts):
    """What an agent computes while it acts: `lax.scan` over single steps."""
    return jax.lax.scan(lambda carries, step: policy(params, carries, *step), carries, (observations, starts))


def update(params, carries, observations, starts, schedule):
    """What a learner computes: whole sequences from the carry of the last rollout, episodes apart by resets."""
    layers, head = params
    carries, hs = network(layers, observations, carries, resets=starts, schedule=schedule)
    return carries, readout(head, hs)


@every_schedule
def test_a_rollout_and_its_update_agree(schedule):
    keys = jax.random.split(jax.random.key(0), 4)
    params = (init_network(keys[0], OBSERVATIONS, [5, 4]), Readout(jax.random.normal(keys[1], (4, ACTIONS))))
    observations = jax.random.normal(keys[2], (2 * STEPS, ENVIRONMENTS, OBSERVATIONS))
    starts = jax.random.bernoulli(keys[3], 0.2, (2 * STEPS, ENVIRONMENTS))
    carries = zero_carries(params[0], (ENVIRONMENTS,))
    for part in (slice(STEPS), slice(STEPS, None)):  # the second rollout goes on from the carry of the first
        arguments = (carries, observations[part], starts[part])
        acted = jax.jit(rollout)(params, *arguments)
        learned = jax.jit(partial(update, schedule=schedule))(params, *arguments)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-6), learned, acted)
        carries = acted[0]


def test_nothing_of_an_episode_reaches_the_next():
    layers = init_network(jax.random.key(0), OBSERVATIONS, [5])
    observations = jax.random.normal(jax.random.key(1), (STEPS, ENVIRONMENTS, OBSERVATIONS))
    starts = jnp.zeros((STEPS, ENVIRONMENTS), bool).at[5].set(True)
    carries = jax.tree.map(lambda leaf: leaf + 3.0, zero_carries(layers, (ENVIRONMENTS,)))

    def after(observations, carries):
        return network(layers, observations, carries, resets=starts)[1][5:]

    of_observations, of_carries = jax.jacrev(lambda *given: after(*given).sum(), argnums=(0, 1))(observations, carries)
    assert not of_observations[:5].any()
    assert not any(leaf.any() for leaf in jax.tree.leaves(of_carries))
    assert of_observations[5:].any()
