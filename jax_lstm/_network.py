"""Stacks of layers, in one or both directions, with dropout between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp

from jax_lstm import _checks
from jax_lstm._init import init
from jax_lstm._layer import lstm, trace
from jax_lstm._regularize import dropout_mask, zoneout_masks
from jax_lstm._types import Bidirectional, Carry, FinalCarries, Params, Zoneout

Layer = Params | Bidirectional


def network(
    layers: Sequence[Layer],
    xs: jax.Array,
    carries: Sequence[Carry | Bidirectional] | None = None,
    *,
    lengths: jax.Array | None = None,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    reset_to: Sequence[Carry | Bidirectional] | None = None,
    reverse: bool = False,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    zoneout: Zoneout | None = None,
    key: jax.Array | None = None,
    schedule: str = "auto",
) -> tuple[tuple[Carry | FinalCarries, ...], jax.Array]:
    """A stack of LSTM layers over a sequence: `(layers, xs, carries) -> (carries, hs)`.

    Args:
        layers: `LSTMParams`, `DiagonalParams` or `Bidirectional(forward, backward)` of these, from the input to the output. The outputs of
            the two directions of a layer stand side by side on the feature axis, forward first.
        xs: the inputs `(time, *batch, features)`.
        carries: one initial carry a layer (`Bidirectional` of two for a bidirectional one); zeros where None.
        lengths, mask, resets, reverse, schedule: as in `lstm`, for every layer.
        reset_to: the carries that a reset puts back, one a layer, where they are not the initial ones.
        dropout: the share of each layer's outputs that the next layer does not see.
        recurrent_dropout: the share of the hidden state that a layer's own products do not see.
        zoneout: `Zoneout(hidden, cell)`, two rates: with a key which units keep their state is drawn at each step, as in training;
            without one each keeps this share of it, as in evaluation.
        key: a key of `jax.random`. Both kinds of dropout draw one mask for all steps (Gal and Ghahramani 2016), so that the chunks of a
            stream that are given the same key share it; zoneout draws anew at each step.

    Returns:
        One final carry a layer, and the last layer's outputs `(time, *batch, out)`. Chunks equal the whole where no layer is
        bidirectional; where one is, its `FinalCarries` cannot be handed on, and are refused.

    Raises:
        ValueError: a shape or a value that does not fit, or dropout without a key. TypeError: a dtype or a type that does not.

    >>> import jax, jax.numpy as jnp
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4], bidirectional=True)
    >>> carries, hs = network(layers, jnp.ones((7, 2, 3)))
    >>> hs.shape, carries[1].backward.h.shape
    ((7, 2, 8), (2, 4))
    """
    arguments = _check(layers, xs, carries, lengths, mask, resets, reset_to, dropout, recurrent_dropout, zoneout, key)
    return _run(*arguments, one=partial(lstm, schedule=schedule), reverse=bool(reverse))


def trace_network(
    layers: Sequence[Layer],
    xs: jax.Array,
    carries: Sequence[Carry | Bidirectional] | None = None,
    *,
    lengths: jax.Array | None = None,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    reset_to: Sequence[Carry | Bidirectional] | None = None,
    reverse: bool = False,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    zoneout: Zoneout | None = None,
    key: jax.Array | None = None,
):
    """A stack of LSTM layers, explained: as `network`, but the second value is a tuple of every layer's `Trace`.

    A bidirectional layer's is `Bidirectional(Trace, Trace)`.

    >>> import jax, jax.numpy as jnp
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4])
    >>> [values.forget_gate.shape for values in trace_network(layers, jnp.ones((7, 2, 3)))[1]]
    [(7, 2, 5), (7, 2, 4)]
    """
    arguments = _check(layers, xs, carries, lengths, mask, resets, reset_to, dropout, recurrent_dropout, zoneout, key)
    return _run(*arguments, one=trace, reverse=bool(reverse))


def init_network(key: jax.Array, features: int, hidden: Sequence[int], *, bidirectional: bool = False, **options) -> tuple[Layer, ...]:
    """The weights of a stack: one layer for each size in `hidden`, with the options of `init`.

    Raises:
        ValueError: no layer at all, or what `init` refuses.

    >>> import jax
    >>> [layer.w_x.shape for layer in init_network(jax.random.key(0), features=3, hidden=[5, 4])]
    [(3, 20), (5, 16)]
    """
    if isinstance(hidden, int) or not len(hidden):
        raise ValueError(f"hidden is {hidden!r}, expected one size a layer, as in [64, 64]")
    _checks.check_key(key)
    layers: list[Layer] = []
    for layer_key, size in zip(jax.random.split(key, len(hidden)), hidden, strict=True):
        if bidirectional:
            layers.append(Bidirectional(*(init(k, features, size, **options) for k in jax.random.split(layer_key))))
        else:
            layers.append(init(layer_key, features, size, **options))
        out = size if options.get("projection") is None else options["projection"]
        features = 2 * out if bidirectional else out
    return tuple(layers)


def _check(layers, xs, carries, lengths, mask, resets, reset_to, dropout, recurrent_dropout, zoneout, key):
    """The arguments as arrays, None for a regulariser that is off, or a refusal."""
    if isinstance(layers, Params | Bidirectional) or not isinstance(layers, tuple | list) or not layers:
        raise TypeError(f"layers is a {type(layers).__name__}, expected a tuple of layers, at least one: (params,)")
    layers, xs = jax.tree.map(jnp.asarray, (tuple(layers), xs))
    _checks.check_layers(layers, xs)
    carries, reset_to = (tuple(given) if isinstance(given, list) else given for given in (carries, reset_to))
    carries, reset_to = jax.tree.map(jnp.asarray, (carries, reset_to))
    for name, given in (("carries", carries), ("reset_to", reset_to)):
        if given is not None:
            _checks.check_carries(given, layers, xs, name)
    if key is not None:
        _checks.check_key(key)
    rates = {"dropout": dropout, "recurrent_dropout": recurrent_dropout}
    for name, rate in rates.items():
        _checks.check_rate(rate, name)
        if key is None and (isinstance(rate, jax.core.Tracer) or rate > 0):
            raise ValueError(f"{name} is {rate} without a key, expected key=jax.random.key(…), or {name}=0.0 for evaluation")
    if zoneout is not None:
        if not isinstance(zoneout, Zoneout):
            raise TypeError(f"zoneout is a {type(zoneout).__name__}, expected Zoneout(hidden, cell) of two rates")
        for field, rate in zip(Zoneout._fields, zoneout, strict=True):
            _checks.check_rate(rate, f"zoneout.{field}")
    off = [None if not isinstance(rate, jax.core.Tracer) and rate == 0 else rate for rate in rates.values()]
    return layers, xs, carries, lengths, mask, resets, reset_to, *off, zoneout, key


def _run(layers, xs, carries, lengths, mask, resets, reset_to, dropout, recurrent_dropout, zoneout, key, *, one, reverse):
    ends: list = []
    outs: list = []
    keys = [None] * len(layers) if key is None else jax.random.split(key, len(layers))
    for position, (layer, layer_key) in enumerate(zip(layers, keys, strict=True)):
        carry, back = (None if given is None else given[position] for given in (carries, reset_to))
        if dropout is not None and position > 0:
            layer_key, drop_key = jax.random.split(layer_key)
            xs = xs * dropout_mask(drop_key, dropout, xs.shape[1:], xs.dtype)[None]

        def direction(params, carry, back, key, reverse, xs=xs):
            noise = _noise(params, xs, key, recurrent_dropout, zoneout)
            return one(params, xs, carry, lengths=lengths, mask=mask, resets=resets, reset_to=back, reverse=reverse, **noise)

        if isinstance(layer, Bidirectional):
            pair, backs = ((None, None) if given is None else given for given in (carry, back))
            two = (None, None) if layer_key is None else jax.random.split(layer_key)
            end_f, out_f = direction(layer.forward, pair[0], backs[0], two[0], reverse)
            end_b, out_b = direction(layer.backward, pair[1], backs[1], two[1], not reverse)
            ends.append(FinalCarries(end_f, end_b))
            outs.append(Bidirectional(out_f, out_b))
            xs = jnp.concatenate([_hidden(out_f), _hidden(out_b)], axis=-1)
        else:
            end, out = direction(layer, carry, back, layer_key, reverse)
            ends.append(end)
            outs.append(out)
            xs = _hidden(out)
    return tuple(ends), tuple(outs) if one is trace else xs


def _hidden(out):
    return out.hidden_state if hasattr(out, "hidden_state") else out


def _noise(params, xs, key, recurrent_dropout, zoneout):
    """What the regularisers add to the call of one layer in one direction."""
    noise = {}
    if recurrent_dropout is not None:
        key, mask_key = jax.random.split(key)
        out = _checks.check_params(params).out
        noise["recurrent_mask"] = dropout_mask(mask_key, recurrent_dropout, (*xs.shape[1:-1], out), xs.dtype)
    if zoneout is not None:
        noise["zoneout"] = zoneout if key is None else zoneout_masks(key, params, xs, hidden=zoneout.hidden, cell=zoneout.cell)
    return noise
