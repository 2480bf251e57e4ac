"""One layer over time, or a stack in one call: the arguments are checked and brought into one form, then a schedule
runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm import _check_calls, _checks
from jax_lstm._sharding import over_batch, placed
from jax_lstm._step import Shared, Steps, zero_padding
from jax_lstm._types import Carry, Layer, Params, Trace, Zoneout, directions, memory
from jax_lstm.schedules import SCHEDULES, Choice, choose, describe, platform_of, run_schedule
from jax_lstm.schedules.kernels.cudnn import cudnn_stack
from jax_lstm.schedules.scan import scan_trace

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Integer


NO_FORWARD_MODE = 'schedule="{}" has no forward mode (jvp, jacfwd): ask for schedule="scan"'


class _Inputs(NamedTuple):
    """The arguments of a layer over time, as `lstm` documents them."""

    xs: Any
    carry: Carry | None = None
    lengths: Any = None
    mask: Any = None
    resets: Any = None
    reset_to: Carry | None = None
    recurrent_mask: Any = None
    zoneout: Zoneout | None = None


def lstm(
    params: Params,
    xs: Float[Array, "time *batch features"],
    carry: Carry | None = None,
    *,
    lengths: Integer[Array, "*batch"] | None = None,
    mask: Bool[Array, "time *batch"] | None = None,
    resets: Bool[Array, "time *batch"] | None = None,
    reset_to: Carry | None = None,
    reverse: bool = False,
    recurrent_mask: Float[Array, "*batch out"] | None = None,
    zoneout: Zoneout | None = None,
    schedule: str = "auto",
) -> tuple[Carry, Float[Array, "time *batch out"]]:
    """One LSTM layer over a sequence: `(params, xs, carry) -> (carry, hs)`.

    Args:
        params: the layer's weights.
        xs: the inputs `(time, *batch, features)`, with any number of batch axes.
        carry: the initial carry, `h (*batch, out)` and `c (*batch, hidden)`; zeros where None.
        lengths: integers `(*batch)`, how many steps of each sequence are valid, from the first on.
        mask: booleans `(time, *batch)`, true where a step is valid; holes are allowed. A step that is not valid holds
            the carry and emits zeros, and what stands in `xs` there reaches neither a value nor a gradient.
        resets: booleans `(time, *batch)`, true where a sequence starts anew: the carry is set to zeros, or to
            `reset_to`, before the step, whether the step is valid or not.
        reset_to: the carry that a reset puts back, where it is not zeros.
        reverse: take the steps from the last to the first; the outputs stay in the order of the inputs.
        recurrent_mask: a factor `(*batch, out)` on the hidden state, the same at all steps (variational dropout,
            `dropout_mask`).
        zoneout: which units keep their previous state, or how much of it.
        schedule: how the work is arranged, `"auto"` or one of `jax_lstm.schedules.SCHEDULES`; the result is the same up
            to rounding.

    Returns:
        The last carry, and the hidden states `(time, *batch, out)`; what is not used costs nothing under `jit`.

    Raises:
        ValueError: a shape or a value that does not fit, or a schedule that cannot run this call. TypeError: a dtype or
            a type that does not fit.

    Derivatives: every schedule has reverse mode (`jax.grad`, `jax.vjp`), also of a gradient (`jax.hessian`,
    Hessian-vector products). Forward mode of the layer itself (`jax.jvp`, `jax.jacfwd`) belongs to `"scan"` and
    `"unrolled"`; `"auto"` takes `"scan"` for it where it sees it, which it cannot below a `jax.jit` that is itself
    differentiated: ask for `schedule="scan"` there.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> params = init(jax.random.key(0), features=3, hidden=5)
    >>> carry, hs = lstm(params, jnp.ones((7, 2, 3)), lengths=jnp.array([7, 4]))
    >>> hs.shape, carry.h.shape, bool((hs[4:, 1] == 0).all())
    ((7, 2, 5), (2, 5), True)
    """
    params, inputs = _check(params, _Inputs(xs, carry, lengths, mask, resets, reset_to, recurrent_mask, zoneout))
    _checks.check_choice(schedule, "schedule", ("auto", *SCHEDULES))
    run = partial(_lstm, params, inputs, reverse=bool(reverse), platform=platform_of(inputs.xs))
    try:
        return run(schedule=schedule)
    except TypeError as error:
        if "forward-mode" not in str(error):
            raise
        if schedule == "auto":
            return run(schedule="scan")
        raise TypeError(NO_FORWARD_MODE.format(schedule)) from error


def stack_in_one_call(
    layers: Sequence[Layer], xs: jax.Array, carries: Any, lengths: Any, *, reverse: bool
) -> tuple[list[list[Carry]], jax.Array] | None:
    """A whole stack by one call of cuDNN: the last carries of each layer, one for each of its directions, and the last
    layer's hidden states.

    None where one call cannot run it: its layers differ in size or in the number of directions, or have something that
    cuDNN has not.
    """
    weights = [[params for _, params in directions(layer)] for layer in layers]
    count, flat = len(weights[0]), tuple(params for parts in weights for params in parts)
    _, inputs = _check(flat[0], _Inputs(xs, lengths=lengths))
    shared, steps, platform = Shared(Carry(xs, xs), lengths=inputs.lengths), Steps(inputs.xs), platform_of(inputs.xs)
    problems = [describe(params, shared, steps, reverse=reverse, platform=platform) for params in flat]
    uniform = all(len(parts) == count for parts in weights) and len({problem.hidden for problem in problems}) == 1
    if not uniform or any(SCHEDULES["cudnn"].unsupported(problem) for problem in problems):
        return None
    if carries is not None:
        carries = tuple(carry for parts in carries for _, carry in directions(parts))
    try:
        ends, hs = _stack(flat, inputs, carries, count=count, reverse=reverse)
    except TypeError as error:
        if "forward-mode" not in str(error):
            raise
        raise TypeError(NO_FORWARD_MODE.format("cudnn")) from error
    return [list(ends[first : first + count]) for first in range(0, len(ends), count)], hs


def trace(
    params: Params,
    xs: Float[Array, "time *batch features"],
    carry: Carry | None = None,
    *,
    lengths: Integer[Array, "*batch"] | None = None,
    mask: Bool[Array, "time *batch"] | None = None,
    resets: Bool[Array, "time *batch"] | None = None,
    reset_to: Carry | None = None,
    reverse: bool = False,
    recurrent_mask: Float[Array, "*batch out"] | None = None,
    zoneout: Zoneout | None = None,
) -> tuple[Carry, Trace]:
    """One LSTM layer, explained: as `lstm`, but the second value is the `Trace` of every step, with a leading time
    axis.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> params = init(jax.random.key(0), features=1, hidden=2)
    >>> carry, values = trace(params, jnp.ones((4, 1)))
    >>> values.forget_gate.shape, bool((values.hidden_state[-1] == carry.h).all())
    ((4, 2), True)
    """
    inputs = _Inputs(xs, carry, lengths, mask, resets, reset_to, recurrent_mask, zoneout)
    return _trace(*_check(params, inputs), reverse=bool(reverse))


def explain_schedule(
    params: Params,
    xs: Float[Array, "time *batch features"],
    carry: Carry | None = None,
    *,
    lengths: Integer[Array, "*batch"] | None = None,
    mask: Bool[Array, "time *batch"] | None = None,
    resets: Bool[Array, "time *batch"] | None = None,
    reset_to: Carry | None = None,
    reverse: bool = False,
    recurrent_mask: Float[Array, "*batch out"] | None = None,
    zoneout: Zoneout | None = None,
    platform: str | None = None,
) -> Choice:
    """What `schedule="auto"` would choose for a call of `lstm` on one device, why, and why not each other schedule.

    Args:
        params, xs, carry, lengths, mask, resets, reset_to, reverse, recurrent_mask, zoneout: as in `lstm`.
        platform: "cpu", "gpu" or "tpu"; that of `xs`, or JAX's default, where None.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> choice = explain_schedule(init(jax.random.key(0), features=1, hidden=2), jnp.ones((3, 1)), platform="gpu")
    >>> choice.schedule, choice.passed_over["scan"]
    ('unrolled', "JAX's own gradient of a loop makes the products of the weights' gradients at every step")
    """
    params, inputs = _check(params, _Inputs(xs, carry, lengths, mask, resets, reset_to, recurrent_mask, zoneout))
    platform = platform_of(inputs.xs) if platform is None else platform
    _checks.check_choice(platform, "platform", ("cpu", "gpu", "tpu"))

    choices: list[Choice] = []

    def arrange(params: Params, inputs: _Inputs) -> None:
        problem = describe(*_arrange(params, inputs), reverse=bool(reverse), platform=platform)
        choices.append(choose(problem))

    jax.eval_shape(arrange, params, inputs)  # shapes are all that it takes
    return choices[0]


def zero_carry(params: Params, batch_shape: tuple[int, ...] = (), dtype: Any = None) -> Carry:
    """A carry of zeros, `h (*batch_shape, out)` and `c (*batch_shape, hidden)`.

    Args:
        params: the layer, for its sizes.
        batch_shape: the batch axes; `()` for one sequence.
        dtype: that of the parameters where None.

    >>> import jax
    >>> from jax_lstm import init
    >>> zero_carry(init(jax.random.key(0), features=3, hidden=5), (2,)).c.shape
    (2, 5)
    """
    sizes = _checks.check_params(params)
    batch_shape = _checks.check_shape(batch_shape, "batch_shape")
    dtype = params.w_x.dtype if dtype is None else _checks.float_dtype(dtype)
    return Carry(*(jnp.zeros((*batch_shape, size), dtype) for size in (sizes.out, memory(params))))


def _check(params: Params, inputs: _Inputs) -> tuple[Params, _Inputs]:
    """The arguments as arrays, or a refusal."""
    zoneout = inputs.zoneout  # apart, as its rates stay Python numbers, whose values can be checked
    params, inputs = _checks.as_arrays((params, inputs._replace(zoneout=None)))
    xs = inputs.xs
    sizes = _check_calls.check_sequence(params, xs)
    if inputs.carry is not None:
        _checks.check_carry(inputs.carry, sizes, xs.shape[1:-1], xs.dtype)
    _check_calls.check_valid(inputs.lengths, inputs.mask, xs)
    if inputs.resets is not None:
        _check_calls.check_flags(inputs.resets, "resets", xs)
    if inputs.reset_to is not None:
        _checks.check_given_with(inputs.resets, "resets", "reset_to", "resets say when it is put back")
        _checks.check_carry(inputs.reset_to, sizes, xs.shape[1:-1], xs.dtype, "reset_to")
    if inputs.recurrent_mask is not None:
        _check_calls.check_recurrent_mask(inputs.recurrent_mask, sizes, xs)
    if zoneout is not None:
        _check_calls.check_zoneout(zoneout, params, sizes, xs)
    return params, inputs._replace(xs=placed(xs), zoneout=zoneout)


def _arrange(params: Params, inputs: _Inputs) -> tuple[Params, Shared, Steps]:
    """The arguments in the form that every schedule takes: what all steps share, and what differs from step to step."""
    xs, lengths, valid = inputs.xs, inputs.lengths, inputs.mask
    if lengths is not None:
        lengths = lengths.astype(jnp.int32)  # a small integer type may not hold the number of steps
        times = jnp.expand_dims(jnp.arange(xs.shape[0], dtype=jnp.int32), range(1, xs.ndim - 1))
        valid = times < lengths[None]
    drawn = shares = None
    if inputs.zoneout is not None:
        per_unit = [getattr(keep, "ndim", 0) > 0 for keep in inputs.zoneout]
        drawn = Zoneout(*(keep if has_axes else None for keep, has_axes in zip(inputs.zoneout, per_unit, strict=True)))
        shares = Zoneout(*(None if has_axes else keep for keep, has_axes in zip(inputs.zoneout, per_unit, strict=True)))
    carry = _zeros_beside(params, xs) if inputs.carry is None else inputs.carry
    shared = Shared(carry, inputs.recurrent_mask, shares, inputs.reset_to, lengths)
    return params, shared, Steps(xs, valid, inputs.resets, drawn)


def _zeros_beside(params: Params, xs: jax.Array) -> Carry:
    """A carry of zeros with the sharding and the manual axes of the batch of `xs`."""
    like = jnp.zeros_like(xs[0, ..., :1])
    return Carry(*(jnp.broadcast_to(like, (*like.shape[:-1], size)) for size in (params.out, memory(params))))


@partial(jax.jit, static_argnames=("reverse", "platform", "schedule"))
def _lstm(params: Params, inputs: _Inputs, *, reverse: bool, platform: str, schedule: str) -> tuple[Carry, jax.Array]:
    def run(params: Params, shared: Shared, steps: Steps) -> tuple[Carry, jax.Array]:
        problem = describe(params, shared, steps, reverse=reverse, platform=platform)
        return run_schedule(schedule, problem, params, shared, steps)

    return over_batch(run, *_arrange(params, inputs))


@partial(jax.jit, static_argnames=("count", "reverse"))
def _stack(
    weights: Any, inputs: _Inputs, carries: Any, *, count: int, reverse: bool
) -> tuple[tuple[Carry, ...], jax.Array]:
    def run(weights: Any, shared: Any, steps: Steps) -> tuple[tuple[Carry, ...], jax.Array]:
        return cudnn_stack(weights, shared.initial, shared.lengths, steps.x, directions=count, reverse=reverse)

    if carries is None:
        carries = tuple(_zeros_beside(params, inputs.xs) for params in weights)
    _, shared, steps = _arrange(weights[0], inputs)
    return over_batch(run, weights, shared._replace(initial=carries), zero_padding(steps))


@partial(jax.jit, static_argnames="reverse")
def _trace(params: Params, inputs: _Inputs, *, reverse: bool) -> tuple[Carry, Trace]:
    params, shared, steps = _arrange(params, inputs)
    return over_batch(partial(scan_trace, reverse=reverse), params, shared, zero_padding(steps))
