"""`fit`: the loop that drives the compiled stretches, with progress on the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_lstm.parallel import replicate, shard_batch
from jax_lstm.train import _loop
from jax_lstm.train._loop import Fitted, Plan
from jax_lstm.train._progress import showing


def fit(
    loss: Callable,
    params,
    data,
    optimizer: optax.GradientTransformation,
    *,
    key: jax.Array,
    steps: int,
    batch_size: int | None = None,
    batch_axis: Any = 0,
    carry: Any = None,
    chunk: int | None = None,
    validation: Callable | None = None,
    validate_every: int = 100,
    patience: int | None = None,
    average: Callable | None = None,
    mesh: jax.sharding.Mesh | None = None,
    progress: bool | None = None,
) -> Fitted:
    """Parameters that make a loss small: `steps` steps of an Optax transformation, compiled as one loop.

    The outcome is a pure function of the arguments: the same key gives the same bits. `fit` may be called inside `jit` and under
    `vmap` (over seeds, learning rates, data sets); it then says nothing on the way. With keys `(n,)` it trains n members side by side,
    with progress: `params`, `carry` and all that is returned have an axis of n in front, while the data are shared and each
    member draws its own minibatches.

    Args:
        loss: `(params, batch, key) -> ()`, the mean over the batch; for a stream `(params, carry, chunk, key) -> ((), carry)`.
        params: any tree of float arrays.
        data: a tree of arrays.
        optimizer: any Optax transformation; clipping, schedules and weight decay are chained into it.
        key: a key of `jax.random`, or several `(n,)`. Step t sees a key that depends on `key` and t alone.
        steps: how many steps.
        batch_size: rows drawn for a step, every row once an epoch in an order drawn anew, less the rest that fills no batch;
            None takes all rows at every step.
        batch_axis: where in the arrays the rows are: a number, or a tree of numbers for parts of `data`, as in `vmap`.
        carry: what a stream starts from. Each step then takes the next `chunk` time steps of `data` (time first), and the carry of the
            last chunk, through which no gradient flows: back-propagation truncated at the chunk. After the last whole chunk the
            stream starts again, from `carry`.
        chunk: the time steps in a chunk.
        validation: `params -> ()`, the loss on data held out; the parameters of the least one are returned.
        validate_every: steps between validations.
        patience: stop after so many validations in a row without a new least one; None never stops early.
        average: `(opt_state, params) -> params`, what is validated and returned in place of `params`: an average that the optimiser
            keeps, as in `optax.contrib.schedule_free_eval_params`.
        mesh: devices to spread the batch over, as from `jax_lstm.parallel.batch_mesh()`; everything else is on all of them.
        progress: whether to show the steps per second, the loss and the time left; None shows them on a terminal.

    Returns:
        `Fitted(params, history, steps, diverged, opt_state, carry)`. A loss that becomes infinite or NaN ends the run of its member
        with the last good parameters, `diverged` true and a warning that names the step.

    >>> import jax, jax.numpy as jnp, optax
    >>> x = jnp.array([1.0, 2.0, 3.0])
    >>> fitted = fit(lambda w, x, key: jnp.mean((4 * x - w * x) ** 2), jnp.zeros(()), x, optax.adam(0.1), key=jax.random.key(0), steps=200)
    >>> fitted.params.round(3).item(), fitted.history.loss.shape
    (4.0, (200,))
    """
    axes = tuple(jax.tree.leaves(jax.tree.broadcast(batch_axis, data)))
    plan = Plan(loss, optimizer, batch_size, chunk, axes, validation, validate_every, patience, average, mesh)
    members = jax.vmap if key.ndim else lambda function: function
    state = members(lambda params, carry: _loop.start(plan, params, carry, steps))(params, carry)
    finish = members(partial(_loop.finish, plan))
    if _traced((params, data, key, carry)):
        return finish(_loop.advance(plan, state, 0, steps, key, data, carry))
    data = _place(data, plan)
    if mesh is not None:
        state, key = replicate((state, key), mesh)
    state = _advance(plan, state, 0, 0, key, data, carry)
    if _traced(state):  # what is traced, a learning rate perhaps, stands in the functions
        return finish(_loop.advance(plan, state, 0, steps, key, data, carry))
    done, stretch = 0, max(1, steps // 100)
    with showing(progress, steps, done) as show:
        while done < steps and bool(np.any(_loop.is_running(plan, state))):
            state = _advance(plan, state, done, end := min(done + stretch, steps), key, data, carry)
            done = end
            show(done, state.history.loss[..., done - 1])
    fitted = finish(state)
    if np.any(fitted.diverged):
        first = int(np.min(np.asarray(fitted.steps)[np.asarray(fitted.diverged)])) + 1
        warnings.warn(f"the loss or the parameters are not finite after step {first}: stopped with the last good ones", stacklevel=2)
    return fitted


_advance = partial(jax.jit, static_argnums=0)(_loop.advance)


def _traced(tree) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _place(data, plan: Plan):
    """Whole arrays to draw from go to every device, what every step takes as it is goes in shares."""
    if plan.mesh is None:
        return jax.tree.map(jnp.asarray, data)
    if plan.batch_size:
        return replicate(data, plan.mesh)
    leaves, structure = jax.tree.flatten(data)
    return jax.tree.unflatten(structure, [shard_batch(leaf, plan.mesh, axis=axis) for leaf, axis in zip(leaves, plan.axes, strict=True)])
