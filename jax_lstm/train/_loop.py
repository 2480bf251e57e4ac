"""The pure part of training: the state before the first step, steps as one compiled loop, and the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jax_lstm._annotations import Array, Bool, Float, Int, Key, PyTree
from jax_lstm.parallel import replicate, shard_batch
from jax_lstm.train._batches import draw, initial_order
from jax_lstm.train._returned import loss_and_carry, same_tree, scalar
from jax_lstm.train._types import Best, Fitted, History, Plan, State, Validation


def start(plan: Plan, params: PyTree, carry: PyTree, steps: int) -> State:
    """The state before the first step, with room for the history of `steps` steps."""
    state = _over_members(plan, partial(_start_member, plan, steps))(*jax.tree.map(jnp.asarray, (params, carry)))
    # no weak types: the first step would return strong ones, and the second compile again; keys have no weak type
    strong: State = jax.tree.map(
        lambda leaf: leaf.astype(leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.number) else leaf, state
    )
    return strong


def spread(plan: Plan, state: State) -> State:
    """The state on the mesh: the carry sharded over the batch, everything else replicated."""
    if plan.mesh is None:
        return state
    carry = shard_batch(state.carry, plan.mesh, axis=int(plan.vectorized))
    replicated: State = replicate(state._replace(carry=None), plan.mesh)
    return replicated._replace(carry=carry)


def advance(
    plan: Plan,
    state: State,
    begin: int | Int[Array, ""],
    end: int | Int[Array, ""],
    key: Key[Array, "*members"],
    data: PyTree,
    carry: PyTree,
) -> State:
    """The state after the steps from `begin` to `end`; the same bits however a run is divided into calls.

    Args:
        plan: the static configuration.
        state: the state before step `begin`.
        begin, end: traced integers compile one loop for any number of steps; concrete ones give one that can be
            differentiated.
        key: the key of the run, or the keys of its members.
        data: the arrays, or the one batch of this step.
        carry: the initial carry of a stream in memory.
    """

    def body(step: Any, state: State, order: Array, key: Array, carry: PyTree) -> tuple[State, Array]:
        order_key, step_key = jax.random.fold_in(key, 0), jax.random.fold_in(jax.random.fold_in(key, 1), step)
        batch, order, restart = draw(plan.batches, data, step, step == begin, order, order_key, plan.mesh)
        if restart is not None:
            state = state._replace(carry=_where(restart, carry, state.carry))
        state = _update(plan, state, step, batch, step_key)
        if plan.validation is not None:
            due = (step + 1) % plan.validation.every == 0
            state = jax.lax.cond(due, partial(_validate, plan, plan.validation), lambda state, step: state, state, step)
        return state, order

    members: Callable[..., Any] = jax.vmap(body, (None, 0, 0, 0, 0)) if plan.vectorized else body
    order = initial_order(plan.batches, data, key.shape)
    state, _ = jax.lax.fori_loop(begin, end, lambda step, values: members(step, *values, key, carry), (state, order))
    return spread(plan, state)


def is_running(plan: Plan, state: State) -> Bool[Array, "*members"]:
    """Whether a run takes another step: it has not diverged, and its patience is not exhausted."""
    if plan.validation is None or plan.validation.patience is None or state.best is None:
        return ~state.diverged
    return ~state.diverged & (state.best.waited < plan.validation.patience)


def finish(plan: Plan, state: State) -> Fitted[Any]:
    """The result of a run."""
    fitted: Fitted[Any] = _over_members(plan, partial(_finish_member, plan))(state)
    return fitted


def _over_members(plan: Plan, function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.vmap(function) if plan.vectorized else function


def _start_member(plan: Plan, steps: int, params: PyTree, carry: PyTree) -> State:
    dtype = jnp.result_type(float)
    with _promotion_allowed():
        opt_state = plan.optimizer.init(params)
    best, validation = None, None
    if plan.validation is not None:
        best = Best(params, jnp.full((), jnp.inf, dtype), jnp.zeros((), jnp.int32))
        validation = jnp.full(steps // plan.validation.every, jnp.nan, dtype)
    return State(
        params,
        opt_state,
        carry,
        finite=params,
        best=best,
        steps=jnp.zeros((), jnp.int32),
        diverged=jnp.zeros((), bool),
        history=History(jnp.full(steps, jnp.nan, dtype), validation),
    )


def _finish_member(plan: Plan, state: State) -> Fitted[Any]:
    params = _where(state.diverged, state.finite, _averaged(plan, state))
    if state.best is not None:
        params = _where(jnp.isfinite(state.best.loss), state.best.params, params)
    return Fitted(params, state.history, state.steps, state.diverged, state.opt_state, state.carry)


def _update(plan: Plan, state: State, step: Any, batch: PyTree, key: Key[Array, ""]) -> State:
    """One step of the optimizer, taken only if the run continues and the loss and the new parameters are finite."""
    value, carry, params, opt_state = _propose(plan, state, batch, key)
    running, finite_loss = is_running(plan, state), jnp.isfinite(value)
    good = finite_loss & jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]))
    taken = running & good
    losses = state.history.loss
    recorded = jnp.where(running, value.astype(losses.dtype), jnp.nan)
    return state._replace(
        params=_where(taken, params, state.params),
        opt_state=_where(taken, opt_state, state.opt_state),
        carry=_where(taken, carry, state.carry),
        finite=_where(running & finite_loss, _averaged(plan, state), state.finite),
        steps=state.steps + taken.astype(jnp.int32),
        diverged=state.diverged | (running & ~good),
        history=state.history._replace(loss=losses.at[step].set(recorded)),
    )


def _propose(
    plan: Plan, state: State, batch: PyTree, key: Key[Array, ""]
) -> tuple[Float[Array, ""], PyTree, PyTree, optax.OptState]:
    """The loss and the carry after the batch, and the parameters and optimizer's state that its gradient leads to."""

    def loss(params: PyTree) -> tuple[Float[Array, ""], PyTree]:
        if state.carry is None:
            return scalar("loss", plan.loss(params, batch, key)), None
        return loss_and_carry(plan.loss(params, state.carry, batch, key), state.carry)

    (value, carry), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    with _promotion_allowed():
        updates, opt_state = optax.with_extra_args_support(plan.optimizer).update(
            gradient, state.opt_state, state.params, value=value, grad=gradient, value_fn=lambda params: loss(params)[0]
        )
        params = optax.apply_updates(state.params, updates)
    return value, carry, params, opt_state


def _validate(plan: Plan, validation: Validation, state: State, step: Any) -> State:
    """The state with the validation loss of the present parameters recorded and compared with the best."""
    best, losses = state.best, state.history.validation
    assert best is not None
    assert losses is not None
    params, running = _averaged(plan, state), is_running(plan, state)
    value = scalar("validation", validation.loss(params)).astype(best.loss.dtype)
    better = running & (value < best.loss)
    return state._replace(
        best=Best(
            _where(better, params, best.params),
            jnp.where(better, value, best.loss),
            jnp.where(better, 0, best.waited + running.astype(jnp.int32)),
        ),
        history=state.history._replace(
            validation=losses.at[step // validation.every].set(jnp.where(running, value, jnp.nan))
        ),
    )


def _averaged(plan: Plan, state: State) -> PyTree:
    if plan.average is None:
        return state.params
    average = plan.average(state.opt_state, state.params)
    same_tree("what average returned", average, "params", state.params)
    return average


def _where(condition: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(partial(jnp.where, condition), new, old)


@contextmanager
def _promotion_allowed() -> Iterator[None]:
    """For Optax, which mixes dtypes and ranks where the caller may have forbidden it."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
