"""One layer over time: the arguments are checked and brought into one form, then a schedule runs them."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from jax_lstm import _checks
from jax_lstm._sharding import over_batch
from jax_lstm._step import Shared, Steps, silence
from jax_lstm._types import Carry, Params, Trace, Zoneout
from jax_lstm.schedules import SCHEDULES, Choice, choose
from jax_lstm.schedules.scan import scan_trace


def lstm(
    params: Params,
    xs: jax.Array,
    carry: Carry | None = None,
    *,
    lengths: jax.Array | None = None,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    reset_to: Carry | None = None,
    reverse: bool = False,
    recurrent_mask: jax.Array | None = None,
    zoneout: Zoneout | None = None,
    schedule: str = "auto",
) -> tuple[Carry, jax.Array]:
    """One LSTM layer over a sequence: `(params, xs, carry) -> (carry, hs)`.

    Args:
        params: the layer's weights.
        xs: the inputs `(time, *batch, features)`, with any number of batch axes.
        carry: the initial carry, `h (*batch, out)` and `c (*batch, hidden)`; zeros where None.
        lengths: integers `(*batch)`, how many steps of each sequence are valid, from the first on.
        mask: booleans `(time, *batch)`, true where a step is valid; holes are allowed. A step that is not valid holds the carry and
            emits zeros, and what stands in `xs` there reaches neither a value nor a gradient.
        resets: booleans `(time, *batch)`, true where the initial carry is put back before the step is taken.
        reset_to: the carry that a reset puts back, where it is not the initial one: a stream that comes in chunks gives its very first
            carry here, and each chunk's in `carry`.
        reverse: take the steps from the last to the first; the outputs stay in the order of the inputs.
        recurrent_mask: a factor `(*batch, out)` on the hidden state, the same at all steps (variational dropout, `dropout_mask`).
        zoneout: which units keep their last state, or how much of it.
        schedule: how the work is arranged, `"auto"` or one of `jax_lstm.schedules.SCHEDULES`; the result is the same to rounding. All but
            `"scan"` and `"unrolled"` have no forward-mode derivative (`jax.jvp`, `jax.jacfwd`, `jax.hessian`).

    Returns:
        The last carry, and the hidden states `(time, *batch, out)`; what is not used costs nothing under `jit`.

    Raises:
        ValueError: a shape or a value that does not fit. TypeError: a dtype or a type that does not.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> params = init(jax.random.key(0), features=3, hidden=5)
    >>> carry, hs = lstm(params, jnp.ones((7, 2, 3)), lengths=jnp.array([7, 4]))
    >>> hs.shape, carry.h.shape, bool((hs[4:, 1] == 0).all())
    ((7, 2, 5), (2, 5), True)
    """
    arguments = _check(params, xs, carry, lengths, mask, resets, reset_to, recurrent_mask, zoneout)
    _checks.check_schedule(schedule, ("auto", *SCHEDULES))
    try:
        return _lstm(*arguments, reverse=bool(reverse), schedule=schedule)
    except TypeError as error:
        if "forward-mode" in str(error):
            raise TypeError(f'schedule="{schedule}" has no forward-mode derivative (jvp, jacfwd): ask for schedule="scan"') from error
        raise


def trace(
    params: Params,
    xs: jax.Array,
    carry: Carry | None = None,
    *,
    lengths: jax.Array | None = None,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    reset_to: Carry | None = None,
    reverse: bool = False,
    recurrent_mask: jax.Array | None = None,
    zoneout: Zoneout | None = None,
) -> tuple[Carry, Trace]:
    """One LSTM layer, explained: as `lstm`, but the second value holds the six values of every step, `(time, *batch, hidden)` each.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> params = init(jax.random.key(0), features=1, hidden=2)
    >>> carry, values = trace(params, jnp.ones((4, 1)))
    >>> values.forget_gate.shape, bool((values.hidden_state[-1] == carry.h).all())
    ((4, 2), True)
    """
    return _trace(*_check(params, xs, carry, lengths, mask, resets, reset_to, recurrent_mask, zoneout), reverse=bool(reverse))


def explain_schedule(params: Params, xs: jax.Array, backend: str | None = None) -> Choice:
    """What `schedule="auto"` would choose for a layer and its input on one device, and why.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> explain_schedule(init(jax.random.key(0), features=1, hidden=2), jnp.ones((3, 1))).reason
    '3 steps are at most 4: a loop costs more than it saves'
    """
    _checks.check_sequence(params, xs)
    return choose(params, xs.shape, backend)


def zero_carry(params: Params, xs: jax.Array) -> Carry:
    """A carry of zeros for the batch axes of `xs (time, *batch, features)`, sharded as `xs` is.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init
    >>> zero_carry(init(jax.random.key(0), features=3, hidden=5), jnp.ones((7, 2, 3))).c.shape
    (2, 5)
    """
    sizes = _checks.check_sequence(params, xs)
    like = jnp.zeros_like(xs[0, ..., :1])  # taken from xs, so that it has the sharding and the manual axes of its batch
    return Carry(*(jnp.broadcast_to(like, (*like.shape[:-1], size)) for size in (sizes.out, sizes.hidden)))


def _check(params, xs, carry, lengths, mask, resets, reset_to, recurrent_mask, zoneout):
    """The arguments as arrays, or a refusal."""
    params, xs, carry = jax.tree.map(_array, (params, xs, carry))
    lengths, mask, resets, reset_to, recurrent_mask = jax.tree.map(_array, (lengths, mask, resets, reset_to, recurrent_mask))
    sizes = _checks.check_sequence(params, xs)
    if carry is not None:
        _checks.check_carry(carry, sizes, xs.shape[1:-1], xs.dtype)
    _checks.check_valid(lengths, mask, xs)
    if resets is not None:
        _checks.check_flags(resets, "resets", xs)
    if reset_to is not None:
        if resets is None:
            raise ValueError("reset_to is given without resets, expected both or none: resets say when it is put back")
        _checks.check_carry(reset_to, sizes, xs.shape[1:-1], xs.dtype, "reset_to")
    if recurrent_mask is not None:
        _checks.check_recurrent_mask(recurrent_mask, sizes, xs)
    if zoneout is not None:
        _checks.check_zoneout(zoneout, sizes, xs)
    return params, xs, carry, lengths, mask, resets, reset_to, recurrent_mask, zoneout


def _arrange(params, xs, carry, lengths, mask, resets, reset_to, recurrent_mask, zoneout) -> tuple[Params, Shared, Steps]:
    """The arguments in the form every schedule takes: what all steps share, and what differs from step to step."""
    valid = mask
    if lengths is not None:
        times = jnp.expand_dims(jnp.arange(xs.shape[0], dtype=jnp.int32), range(1, xs.ndim - 1))
        valid = times < lengths.astype(jnp.int32)[None]  # a small type of lengths may not hold the number of steps
    drawn = share = None
    if zoneout is not None:
        drawn = Zoneout(*(keep if jnp.ndim(keep) else None for keep in zoneout))
        share = Zoneout(*(None if jnp.ndim(keep) else keep for keep in zoneout))
    carry = zero_carry(params, xs) if carry is None else carry
    if resets is not None and reset_to is None:
        reset_to = carry
    return params, Shared(carry, recurrent_mask, share, reset_to), Steps(silence(xs, valid), valid, resets, drawn)


@partial(jax.jit, static_argnames=("reverse", "schedule"))
def _lstm(*arguments, reverse, schedule):
    def run(params, shared, steps):
        name = choose(params, steps.x.shape).schedule if schedule == "auto" else schedule
        return SCHEDULES[name](params, shared, steps, reverse=reverse)

    return over_batch(run, *_arrange(*arguments))


@partial(jax.jit, static_argnames="reverse")
def _trace(*arguments, reverse):
    return over_batch(partial(scan_trace, reverse=reverse), *_arrange(*arguments))


def _array(value):
    return value if isinstance(value, jax.Array) else jnp.asarray(value)
