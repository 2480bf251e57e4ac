"""Stacks of layers, in one or both directions, with dropout between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Never

import jax
import jax.numpy as jnp

from jax_lstm import _call, _check_stack, _checks
from jax_lstm._annotations import Array, Bool, Float, Integer, PRNGKeyArray
from jax_lstm._cell import cell
from jax_lstm._foreign import refuse_foreign
from jax_lstm._layer import lstm, trace, zero_carry
from jax_lstm._regularize import dropout_mask, zoneout_masks
from jax_lstm._stack import stack_in_one_call
from jax_lstm._types import Bidirectional, Carry, FinalCarries, Layer, Params, Trace, Zoneout, directions
from jax_lstm.schedules import SCHEDULES

Carries = Sequence[Carry | Bidirectional[Carry]]
"""One carry per layer; a pair of them for a bidirectional layer."""


class _Inputs(NamedTuple):
    """The arguments of a stack, as `network` documents them; a regularizer that is off is None."""

    layers: Any
    xs: Any
    carries: Any
    lengths: Any
    mask: Any
    resets: Any
    reset_to: Any
    dropout: Any
    recurrent_dropout: Any
    zoneout: Zoneout | None
    key: Any


def network_step(
    layers: Sequence[Params], carries: Sequence[Carry], x: Float[Array, "*batch features"]
) -> tuple[tuple[Carry, ...], Float[Array, "*batch out"]]:
    """One step of a stack, `(layers, carries, x) -> (carries, h)`: what an agent or a stream calls, and `jax.lax.scan`
    drives.

    Args:
        layers: `LSTMParams` or `DiagonalParams`, from the input to the output.
        carries: one carry per layer; start from `zero_carries(layers, batch_shape)`.
        x: the input of the step `(*batch, features)`.

    Returns:
        The next carries, and the hidden state of the last layer `(*batch, out)`.

    Raises:
        ValueError: a shape that does not fit, or a bidirectional layer, whose backward direction has no single step.
            TypeError: a dtype or a type that does not fit.

    >>> import jax, jax.numpy as jnp
    >>> from functools import partial
    >>> from jax_lstm import init_network
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4])
    >>> xs = jnp.ones((7, 2, 3))
    >>> carries, hs = jax.lax.scan(partial(network_step, layers), zero_carries(layers, (2,)), xs)
    >>> hs.shape
    (7, 2, 4)
    """
    stack, carries, x = _checks.as_arrays((_checks.check_stack(layers), carries, x))
    for position, layer in enumerate(stack):
        if isinstance(layer, Bidirectional):
            raise ValueError(
                f"layers[{position}] is bidirectional, expected one direction: "
                "its backward pass needs the whole sequence, so give it to network"
            )
    _checks.check_float(x, "x")
    _check_stack.check_layers(stack, x.shape[-1] if x.ndim else 0, x.dtype)
    carries = _check_stack.check_carries(carries, stack, x.shape[:-1], x.dtype)
    after = []
    for params, carry in zip(stack, carries, strict=True):
        carry, _ = cell(params, carry, x)
        after.append(carry)
        x = carry.h
    return tuple(after), x


def zero_carries(layers: Sequence[Layer], batch_shape: tuple[int, ...] = (), dtype: Any = None) -> tuple[Any, ...]:
    """Carries of zeros for a stack: one `zero_carry` per layer, `Bidirectional` of two for a bidirectional one.

    Args:
        layers: the stack, for its sizes.
        batch_shape: the batch axes; `()` for one sequence.
        dtype: that of the parameters where None.

    >>> import jax
    >>> from jax_lstm import init_network
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4])
    >>> [carry.h.shape for carry in zero_carries(layers, (2,))]
    [(2, 5), (2, 4)]
    """
    carries = []
    for layer in _checks.check_stack(layers):
        parts = [zero_carry(params, batch_shape, dtype) for _, params in directions(layer)]
        carries.append(parts[0] if len(parts) == 1 else Bidirectional(*parts))
    return tuple(carries)


def network(
    layers: Sequence[Layer],
    xs: Float[Array, "time *batch features"],
    carries: Carries | None = None,
    *,
    lengths: Integer[Array, "*batch"] | None = None,
    mask: Bool[Array, "time *batch"] | None = None,
    resets: Bool[Array, "time *batch"] | None = None,
    reset_to: Carries | None = None,
    reverse: bool = False,
    dropout: float | Float[Array, ""] = 0.0,
    recurrent_dropout: float | Float[Array, ""] = 0.0,
    zoneout: Zoneout | None = None,
    key: PRNGKeyArray | None = None,
    schedule: str = "auto",
    **foreign: Never,
) -> tuple[tuple[Carry | FinalCarries, ...], Float[Array, "time *batch out"]]:
    """A stack of LSTM layers over a sequence: `(layers, xs, carries) -> (carries, hs)`.

    Args:
        layers: `LSTMParams`, `DiagonalParams` or `Bidirectional(forward, backward)` of these, from the input to the
            output. The outputs of the two directions of a layer are concatenated on the feature axis, forward first.
        xs: the inputs `(time, *batch, features)`.
        carries: one initial carry per layer (`Bidirectional` of two for a bidirectional one); zeros where None.
        lengths, mask, resets, reverse, schedule: as in `lstm`, for every layer. `"cudnn"` runs the whole stack in one
            call where its layers are of one hidden size and all have one direction or all two, without dropout and
            zoneout; else one call for each layer and direction.
        reset_to: the carries that a reset puts back, one per layer, where they are not zeros.
        dropout: the share of each layer's outputs that the next layer does not see.
        recurrent_dropout: the share of the hidden state that a layer's own products do not see.
        zoneout: `Zoneout(hidden, cell)`, two rates: with a key which units keep their state is drawn at each step, as
            in training; without one each keeps this share of it, as in evaluation.
        key: a key of `jax.random`. Both kinds of dropout draw one mask for all steps (Gal and Ghahramani 2016), so that
            the chunks of a stream that are given the same key share it; zoneout draws new ones at each step.

    Returns:
        One final carry per layer, and the last layer's outputs `(time, *batch, out)`. Chunks equal the whole where no
        layer is bidirectional; where one is, its `FinalCarries` cannot be passed on, and are refused.

    Raises:
        ValueError: a shape or a value that does not fit, or dropout without a key. TypeError: a dtype or a type that
            does not fit.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init_network
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4], bidirectional=True)
    >>> carries, hs = network(layers, jnp.ones((7, 2, 3)))
    >>> hs.shape, carries[1].backward.h.shape
    ((7, 2, 8), (2, 4))
    """
    if foreign:
        refuse_foreign("network", foreign)
    _checks.check_choice(schedule, "schedule", ("auto", *SCHEDULES))
    reverse = _checks.check_bool(reverse, "reverse")
    inputs = _check(
        _Inputs(layers, xs, carries, lengths, mask, resets, reset_to, dropout, recurrent_dropout, zoneout, key)
    )
    others = inputs._replace(layers=None, xs=None, carries=None, lengths=None, key=None)
    if all(option is None for option in others):
        whole = stack_in_one_call(schedule, inputs.layers, inputs.xs, inputs.carries, lengths, reverse=reverse)
        if whole is not None:
            return tuple(FinalCarries(*parts) if len(parts) == 2 else parts[0] for parts in whole[0]), whole[1]
    ends, outs = _run(inputs, partial(lstm, schedule=schedule), reverse=reverse)
    return ends, _side_by_side(outs[-1])


def trace_network(
    layers: Sequence[Layer],
    xs: Float[Array, "time *batch features"],
    carries: Carries | None = None,
    *,
    lengths: Integer[Array, "*batch"] | None = None,
    mask: Bool[Array, "time *batch"] | None = None,
    resets: Bool[Array, "time *batch"] | None = None,
    reset_to: Carries | None = None,
    reverse: bool = False,
    dropout: float | Float[Array, ""] = 0.0,
    recurrent_dropout: float | Float[Array, ""] = 0.0,
    zoneout: Zoneout | None = None,
    key: PRNGKeyArray | None = None,
) -> tuple[tuple[Carry | FinalCarries, ...], tuple[Trace | Bidirectional[Trace], ...]]:
    """A stack of LSTM layers, explained: as `network`, but the second value is a tuple of every layer's `Trace`.

    A bidirectional layer's is `Bidirectional(Trace, Trace)`.

    >>> import jax, jax.numpy as jnp
    >>> from jax_lstm import init_network
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4])
    >>> [values.forget_gate.shape for values in trace_network(layers, jnp.ones((7, 2, 3)))[1]]
    [(7, 2, 5), (7, 2, 4)]
    """
    reverse = _checks.check_bool(reverse, "reverse")
    inputs = _check(
        _Inputs(layers, xs, carries, lengths, mask, resets, reset_to, dropout, recurrent_dropout, zoneout, key)
    )
    return _run(inputs, trace, reverse=reverse)


def _check(inputs: _Inputs) -> _Inputs:
    """The arguments as arrays, None for a regularizer that is off, or a refusal."""
    layers, xs = _checks.as_arrays((_checks.check_stack(inputs.layers), inputs.xs))
    _checks.check_float(xs, "xs")
    _call.check_time(xs)
    _check_stack.check_layers(layers, xs.shape[-1], xs.dtype)
    initial = {}
    for name in ("carries", "reset_to"):
        given = _checks.as_arrays(getattr(inputs, name))
        if given is not None:
            given = _check_stack.check_carries(given, layers, xs.shape[1:-1], xs.dtype, name)
        initial[name] = given
    key = inputs.key
    if key is not None:
        _checks.check_key(key)
    rates = {}
    for name in ("dropout", "recurrent_dropout"):
        rate = getattr(inputs, name)
        _checks.check_rate(rate, name)
        is_off = not isinstance(rate, jax.core.Tracer) and float(rate) == 0
        if key is None and not is_off:
            raise ValueError(
                f"{name} is {rate} without a key, expected key=jax.random.key(…), or {name}=0.0 for evaluation"
            )
        rates[name] = None if is_off else rate
    if inputs.zoneout is not None:
        _call.check_zoneout_type(inputs.zoneout)
        for field, rate in zip(Zoneout._fields, inputs.zoneout, strict=True):
            _checks.check_rate(rate, f"zoneout.{field}", optional=True)
    return inputs._replace(layers=layers, xs=xs, **initial, **rates)


def _run(
    inputs: _Inputs, one: Callable[..., tuple[Carry, Any]], *, reverse: bool
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The final carries and the outputs of every layer; `one` runs one layer in one direction."""
    layers, xs = inputs.layers, inputs.xs
    keys = [None] * len(layers) if inputs.key is None else jax.random.split(inputs.key, len(layers))
    ends, outs = [], []
    for position, (layer, key) in enumerate(zip(layers, keys, strict=True)):
        if inputs.dropout is not None and position > 0:
            key, drop_key = jax.random.split(key)
            xs = xs * dropout_mask(drop_key, inputs.dropout, xs.shape[1:], xs.dtype)[None]
        parts = directions(layer)
        initial, back = (
            [None] * len(parts) if given is None else [part for _, part in directions(given[position])]
            for given in (inputs.carries, inputs.reset_to)
        )
        part_keys = [key] if len(parts) == 1 or key is None else jax.random.split(key)
        results = []
        for side, (_, params) in enumerate(parts):
            noise = _noise(inputs, params, xs, part_keys[side] if key is not None else None)
            results.append(
                one(
                    params,
                    xs,
                    initial[side],
                    lengths=inputs.lengths,
                    mask=inputs.mask,
                    resets=inputs.resets,
                    reset_to=back[side],
                    reverse=reverse != (side == 1),
                    **noise,
                )
            )
        part_ends, part_outs = zip(*results, strict=True)
        ends.append(FinalCarries(*part_ends) if len(parts) == 2 else part_ends[0])
        outs.append(Bidirectional(*part_outs) if len(parts) == 2 else part_outs[0])
        xs = _side_by_side(outs[-1])
    return tuple(ends), tuple(outs)


def _side_by_side(out: Any) -> jax.Array:
    """The hidden states of a layer, those of two directions concatenated."""
    hidden = [part.hidden_state if isinstance(part, Trace) else part for _, part in directions(out)]
    return hidden[0] if len(hidden) == 1 else jnp.concatenate(hidden, axis=-1)


def _noise(inputs: _Inputs, params: Params, xs: jax.Array, key: Any) -> dict[str, Any]:
    """What the regularizers add to the call of one layer in one direction."""
    noise: dict[str, Any] = {}
    if inputs.recurrent_dropout is not None:
        key, mask_key = jax.random.split(key)
        shape = (*xs.shape[1:-1], params.out)
        noise["recurrent_mask"] = dropout_mask(mask_key, inputs.recurrent_dropout, shape, xs.dtype)
    if inputs.zoneout is not None:
        rates = inputs.zoneout
        noise["zoneout"] = (
            rates if key is None else zoneout_masks(key, params, xs, hidden=rates.hidden, cell=rates.cell)
        )
    return noise
