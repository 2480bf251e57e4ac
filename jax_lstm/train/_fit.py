"""`fit`: prepares the arguments, then calls the compiled loop for some steps at a time, with checkpoints between."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax

from jax_lstm.parallel import replicate
from jax_lstm.train import _checks, _loop
from jax_lstm.train._checkpoints import Store
from jax_lstm.train._data import batches_from, come_in_batches, place_arrays, place_batch
from jax_lstm.train._progress import showing
from jax_lstm.train._types import Checkpoints, Fitted, Params, Plan, State

if TYPE_CHECKING:
    from jaxtyping import Array, Key, PyTree


def fit(
    loss: Callable[..., Any],
    params: Params,
    data: Any,
    optimizer: optax.GradientTransformation,
    *,
    key: Key[Array, "*members"],
    steps: int,
    batch_size: int | None = None,
    batch_axis: Any = 0,
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
    """Minimise a loss: `steps` steps of an Optax transformation, compiled as one loop.

    The result is a pure function of the arguments: the same key gives the same bits. `fit` may be called inside `jit`
    and under `vmap` (over seeds, learning rates, data sets); it then shows no progress. With keys `(n,)` it trains n
    members side by side, with progress: `params`, `carry` and everything returned have a leading axis of n, while the
    data are shared and each member draws its own minibatches.

    **Compilation.** The loop is compiled once for each combination of functions, optimiser, options and shapes; later
    calls with the same ones share it. Functions and optimisers are compared by identity, so a `lambda`, or an optimiser
    made inline, as in `fit(…, optax.adam(1e-3))`, compiles anew at every call. To call `fit` many times, make both
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
        key: a key of `jax.random`, or several `(n,)`. Step t uses a key that depends on `key` and t alone.
        steps: how many steps.
        batch_size: rows per step, drawn without replacement in every epoch; rows that do not fill a batch are left out
            until the next epoch. None takes all rows at every step.
        batch_axis: the axis of the rows in the arrays: an integer, or a tree of integers that is a prefix of `data`, as
            in `vmap`.
        carry: the initial carry of a stream. Each step then takes the next `chunk` time steps of `data` (time first),
            and the carry of the last chunk, through which no gradient flows: back-propagation truncated at the chunk.
            After the last whole chunk the stream starts again, from `carry`.
        chunk: time steps per chunk.
        validation: `params -> ()`, the loss on held-out data; the parameters of the least one are returned.
        validate_every: steps between validations.
        patience: stop after this many validations in a row without a lower loss; None never stops early.
        average: `(opt_state, params) -> params`, what is validated and returned in place of `params`: an average that
            the optimiser keeps, as in `optax.contrib.schedule_free_eval_params`.
        mesh: devices to spread the batch over, as from `jax_lstm.parallel.batch_mesh()`; everything else is replicated.
        checkpoints: `Checkpoints(folder, every, keep)`. A run that finds its own checkpoints in the folder resumes from
            the newest, and ends with the same bits as an uninterrupted run; with more `steps` it continues.
        progress: whether to show the steps per second, the loss and the time left; None shows them on a terminal.

    Returns:
        `Fitted(params, history, steps, diverged, opt_state, carry)`. A loss that becomes infinite or NaN ends the run
        of its member with the last parameters whose loss was finite, `diverged` true and a warning that names the step.

    Raises:
        ValueError, TypeError: arguments that do not fit, a checkpoint of another run.
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
    _checks.check_counts(
        steps=steps, batch_size=batch_size, chunk=chunk, validate_every=validate_every, patience=patience
    )
    _checks.check_checkpoints(checkpoints)
    key = _checks.as_keys(key)
    _checks.check_params(params)
    _checks.check_members(params, "params", key)
    _checks.check_members(carry, "carry", key)
    _checks.check_mesh(mesh, batch_size)
    plan = Plan(
        hashable(loss),
        optimizer,
        _checks.as_batches(data, batch_axis, batch_size, carry, chunk),
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
    # no steps: are there tracers in what the functions close over, such as a learning rate?
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
        batches = batches_from(data, done, steps) if in_batches else None

        def advance(state: State, begin: int, end: int) -> State:
            if batches is None:
                state = _advance(plan, state, begin, end, key, arrays, initial)
                return state
            for step in range(begin, end):
                batch = place_batch(next(batches), batch_axis, mesh)
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


class ByIdentity:
    """A callable that is equal to itself alone, in place of one that has no hash."""

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """What the callable returns."""
        return self._function(*arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and other._function is self._function

    def __hash__(self) -> int:
        return id(self._function)


def hashable(function: Any) -> Any:
    """A callable that can be part of a `Plan`; an `equinox.Module` with arrays, for one, has no hash."""
    try:
        hash(function)
    except TypeError:
        return ByIdentity(function)
    return function


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
