"""The T-maze of Bakker (2002): a cue at the start of a corridor tells which way to turn at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

FORWARD, UP, DOWN = range(3)
ACTIONS, FEATURES = 3, 4
PATIENCE = 4
"""An episode ends without a turn after `PATIENCE * (length + 1)` steps."""


class Mazes(NamedTuple):
    """State of a batch of mazes.

    Args:
        up: whether the goal is in the upper arm, `(batch,)`.
        position: steps from the start, up to `length`, where the corridor ends, `(batch,)`.
        clock: steps since the episode began, `(batch,)`.
    """

    up: Bool[Array, " batch"]
    position: Int[Array, " batch"]
    clock: Int[Array, " batch"]


class Outcome(NamedTuple):
    """What a step leads to, each `(batch,)`.

    Args:
        reward: 1 in the arm of the goal, -1 in the other, -0.1 for a step against a wall, else 0.
        done: whether the episode has ended.
        success: whether it has ended in the arm of the goal.
    """

    reward: Float[Array, " batch"]
    done: Bool[Array, " batch"]
    success: Bool[Array, " batch"]


def new_mazes(key: PRNGKeyArray, batch: int) -> Mazes:
    """Mazes at the start of an episode, each goal in one of the arms at random."""
    zeros = jnp.zeros(batch, jnp.int32)
    return Mazes(jax.random.bernoulli(key, shape=(batch,)), zeros, zeros)


def observe(mazes: Mazes, length: int) -> Float[Array, "batch features"]:
    """The cue for up and the cue for down, both at the start alone, and indicators of the corridor and of its end."""
    start, end = mazes.position == 0, mazes.position == length
    return jnp.stack([start & mazes.up, start & ~mazes.up, ~start & ~end, end], axis=-1).astype(jnp.float32)


def step(key: PRNGKeyArray, mazes: Mazes, action: Int[Array, " batch"], length: int) -> tuple[Mazes, Outcome]:
    """Take an action in every maze; one whose episode has ended is replaced by a new one."""
    at_end, forward = mazes.position == length, action == FORWARD
    moved, turned = forward & ~at_end, ~forward & at_end
    success = turned & ((action == UP) == mazes.up)
    clock = mazes.clock + 1
    done = turned | (clock >= PATIENCE * (length + 1))
    reward = jnp.where(success, 1.0, jnp.where(turned, -1.0, jnp.where(moved, 0.0, -0.1)))
    after = Mazes(mazes.up, mazes.position + moved.astype(jnp.int32), clock)
    fresh = new_mazes(key, done.shape[0])
    return jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh, after), Outcome(reward, done, success)
