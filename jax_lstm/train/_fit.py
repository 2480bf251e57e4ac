"""`fit`: the arguments made ready, and the compiled stretches driven one after the other, with progress and checkpoints between."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_lstm.parallel import replicate
from jax_lstm.train import _checks, _loop
from jax_lstm.train._checkpoints import Checkpoints, Store
from jax_lstm.train._data import batches_from, come_in_batches, place_arrays, place_batch
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
    checkpoints: Checkpoints | None = None,
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
        data: a tree of arrays; or, for what memory does not hold, an iterator of batches, or a function of the step to start from that
            makes one. A run that goes on draws from an iterator what it had drawn before; a function can skip that. With several
            processes, arrays are the same in all of them, and each iterator gives the share of its own process.
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
        checkpoints: `Checkpoints(folder, every, keep)`. A run that finds checkpoints of its own in the folder goes on from the newest, and
            ends with the same bits as one that was never stopped; with more `steps` it goes on further.
        progress: whether to show the steps per second, the loss and the time left; None shows them on a terminal.

    Returns:
        `Fitted(params, history, steps, diverged, opt_state, carry)`. A loss that becomes infinite or NaN ends the run of its member
        with the last good parameters, `diverged` true and a warning that names the step.

    Raises:
        ValueError, TypeError: arguments that do not fit, a checkpoint of another run. OSError: a checkpoint that could not be written;
        the last good one is as it was. ImportError: checkpoints or progress asked for, and not installed.

    >>> import jax, jax.numpy as jnp, optax
    >>> x = jnp.array([1.0, 2.0, 3.0])
    >>> fitted = fit(lambda w, x, key: jnp.mean((4 * x - w * x) ** 2), jnp.zeros(()), x, optax.adam(0.1), key=jax.random.key(0), steps=200)
    >>> fitted.params.round(3).item(), fitted.history.loss.shape
    (4.0, (200,))
    """
    _checks.check_counts(steps=steps, batch_size=batch_size, chunk=chunk, validate_every=validate_every, patience=patience)
    _checks.check_options(steps, validation, validate_every, patience, checkpoints)
    key = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
    _checks.check_params(params)
    _checks.check_members(params, "params", key)
    _checks.check_members(carry, "carry", key)
    in_batches = come_in_batches(data)
    axes = () if in_batches else tuple(jax.tree.leaves(jax.tree.broadcast(batch_axis, data)))
    _checks.check_data(data, axes, batch_size, carry, chunk, mesh)

    plan = Plan(loss, optimizer, batch_size, chunk, axes, validation, validate_every, patience, average, mesh, members=key.ndim == 1)
    state = _start(plan, params, carry, steps)
    arrays = None if in_batches else data
    traced = _traced((state, key, arrays))
    if not traced:
        state, key = _loop.spread(plan, state), key if mesh is None else replicate(key, mesh)
        if not in_batches:
            arrays = place_arrays(data, batch_axis, mesh, whole=batch_size is not None)
            traced = _traced(_advance(plan, state, 0, 0, key, arrays, state.carry))  # a learning rate, say, inside the functions
    if traced:
        if in_batches or checkpoints is not None:
            raise ValueError("inside jit or vmap, fit keeps no checkpoints and takes no iterator: call it outside, or without them")
        return _finish(plan, _loop.advance(plan, state, 0, steps, key, data, state.carry))

    initial, source = state.carry, None
    with ExitStack() as stack:
        done, store = 0, None
        if checkpoints is not None:
            run = _checks.describe(state, key, arrays, batch_size=batch_size, chunk=chunk, validate_every=validate_every)
            store = stack.enter_context(closing(Store(checkpoints, run, validate_every)))
            done, state = store.restore(state)
        if in_batches:
            source = batches_from(data, done, steps)
        show = stack.enter_context(showing(progress, steps, done))
        running = _running(plan, state)
        while done < steps and running:
            begin, done = done, min(done + max(1, steps // 100), steps)
            if checkpoints is not None:
                done = min(done, begin - begin % checkpoints.every + checkpoints.every)
            if source is None:
                state = _advance(plan, state, begin, done, key, arrays, initial)
            else:
                for step in range(begin, done):
                    batch = place_batch(next(source), batch_axis, mesh)
                    state = _advance(plan, state, step, step + 1, key, batch, initial)
            running = _running(plan, state)
            if store and checkpoints and (done % checkpoints.every == 0 or done == steps or not running):
                store.save(done, state)
            show(done, state.history.loss)
    fitted = _finish(plan, state)
    _warn_of_divergence(fitted)
    return fitted


_advance = jax.jit(_loop.advance, static_argnums=0)
_start = jax.jit(_loop.start, static_argnums=(0, 3))
_finish = jax.jit(_loop.finish, static_argnums=0)


def _traced(tree) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _running(plan: Plan, state: _loop.State) -> bool:
    return bool(np.any(_loop.is_running(plan, state)))


def _warn_of_divergence(fitted: Fitted) -> None:
    """Say which step, of which members, made a loss or parameters that are not finite."""
    diverged, steps = np.asarray(fitted.diverged), np.asarray(fitted.steps)
    if diverged.any():
        where = (
            f"step {steps + 1}" if diverged.ndim == 0 else ", ".join(f"step {steps[n] + 1} of member {n}" for n in np.flatnonzero(diverged))
        )
        warnings.warn(
            f"the loss or the parameters ceased to be finite in {where}: stopped there, with the last good parameters",
            RuntimeWarning,
            stacklevel=3,
        )
