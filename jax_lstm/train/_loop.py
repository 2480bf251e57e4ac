"""The pure part of training: a state, and any stretch of steps from it as one compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jax_lstm.parallel import replicate, shard_batch


class History(NamedTuple):
    """What was seen on the way: `loss (*members, steps)`, before each update, and `validation (*members, steps // validate_every)`.

    What did not come about, because a run stopped early, is NaN; `validation` is None where there was none.
    """

    loss: Any
    validation: Any


class Fitted(NamedTuple):
    """What `fit` returns; where it was given many keys, every leaf has their axis in front.

    Args:
        params: those of the least validation loss; without validation the last ones, or where `diverged` the last good ones.
        history: the losses.
        steps: how many steps were taken, `(*members)`.
        diverged: whether step `steps + 1` made the loss or the parameters infinite or NaN, so that it was not taken, `(*members)`.
        opt_state: the optimiser's state after the last step.
        carry: of a stream, the carry after the last step; else None.
    """

    params: Any
    history: History
    steps: jax.Array
    diverged: jax.Array
    opt_state: Any
    carry: Any


class State(NamedTuple):
    """All that a step changes. `best` holds the last parameters whose loss was finite until there is a validation loss to compare."""

    params: Any
    opt_state: Any
    carry: Any
    best: Any
    best_loss: jax.Array
    waited: jax.Array
    steps: jax.Array
    diverged: jax.Array
    history: History


@dataclass(frozen=True)
class Plan:
    """What no step changes; hashable, so that runs with the same plan share one compilation."""

    loss: Callable
    optimizer: optax.GradientTransformation
    batch_size: int | None
    chunk: int | None
    axes: tuple[int, ...]
    validation: Any
    validate_every: int
    patience: int | None
    average: Callable | None
    mesh: jax.sharding.Mesh | None
    members: bool


def start(plan: Plan, params, carry, steps: int) -> State:
    """The state before the first step."""
    dtype = jnp.result_type(float)

    def one(params, carry) -> State:
        with _promotion_allowed():
            opt_state = plan.optimizer.init(params)
        validation = None if plan.validation is None else jnp.full(steps // plan.validate_every, jnp.nan, dtype)
        return State(
            params,
            opt_state,
            carry,
            best=params,
            best_loss=jnp.full((), jnp.inf, dtype),
            waited=jnp.zeros((), jnp.int32),
            steps=jnp.zeros((), jnp.int32),
            diverged=jnp.zeros((), bool),
            history=History(jnp.full(steps, jnp.nan, dtype), validation),
        )

    state = (jax.vmap(one) if plan.members else one)(*jax.tree.map(jnp.asarray, (params, carry)))
    # no weak types, which the first step would lose; keys have none
    return jax.tree.map(lambda leaf: leaf.astype(leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.number) else leaf, state)


def spread(plan: Plan, state: State) -> State:
    """The state on the mesh: the carry in shares of the batch, everything else whole on every device."""
    if plan.mesh is None:
        return state
    carry = shard_batch(state.carry, plan.mesh, axis=int(plan.members))
    return replicate(state._replace(carry=None), plan.mesh)._replace(carry=carry)


def finish(plan: Plan, state: State) -> Fitted:
    """What the state comes to."""

    def one(state: State) -> Fitted:
        params = _where(state.diverged | jnp.isfinite(state.best_loss), state.best, _averaged(plan, state))
        return Fitted(params, state.history, state.steps, state.diverged, state.opt_state, state.carry)

    return (jax.vmap(one) if plan.members else one)(state)


def is_running(plan: Plan, state: State) -> jax.Array:
    """Whether a run takes another step: it has not diverged, and its patience is not at an end."""
    return ~state.diverged if plan.patience is None else ~state.diverged & (state.waited < plan.patience)


def advance(plan: Plan, state: State, begin, end, key: jax.Array, data, carry) -> State:
    """The state after the steps from `begin` to `end`; where a run is cut into such stretches changes no bit of it.

    Args:
        plan: what no step changes.
        state: the state before step `begin`.
        begin, end: traced integers make one compiled loop for stretches of any length; concrete ones, one that has derivatives.
        key: the run's key, or the keys `(members,)` of runs that go side by side.
        data: the arrays, or the one batch of this step.
        carry: what a stream in memory starts from.
    """

    def body(step, state, order, key, carry):
        order_key, step_key = jax.random.fold_in(key, 0), jax.random.fold_in(jax.random.fold_in(key, 1), step)
        batch = data
        if plan.batch_size:
            samples = order.shape[0]
            epoch, slot = step // (samples // plan.batch_size), step % (samples // plan.batch_size)
            order = jax.lax.cond(
                (slot == 0) | (step == begin),
                lambda: jax.random.permutation(jax.random.fold_in(order_key, epoch), samples).astype(order.dtype),
                lambda: order,
            )
            batch = _minibatch(plan, data, jax.lax.dynamic_slice_in_dim(order, slot * plan.batch_size, plan.batch_size))
        elif plan.chunk:
            slot = step % (jax.tree.leaves(data)[0].shape[0] // plan.chunk)
            batch = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, slot * plan.chunk, plan.chunk), data)
            state = state._replace(carry=_where(slot == 0, carry, state.carry))
        state = _update(plan, state, step, batch, step_key)
        if plan.validation is not None:
            state = jax.lax.cond((step + 1) % plan.validate_every == 0, partial(_validate, plan), lambda state, step: state, state, step)
        return state, order

    side_by_side: Callable = jax.vmap(body, (None, 0, 0, 0, 0)) if plan.members else body
    samples = jax.tree.leaves(data)[0].shape[plan.axes[0]] if plan.batch_size else 0
    order = jnp.zeros((*key.shape, samples), jnp.int32)
    state, _ = jax.lax.fori_loop(begin, end, lambda step, held: side_by_side(step, *held, key, carry), (state, order))
    return spread(plan, state)


def _minibatch(plan: Plan, data, chosen: jax.Array):
    leaves, structure = jax.tree.flatten(data)
    batch = [jnp.take(leaf, chosen, axis, mode="clip") for leaf, axis in zip(leaves, plan.axes, strict=True)]
    if plan.mesh is not None:
        batch = [shard_batch(leaf, plan.mesh, axis=axis) for leaf, axis in zip(batch, plan.axes, strict=True)]
    return jax.tree.unflatten(structure, batch)


def _update(plan: Plan, state: State, step, batch, key: jax.Array) -> State:
    def loss(params):
        return (plan.loss(params, batch, key), None) if state.carry is None else plan.loss(params, state.carry, batch, key)

    (value, carry), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    with _promotion_allowed():
        updates, opt_state = optax.with_extra_args_support(plan.optimizer).update(
            gradient, state.opt_state, state.params, value=value, grad=gradient, value_fn=lambda params: loss(params)[0]
        )
        params = optax.apply_updates(state.params, updates)
    running, sound = is_running(plan, state), jnp.isfinite(value)
    good = sound & jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]))
    taken = running & good
    seen = jnp.where(running, value.astype(state.best_loss.dtype), jnp.nan)
    return State(
        _where(taken, params, state.params),
        _where(taken, opt_state, state.opt_state),
        _where(taken, carry, state.carry),
        best=_where(running & sound & jnp.isinf(state.best_loss), _averaged(plan, state), state.best),
        best_loss=state.best_loss,
        waited=state.waited,
        steps=state.steps + taken.astype(jnp.int32),
        diverged=state.diverged | (running & ~good),
        history=state.history._replace(loss=state.history.loss.at[step].set(seen)),
    )


def _validate(plan: Plan, state: State, step) -> State:
    params, running = _averaged(plan, state), is_running(plan, state)
    value = plan.validation(params).astype(state.best_loss.dtype)
    better = running & (value < state.best_loss)
    seen = state.history.validation.at[step // plan.validate_every].set(jnp.where(running, value, jnp.nan))
    return state._replace(
        best=_where(better, params, state.best),
        best_loss=jnp.where(better, value, state.best_loss),
        waited=jnp.where(better, 0, state.waited + running.astype(jnp.int32)),
        history=state.history._replace(validation=seen),
    )


def _averaged(plan: Plan, state: State):
    return state.params if plan.average is None else plan.average(state.opt_state, state.params)


def _where(condition, new, old):
    return jax.tree.map(partial(jnp.where, condition), new, old)


@contextmanager
def _promotion_allowed():
    """For Optax, which mixes dtypes and ranks where the caller may have forbidden it."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
