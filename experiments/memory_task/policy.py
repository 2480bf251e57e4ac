"""Policies with one interface: LSTMs, and a feed-forward network that sees the present alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.memory_task.task import ACTIONS, FEATURES
from jax_lstm import Carry, Readout, chrono, init_network, network, network_step, readout, zero_carries

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, PRNGKeyArray

HIDDEN = 32


class ActorCritic(NamedTuple):
    """Parameters: layers, and linear readouts of their last output for the logits of the actions and for the value."""

    layers: tuple[Any, ...]
    actor: Readout
    critic: Readout


class Policy(NamedTuple):
    """Functions of a kind of policy.

    Args:
        init: `(key, length) -> params`, for a corridor of this length.
        initial: `(params, batch) -> carries`.
        step: `(params, carries, x, resets) -> (carries, (logits, values))`, one step, for acting.
        sequence: `(params, xs, carries, resets) -> (logits, values)`, whole sequences, for learning.
    """

    init: Callable[..., ActorCritic]
    initial: Callable[..., Any]
    step: Callable[..., Any]
    sequence: Callable[..., Any]


def heads(params: ActorCritic, hs: Float[Array, "*steps hidden"]) -> tuple[Array, Array]:
    """The logits of the actions and the value for each output of the layers."""
    return readout(params.actor, hs), readout(params.critic, hs)[..., 0]


def linear(key: PRNGKeyArray, inputs: int, outputs: int, scale: float = 1.0) -> Readout:
    """A linear map with normal weights of variance `scale**2 / inputs`."""
    return Readout(scale * jax.random.normal(key, (inputs, outputs)) / inputs**0.5, jnp.zeros(outputs))


def recurrent_init(key: PRNGKeyArray, length: int) -> ActorCritic:
    """One LSTM layer, and small readouts, so that all actions are equally likely at first."""
    layer_key, actor_key, critic_key = jax.random.split(key, 3)
    layers = init_network(layer_key, FEATURES, [HIDDEN])
    return ActorCritic(layers, linear(actor_key, HIDDEN, ACTIONS, 0.01), linear(critic_key, HIDDEN, 1, 0.01))


def chrono_init(key: PRNGKeyArray, length: int) -> ActorCritic:
    """The same, with chrono biases for dependencies of up to twice the length of the corridor."""
    init_key, chrono_key = jax.random.split(key)
    params = recurrent_init(init_key, length)
    return params._replace(layers=tuple(chrono(chrono_key, layer, 2 * length) for layer in params.layers))


def recurrent_carries(params: ActorCritic, batch: int) -> tuple[Carry, ...]:
    """Zeros, one carry per layer."""
    return zero_carries(params.layers, (batch,))


def recurrent_step(params: ActorCritic, carries: Any, x: Float[Array, "batch features"], resets: Bool[Array, " batch"]):
    """One step of `network_step`, from zeros where an episode begins."""
    carries = jax.tree.map(lambda value: jnp.where(resets[:, None], 0, value), carries)
    carries, h = network_step(params.layers, carries, x)
    return carries, heads(params, h)


def recurrent_sequence(
    params: ActorCritic, xs: Float[Array, "time batch features"], carries: Any, resets: Bool[Array, "time batch"]
):
    """The same steps at once, by `network` with `resets`."""
    _, hs = network(params.layers, xs, carries, resets=resets)
    return heads(params, hs)


def feed_forward_init(key: PRNGKeyArray, length: int) -> ActorCritic:
    """Two layers of tanh units, about as many weights as the LSTM has."""
    *layer_keys, actor_key, critic_key = jax.random.split(key, 4)
    widths = (FEATURES, 2 * HIDDEN, 2 * HIDDEN)
    layers = tuple(linear(k, *size) for k, size in zip(layer_keys, pairwise(widths), strict=True))
    return ActorCritic(layers, linear(actor_key, 2 * HIDDEN, ACTIONS, 0.01), linear(critic_key, 2 * HIDDEN, 1, 0.01))


def feed_forward(params: ActorCritic, x: Float[Array, "*steps features"]) -> tuple[Array, Array]:
    """Logits and values of the present observations."""
    for layer in params.layers:
        x = jnp.tanh(readout(layer, x))
    return heads(params, x)


POLICIES = {
    "LSTM": Policy(recurrent_init, recurrent_carries, recurrent_step, recurrent_sequence),
    "LSTM, chrono biases": Policy(chrono_init, recurrent_carries, recurrent_step, recurrent_sequence),
    "feed-forward": Policy(
        feed_forward_init,
        lambda params, batch: (),
        lambda params, carries, x, resets: (carries, feed_forward(params, x)),
        lambda params, xs, carries, resets: feed_forward(params, xs),
    ),
}
