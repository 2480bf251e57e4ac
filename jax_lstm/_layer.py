"""One layer over time: the arguments are bound, and a schedule runs them."""

from __future__ import annotations

from functools import partial
from typing import Any, Never

import jax
import jax.numpy as jnp

from jax_lstm import _checks
from jax_lstm._annotations import Array, Bool, Float, Integer
from jax_lstm._call import bind, complete
from jax_lstm._foreign import refuse_foreign
from jax_lstm._sharding import over_batch
from jax_lstm._step import Shared, Steps
from jax_lstm._types import Carry, Params, Trace, Zoneout, memory
from jax_lstm.schedules import SCHEDULES, Choice
from jax_lstm.schedules.problem import platform_of, problem_of
from jax_lstm.schedules.registry import choose, run_schedule, version
from jax_lstm.schedules.scan import scan_trace


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
    **foreign: Never,
) -> tuple[Carry, Float[Array, "time *batch out"]]:
    """One LSTM layer over a sequence: `(params, xs, carry) -> (carry, hs)`.

    Args:
        params: the layer's weights.
        xs: the inputs `(time, *batch, features)`, with any number of batch axes.
        carry: the initial carry, `h (*batch, out)` and `c (*batch, hidden)`; zeros where None.
        lengths: integers `(*batch)`, how many steps of each sequence are valid, from the first on.
        mask: booleans `(time, *batch)`, true where a step is valid; holes are allowed. A step that is not valid holds
            the carry and emits zeros; the values of `xs` there reach neither a value nor a gradient.
        resets: booleans `(time, *batch)`, true where a new sequence starts: the carry is set to zeros, or to
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

    Derivatives: every schedule has forward and reverse mode, of any order, inside any transformation.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> params = init(jax.random.key(0), features=3, hidden=5)
    >>> carry, hs = lstm(params, jnp.ones((7, 2, 3)), lengths=jnp.array([7, 4]))
    >>> hs.shape, carry.h.shape, bool((hs[4:, 1] == 0).all())
    ((7, 2, 5), (2, 5), True)
    """
    if foreign:
        refuse_foreign("lstm", foreign)
    _checks.check_choice(schedule, "schedule", ("auto", *SCHEDULES))
    params, shared, steps = bind(
        params,
        xs,
        carry,
        lengths=lengths,
        mask=mask,
        resets=resets,
        reset_to=reset_to,
        recurrent_mask=recurrent_mask,
        zoneout=zoneout,
    )
    reverse = _checks.check_bool(reverse, "reverse")
    return _run(
        params,
        shared,
        steps,
        reverse=reverse,
        platform=platform_of(steps.x),
        schedule=schedule,
        version=version(),
    )


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
    **foreign: Never,
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
    if foreign:
        refuse_foreign("trace", foreign)
    params, shared, steps = bind(
        params,
        xs,
        carry,
        lengths=lengths,
        mask=mask,
        resets=resets,
        reset_to=reset_to,
        recurrent_mask=recurrent_mask,
        zoneout=zoneout,
    )
    return _trace(params, shared, steps, reverse=_checks.check_bool(reverse, "reverse"))


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
    **foreign: Never,
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
    if foreign:
        refuse_foreign("explain_schedule", foreign)
    params, shared, steps = bind(
        params,
        xs,
        carry,
        lengths=lengths,
        mask=mask,
        resets=resets,
        reset_to=reset_to,
        recurrent_mask=recurrent_mask,
        zoneout=zoneout,
    )
    platform = platform_of(steps.x) if platform is None else platform
    _checks.check_choice(platform, "platform", ("cpu", "gpu", "tpu"))
    reverse = _checks.check_bool(reverse, "reverse")
    return choose(problem_of(params, shared, steps, reverse=reverse, platform=platform))


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


@partial(jax.jit, static_argnames=("reverse", "platform", "schedule", "version"))
def _run(
    params: Params, shared: Shared, steps: Steps, *, reverse: bool, platform: str, schedule: str, version: int
) -> tuple[Carry, jax.Array]:
    run = partial(run_schedule, schedule, reverse=reverse, platform=platform)
    return over_batch(run, *complete(params, shared, steps))


@partial(jax.jit, static_argnames="reverse")
def _trace(params: Params, shared: Shared, steps: Steps, *, reverse: bool) -> tuple[Carry, Trace]:
    return over_batch(partial(scan_trace, reverse=reverse), *complete(params, shared, steps))
