"""Proximal policy optimization (Schulman et al. 2017): rollouts by single steps, updates over whole sequences."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.memory_task.policy import ActorCritic, Policy
from experiments.memory_task.task import Mazes, Outcome, new_mazes, observe, step

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

BATCH, TIME, EPOCHS = 64, 64, 4
"""Mazes side by side, the steps of a rollout, and the updates made from it."""
DISCOUNT, TRACE_DECAY, CLIP, ENTROPY = 0.99, 0.95, 0.2, 0.01
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(3e-3))


class Actor(NamedTuple):
    """The state of acting between two steps.

    Args:
        mazes: the state of the mazes.
        carries: the carries of the policy.
        resets: whether an episode begins with the next step, `(batch,)`.
    """

    mazes: Mazes
    carries: Any
    resets: Bool[Array, " batch"]


class Rollout(NamedTuple):
    """What was seen and done, each with axes `(time, batch)` in front."""

    xs: Float[Array, "time batch features"]
    resets: Bool[Array, "time batch"]
    actions: Int[Array, "time batch"]
    log_probs: Float[Array, "time batch"]
    values: Float[Array, "time batch"]
    outcomes: Outcome


def new_actor(key: PRNGKeyArray, policy: Policy, params: ActorCritic) -> Actor:
    """The beginning of an episode in every maze."""
    return Actor(new_mazes(key, BATCH), policy.initial(params, BATCH), jnp.ones(BATCH, bool))


def rollout(
    key: PRNGKeyArray, policy: Policy, params: ActorCritic, actor: Actor, length: int, time: int
) -> tuple[Actor, Rollout]:
    """Act for `time` steps, by `lax.scan` over single steps of the policy."""

    def act(actor: Actor, key: PRNGKeyArray) -> tuple[Actor, Rollout]:
        action_key, maze_key = jax.random.split(key)
        x = observe(actor.mazes, length)
        carries, (logits, values) = policy.step(params, actor.carries, x, actor.resets)
        actions = jax.random.categorical(action_key, logits)
        mazes, outcome = step(maze_key, actor.mazes, actions, length)
        seen = Rollout(x, actor.resets, actions, log_prob(logits, actions), values, outcome)
        return Actor(mazes, carries, outcome.done), seen

    return jax.lax.scan(act, actor, jax.random.split(key, time))


def log_prob(logits: Float[Array, "*batch actions"], actions: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The logarithm of the probability of the actions taken."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], axis=-1)[..., 0]


def advantages(seen: Rollout, last_values: Float[Array, " batch"]) -> Float[Array, "time batch"]:
    """Generalized advantage estimates (Schulman et al. 2016); nothing passes the end of an episode."""
    reward, done, _ = seen.outcomes
    goes_on = 1.0 - done.astype(reward.dtype)
    next_values = jnp.concatenate([seen.values[1:], last_values[None]])
    errors = reward + DISCOUNT * goes_on * next_values - seen.values

    def accumulate(after, now):
        error, goes_on = now
        advantage = error + DISCOUNT * TRACE_DECAY * goes_on * after
        return advantage, advantage

    return jax.lax.scan(accumulate, jnp.zeros_like(last_values), (errors, goes_on), reverse=True)[1]


def loss(
    params: ActorCritic, policy: Policy, carries: Any, seen: Rollout, advantage: Float[Array, "time batch"]
) -> Float[Array, ""]:
    """The clipped objective over whole sequences, from the carries with which the rollout began.

    An episode that continues from the last rollout keeps its memory, and `resets` clear it where another begins.
    """
    logits, values = policy.sequence(params, seen.xs, carries, seen.resets)
    ratio = jnp.exp(log_prob(logits, seen.actions) - seen.log_probs)
    weight = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
    gain = jnp.minimum(ratio * weight, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * weight)
    value_error = (values - (advantage + seen.values)) ** 2
    entropy = -(jax.nn.softmax(logits) * jax.nn.log_softmax(logits)).sum(axis=-1)
    return (-gain + 0.5 * value_error - ENTROPY * entropy).mean()


@partial(jax.jit, static_argnums=(1, 2, 3))
def train(key: PRNGKeyArray, policy: Policy, length: int, updates: int) -> tuple[ActorCritic, Float[Array, " updates"]]:
    """The trained parameters, and the share of successes among the episodes that ended in each rollout."""
    init_key, maze_key, key = jax.random.split(key, 3)
    params = policy.init(init_key, length)
    state = (params, OPTIMIZER.init(params), new_actor(maze_key, policy, params))

    def update(state: Any, key: PRNGKeyArray) -> tuple[Any, Array]:
        params, opt_state, actor = state
        carries = actor.carries
        actor, seen = rollout(key, policy, params, actor, length, TIME)
        _, (_, last_values) = policy.step(params, actor.carries, observe(actor.mazes, length), actor.resets)
        advantage = advantages(seen, last_values)

        def epoch(state: Any, _: None) -> tuple[Any, None]:
            params, opt_state = state
            gradient = jax.grad(loss)(params, policy, carries, seen, advantage)
            step, opt_state = OPTIMIZER.update(gradient, opt_state, params)
            return (optax.apply_updates(params, step), opt_state), None

        (params, opt_state), _ = jax.lax.scan(epoch, (params, opt_state), length=EPOCHS)
        return (params, opt_state, actor), success_rate(seen.outcomes)

    (params, _, _), successes = jax.lax.scan(update, state, jax.random.split(key, updates))
    return params, successes


@partial(jax.jit, static_argnums=(1, 3))
def test(key: PRNGKeyArray, policy: Policy, params: ActorCritic, length: int) -> Float[Array, ""]:
    """The share of successes in new episodes, those that end within ten times the length of the corridor."""
    maze_key, key = jax.random.split(key)
    _, seen = rollout(key, policy, params, new_actor(maze_key, policy, params), length, 10 * (length + 2))
    return success_rate(seen.outcomes)


def success_rate(outcomes: Outcome) -> Float[Array, ""]:
    """Successes per episode that ended; NaN if none did."""
    return outcomes.success.sum() / outcomes.done.sum()
