"""`fit`: prepares the arguments, then calls the compiled loop for some steps at a time, with checkpoints between."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import jax
import numpy as np
import optax

from jax_lstm._annotations import Array, Key, PyTree
from jax_lstm.parallel import replicate
from jax_lstm.train import _checks, _loop
from jax_lstm.train._checkpoints import Store
from jax_lstm.train._data import batches_from, come_in_batches, place_arrays, place_batch
from jax_lstm.train._progress import showing
from jax_lstm.train._returned import check_function, check_optimizer, hashable
from jax_lstm.train._types import Checkpoints, Fitted, Params, Plan, State


def fit(
    loss: Callable[..., Any],
    params: Params,
    data: Any,
    optimizer: optax.GradientTransformation,
    *,
    key: Key[Array, "*members"],
    steps: int,
    batch_size: int | None = None,
    batch_axis: Any = None,
    carry: Any = None,
    chunk: int | None = None,
    validation: Callable[[Params], Any] | None = None,
    validate_every: int = 100,
    patience: int | None = None,
    average: Callable[[Any, Params], Params] | None = None,
    mesh: jax.sharding.Mesh | None = None,
    checkpoints: Checkpoints | None = None,
    progress: bool | None = None,
) -> Fitted[Params]:
    """Minimize a loss: `steps` steps of an Optax transformation, compiled as one loop.

    The result is a pure function of the arguments: the same key gives the same bits. `fit` may be called inside `jit`
    and under `vmap` (over seeds, learning rates, data sets); it then shows no progress. With keys `(n,)` it trains n
    members side by side, with progress: `params`, `carry` and everything returned have a leading axis of n, while the
    data are shared and each member draws its own minibatches.

    **Compilation.** The loop is compiled once for each combination of functions, optimizer, options and shapes; later
    calls with the same ones share it. Functions and optimizers are compared by identity, so a `lambda`, or an optimizer
    made inline, as in `fit(…, optax.adam(1e-3))`, compiles again at every call. To call `fit` many times, make both
    once, before the calls. As in `jax.jit`, arrays that a function holds are read when it is compiled, not later.

    Args:
        loss: `(params, batch, key) -> ()`, the mean over the batch; for a stream
            `(params, carry, chunk, key) -> ((), carry)`. Any callable; an `equinox.Module` with arrays is one.
        params: any tree of float arrays.
        data: a tree of arrays in memory; or, for what memory does not hold, an iterable of batches, or a function
            `step -> iterable`. Each batch is one step, and each new shape of batch compiles once. An iterator must have
            enough batches; any other iterable, such as a data loader, is iterated again when it ends, so that one pass
            over it is an epoch. A resumed run draws and drops the batches it has already used: the same ones, unless
            the iterable shuffles by a random state of its own. A function can start at its step instead. With several
            processes, arrays are the same in all of them, and each iterable gives the share of its own process.
        optimizer: any Optax transformation; clipping, schedules and weight decay are chained into it.
        key: a key of `jax.random`, or several `(n,)`. Step t uses a key that depends only on `key` and t.
        steps: how many steps.
        batch_size: rows per step, drawn without replacement in every epoch; rows that do not fill a batch are left out
            until the next epoch. None takes all rows at every step.
        batch_axis: the axis of the rows in the arrays: an integer, or a tree of integers that is a prefix of `data`, as
            in `vmap`. Given wherever `batch_size` or `mesh` is: sequences of this package have time first, rows second.
        carry: the initial carry of a stream. Each step then takes the next `chunk` time steps of `data` (time first),
            and the carry of the last chunk, through which no gradient flows: back-propagation truncated at the chunk.
            After the last whole chunk the stream starts again, from `carry`.
        chunk: time steps per chunk.
        validation: `params -> ()`, the loss on held-out data; the parameters with the lowest one are returned.
        validate_every: steps between validations.
        patience: stop after this many validations in a row without a lower loss; None never stops early.
        average: `(opt_state, params) -> params`, what is validated and returned instead of `params`: an average that
            the optimizer keeps, as in `optax.contrib.schedule_free_eval_params`.
        mesh: devices to spread the batch over, as from `jax_lstm.parallel.batch_mesh()`; everything else is replicated.
        checkpoints: `Checkpoints(folder, every, keep)`. A run that finds its own checkpoints in the folder resumes from
            the newest, and ends with the same bits as an uninterrupted run; with more `steps` it continues. Two runs at
            the same time in one folder are refused.
        progress: whether to show the steps per second, the loss and the time left; None shows them on a terminal.

    Returns:
        `Fitted(params, history, steps, diverged, opt_state, carry)`. A loss that becomes infinite or NaN ends the run
        of its member with the last parameters whose loss was finite, `diverged` true and a warning that names the step.

    Raises:
        ValueError, TypeError: arguments that do not fit, a checkpoint of another run, a folder in use by another run.
        OSError: a checkpoint that could not be written; the one before it is intact.
        ImportError: checkpoints or progress asked for, and not installed.

    >>> import jax, jax.numpy as jnp, optax
    >>> x = jnp.array([1.0, 2.0, 3.0])
    >>> def loss(w, x, key):
    ...     return jnp.mean((4 * x - w * x) ** 2)
    >>> fitted = fit(loss, jnp.zeros(()), x, optax.adam(0.1), key=jax.random.key(0), steps=200)
    >>> fitted.params.round(3).item(), fitted.history.loss.shape
    (4.0, (200,))
    """
    steps, validate_every = _checks.as_count("steps", steps), _checks.as_count("validate_every", validate_every)
    batch_size, chunk = _checks.as_count_or_none("batch_size", batch_size), _checks.as_count_or_none("chunk", chunk)
    patience = _checks.as_count_or_none("patience", patience)
    checkpoints = _checks.as_checkpoints(checkpoints)
    check_optimizer(optimizer)
    if validation is not None:
        check_function("validation", validation, ("params",))
    if average is not None:
        check_function("average", average, ("opt_state", "params"))
    key = _checks.as_keys(key)
    _checks.check_params(params)
    _checks.check_members(params, "params", key)
    _checks.check_members(carry, "carry", key)
    _checks.check_mesh(mesh, batch_size, batch_axis)
    batches = _checks.as_batches(data, batch_axis, batch_size, carry, chunk)
    check_function("loss", loss, ("params", "batch", "key") if carry is None else ("params", "carry", "chunk", "key"))
    plan = Plan(
        hashable(loss),
        optimizer,
        batches,
        _checks.as_validation(hashable(validation), validate_every, patience, steps),
        hashable(average),
        mesh,
        vectorized=key.ndim == 1,
    )
    in_batches = come_in_batches(data)
    state = _start(plan, params, carry, steps)
    if _is_traced((state, key, None if in_batches else data)):
        return _fit_traced(plan, state, key, data, steps, checkpoints)
    state, key = _loop.spread(plan, state), key if mesh is None else replicate(key, mesh)
    arrays = None if in_batches else place_arrays(data, batch_axis, mesh, whole=batch_size is not None)
    # run zero steps to detect tracers captured by loss or optimizer, such as a learning rate
    if not in_batches and _is_traced(_advance(plan, state, 0, 0, key, arrays, state.carry)):
        return _fit_traced(plan, state, key, data, steps, checkpoints)

    with ExitStack() as stack:
        store, done, initial = None, 0, state.carry
        if checkpoints is not None:
            run = _checks.describe(
                state, key, arrays, batch_size=batch_size, chunk=chunk, validate_every=validate_every
            )
            store = stack.enter_context(closing(Store(checkpoints, run, validate_every)))
            done, state = store.restore(state)
        drawn = batches_from(data, done, steps) if in_batches else None

        def advance(state: State, begin: int, end: int) -> State:
            if drawn is None:
                state = _advance(plan, state, begin, end, key, arrays, initial)
                return state
            for step in range(begin, end):
                batch = place_batch(next(drawn), batch_axis, mesh)
                state = _advance(plan, state, step, step + 1, key, batch, initial)
            return state

        show = stack.enter_context(showing(progress, steps, done))
        state = _run(plan, state, done, steps, advance, store, show)
    fitted: Fitted[Params] = _finish(plan, state)
    _warn_of_divergence(fitted)
    return fitted


_advance = jax.jit(_loop.advance, static_argnums=0)
_start = jax.jit(_loop.start, static_argnums=(0, 3))
_finish = jax.jit(_loop.finish, static_argnums=0)


def _fit_traced(
    plan: Plan, state: State, key: Array, data: PyTree, steps: int, checkpoints: Checkpoints | None
) -> Fitted[Any]:
    """All steps as a part of the transformation that `fit` is called in."""
    if come_in_batches(data) or checkpoints is not None:
        raise ValueError(
            "inside jit or vmap, fit keeps no checkpoints and takes no iterable of batches: call it outside, or without"
        )
    fitted: Fitted[Any] = _finish(plan, _loop.advance(plan, state, 0, steps, key, data, state.carry))
    return fitted


def _run(
    plan: Plan,
    state: State,
    done: int,
    steps: int,
    advance: Callable[[State, int, int], State],
    store: Store | None,
    show: Callable[[int, Any], None],
) -> State:
    """The state after all steps, or after all members have stopped; shows progress and saves checkpoints on the way."""
    running = _any_running(plan, state)
    while done < steps and running:
        begin, done = done, min(done + max(1, steps // 100), steps)
        if store is not None:
            done = min(done, begin - begin % store.every + store.every)
        state = advance(state, begin, done)
        running = _any_running(plan, state)
        if store is not None and (done % store.every == 0 or done == steps or not running):
            store.save(done, state)
        show(done, state.history.loss)
    return state


def _is_traced(tree: PyTree) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _any_running(plan: Plan, state: State) -> bool:
    return bool(np.any(_loop.is_running(plan, state)))


def _warn_of_divergence(fitted: Fitted[Any]) -> None:
    """A warning that names the step, and the member, whose loss or parameters are not finite."""
    diverged, steps = np.asarray(fitted.diverged), np.asarray(fitted.steps)
    if not diverged.any():
        return
    where = f"step {steps + 1}"
    if diverged.ndim:
        where = ", ".join(f"step {steps[n] + 1} of member {n}" for n in np.flatnonzero(diverged))
    warnings.warn(
        f"the loss or the parameters ceased to be finite in {where}: stopped there, with the last good parameters",
        RuntimeWarning,
        stacklevel=3,
    )
