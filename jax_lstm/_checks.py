"""Refusals, made while tracing: each names the argument, says what it has, what was expected and how to mend it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm._types import Bidirectional, Carry, DiagonalParams, FinalCarries, LSTMParams, Params, Zoneout


class Sizes(NamedTuple):
    """What a layer's arrays say of its sizes: `out` is the width of the hidden state, `gates` 4, or 3 when coupled."""

    features: int
    hidden: int
    out: int
    gates: int


def check_params(params: Params, name: str = "params") -> Sizes:
    """The sizes of a layer, or a refusal of the first array that does not fit the others."""
    if not isinstance(params, LSTMParams | DiagonalParams):
        raise TypeError(f"{name} is {_what(params)}, expected LSTMParams or DiagonalParams: make it with init or from_gates")
    for field in ("w_x", "w_h"):
        if getattr(params, field) is None:
            raise TypeError(f"{name}.{field} is None, expected an array")
    dtype = check_float(params.w_x, f"{name}.w_x")
    for path, leaf in jax.tree.leaves_with_path(params):
        where = f"{name}{jax.tree_util.keystr(path)}"
        if check_float(leaf, where) != dtype:
            raise TypeError(f"{where} is {leaf.dtype}, but {name}.w_x is {dtype}: give every array of a layer one dtype, with astype")
    gates = 4 if params.coupled is None else 3
    w_x = params.w_x
    if w_x.ndim != 2:
        raise ValueError(f"{name}.w_x has shape {w_x.shape}, expected (features, {gates}*hidden): vmap over stacked parameters")
    if w_x.shape[1] == 0 or w_x.shape[1] % gates:
        raise ValueError(f"{name}.w_x has shape {w_x.shape}, expected {gates} gate blocks: a last axis divisible by {gates}")
    features, hidden = w_x.shape[0], w_x.shape[1] // gates
    out = hidden
    wide = gates * hidden
    if params.projection is not None:
        if params.projection.ndim != 2 or params.projection.shape[0] != hidden:
            given = params.projection.shape
            raise ValueError(f"{name}.projection has shape {given}, expected ({hidden}, out), as w_x says hidden = {hidden}")
        out = params.projection.shape[1]
    expected = {
        "w_h": (wide,) if isinstance(params, DiagonalParams) else (out, wide),
        "b": (wide,),
        "peephole": (gates - 1, hidden),
    }
    for field, shape in expected.items():
        value = getattr(params, field)
        if value is not None and value.shape != shape:
            raise ValueError(f"{name}.{field} has shape {value.shape}, expected {shape}, as w_x says hidden = {hidden}")
    if params.norm is not None:
        for field, shape in {"scale_x": (wide,), "scale_h": (wide,), "scale_c": (hidden,), "bias_c": (hidden,)}.items():
            value = getattr(params.norm, field)
            if value.shape != shape:
                raise ValueError(f"{name}.norm.{field} has shape {value.shape}, expected {shape}, as w_x says hidden = {hidden}")
    if params.clip is not None:
        for field in ("cell", "gates"):
            check_positive(getattr(params.clip, field), f"{name}.clip.{field}")
    return Sizes(features, hidden, out, gates)


def check_positive(value, name: str) -> None:
    """None, or a positive Python number."""
    if value is not None and not (isinstance(value, int | float) and value > 0):
        raise ValueError(f"{name} is {value!r}, expected a positive number, or None for no bound")


def check_array(array, name: str) -> None:
    """An array, rather than a list of numbers."""
    if not isinstance(array, jax.Array | np.ndarray):
        raise TypeError(f"{name} is {_what(array)}, expected an array: wrap it in jnp.asarray")


def check_float(array, name: str) -> jnp.dtype:
    """The dtype of a floating-point array, or a refusal."""
    check_array(array, name)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} is {array.dtype}, expected a floating-point array: convert it with astype(jnp.float32)")
    return array.dtype


def float_dtype(dtype) -> jnp.dtype:
    """A floating-point dtype, JAX's default where None, or a refusal."""
    dtype = jnp.result_type(float if dtype is None else dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype is {dtype}, expected a floating-point dtype")
    return dtype


def check_step(params: Params, carry: Carry, x) -> None:
    """The arguments of one step."""
    sizes = check_params(params)
    dtype = check_like(x, "x", params)
    if x.ndim < 1 or x.shape[-1] != sizes.features:
        raise ValueError(f"x has shape {x.shape}, expected (*batch, features) with features = {sizes.features}, as w_x has rows")
    check_carry(carry, sizes, x.shape[:-1], dtype)


def check_sequence(params: Params, xs) -> Sizes:
    """The input of a layer."""
    sizes = check_params(params)
    check_like(xs, "xs", params)
    check_time(xs)
    if xs.shape[-1] != sizes.features:
        raise ValueError(
            f"xs has shape {xs.shape}, expected (time, *batch, features) with features = {sizes.features}, as params.w_x has shape "
            f"{params.w_x.shape}: transpose xs to features last, or make parameters for {xs.shape[-1]} features"
        )
    return sizes


def check_time(xs) -> None:
    """An input that has axes of time and features, and at least one step."""
    if xs.ndim < 2:
        raise ValueError(f"xs has shape {xs.shape}, expected (time, *batch, features): give one scalar series as xs[:, None]")
    if xs.shape[0] == 0:
        raise ValueError(f"xs has shape {xs.shape}: an empty sequence, expected at least one step (mark empty rows of a batch by lengths)")


def check_like(array, name: str, params: Params) -> jnp.dtype:
    """The dtype of an array that has to have the parameters' dtype."""
    dtype = check_float(array, name)
    if dtype != params.w_x.dtype:
        raise TypeError(f"{name} is {dtype}, but params are {params.w_x.dtype}: convert one of them with astype")
    return dtype


def check_carry(carry, sizes: Sizes, batch: tuple[int, ...], dtype, name: str = "carry") -> None:
    """A carry that fits a layer and its batch axes."""
    if isinstance(carry, FinalCarries | Bidirectional):
        raise TypeError(f"{name} belongs to a bidirectional layer, expected Carry(h, c): run its directions apart with lstm(…, reverse=…)")
    if not isinstance(carry, Carry):
        raise TypeError(f"{name} is {_what(carry)}, expected Carry(h, c): wrap the pair, hidden state first")
    for field, size in (("h", sizes.out), ("c", sizes.hidden)):
        value = getattr(carry, field)
        if check_float(value, f"{name}.{field}") != dtype:
            raise TypeError(f"{name}.{field} is {value.dtype}, but params and input are {dtype}: convert it with astype")
        if value.shape != (*batch, size):
            raise ValueError(f"{name}.{field} has shape {value.shape}, expected (*batch, size) = {(*batch, size)}")


def check_layers(layers, xs) -> None:
    """A stack whose layers fit each other and the input."""
    check_float(xs, "xs")
    check_time(xs)
    width, source = xs.shape[-1], "xs"
    for position, layer in enumerate(layers):
        name = f"layers[{position}]"
        if isinstance(layer, Bidirectional):
            ends = {f"{name}.{side}": check_params(params, f"{name}.{side}") for side, params in zip(layer._fields, layer, strict=True)}
        else:
            ends = {name: check_params(layer, name)}
        for end, sizes in ends.items():
            if sizes.features != width:
                raise ValueError(f"{end} takes {sizes.features} features, but {source} has {width}: make it with features={width}")
        for params in layer if isinstance(layer, Bidirectional) else (layer,):
            check_like(xs, "xs", params)
        width, source = sum(sizes.out for sizes in ends.values()), name


def check_carries(carries, layers, xs, name: str = "carries") -> None:
    """One carry a layer, of its kind."""
    if not isinstance(carries, tuple) or isinstance(carries, Carry | Bidirectional | FinalCarries):
        raise TypeError(f"{name} is {_what(carries)}, expected a tuple of one carry a layer")
    if len(carries) != len(layers):
        raise ValueError(f"{name} has {len(carries)} entries, expected one a layer, {len(layers)}: they belong to another stack")
    for position, (carry, layer) in enumerate(zip(carries, layers, strict=True)):
        where = f"{name}[{position}]"
        if isinstance(carry, FinalCarries):
            raise ValueError(
                f"{where} holds the final carries of a bidirectional layer, which cannot stream: its backward pass begins at the "
                "end of the whole sequence. Give the sequence at once, or Bidirectional(forward, backward) if these are initial states"
            )
        if isinstance(layer, Bidirectional) != isinstance(carry, Bidirectional):
            expected = "Bidirectional(forward, backward)" if isinstance(layer, Bidirectional) else "Carry(h, c)"
            raise TypeError(f"{where} is {_what(carry)}, expected {expected}, as layers[{position}] is {_what(layer)}")
        pairs = zip(layer, carry, layer._fields, strict=True) if isinstance(layer, Bidirectional) else [(layer, carry, "")]
        for params, one, side in pairs:
            check_carry(one, check_params(params), xs.shape[1:-1], xs.dtype, f"{where}.{side}" if side else where)


def check_valid(lengths, mask, xs) -> None:
    """`lengths` or `mask`, not both, for the batch axes of `xs`."""
    steps, batch = xs.shape[0], xs.shape[1:-1]
    if lengths is not None and mask is not None:
        raise ValueError("lengths and mask are both given, expected one of them: a mask already says where a sequence ends")
    if lengths is not None:
        check_array(lengths, "lengths")
        if not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise TypeError(f"lengths is {lengths.dtype}, expected integers: convert it with astype(jnp.int32)")
        if lengths.shape != batch:
            raise ValueError(f"lengths has shape {lengths.shape}, expected the batch axes of xs, {batch}")
        if not isinstance(lengths, jax.core.Tracer) and lengths.size:
            low, high = int(np.asarray(lengths).min()), int(np.asarray(lengths).max())  # by NumPy: inside jit JAX would trace it
            if low < 0 or high > steps:
                raise ValueError(f"lengths lie in [{low}, {high}], expected [0, {steps}], as xs has {steps} steps: clip them, or pad xs")
    if mask is not None:
        check_flags(mask, "mask", xs)


def check_flags(flags, name: str, xs) -> None:
    """Booleans over time and batch."""
    check_array(flags, name)
    if flags.dtype != jnp.bool_:
        raise TypeError(f"{name} is {flags.dtype}, expected booleans: compare, as in {name} != 0")
    if flags.shape != xs.shape[:-1]:
        raise ValueError(f"{name} has shape {flags.shape}, expected (time, *batch) = {xs.shape[:-1]}, the axes of xs without features")


def check_recurrent_mask(mask, sizes: Sizes, xs) -> None:
    """The factor on the hidden state that variational dropout uses."""
    if check_float(mask, "recurrent_mask") != xs.dtype:
        raise TypeError(f"recurrent_mask is {mask.dtype}, but xs is {xs.dtype}: convert it with astype")
    expected = (*xs.shape[1:-1], sizes.out)
    if mask.shape != expected:
        raise ValueError(f"recurrent_mask has shape {mask.shape}, expected (*batch, out) = {expected}: one mask for all steps")


def check_zoneout(zoneout, sizes: Sizes, xs) -> None:
    """Booleans for every step, or one share, for the hidden and the cell state."""
    if not isinstance(zoneout, Zoneout):
        raise TypeError(f"zoneout is {_what(zoneout)}, expected Zoneout(hidden, cell): draw one with zoneout_masks")
    for field, size in (("hidden", sizes.out), ("cell", sizes.hidden)):
        value, expected = getattr(zoneout, field), (*xs.shape[:-1], size)
        if isinstance(value, int | float) and not isinstance(value, bool):
            check_rate(value, f"zoneout.{field}")
        elif not hasattr(value, "dtype") or value.dtype != jnp.bool_:
            raise TypeError(f"zoneout.{field} is {_what(value)}, expected booleans, or one number in [0, 1)")
        elif value.shape != expected:
            raise ValueError(f"zoneout.{field} has shape {value.shape}, expected (time, *batch, size) = {expected}")


def check_batch_axis(tree, axis: int, devices: int) -> None:
    """Arrays whose batch axis the devices divide."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        where = f"tree{jax.tree_util.keystr(path)}"
        if leaf.ndim <= axis:
            raise ValueError(f"{where} has shape {leaf.shape}, expected a batch at axis {axis}: say which one with axis=")
        if leaf.shape[axis] % devices:
            raise ValueError(
                f"{where} has {leaf.shape[axis]} rows at axis {axis}, expected a multiple of the {devices} devices: pad or drop rows"
            )


def check_key(key) -> None:
    """A single key of `jax.random`, of the new kind or the old."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0
    raw = isinstance(key, jax.Array | np.ndarray) and key.dtype == jnp.uint32 and key.ndim == 1
    if not (typed or raw):
        raise TypeError(f"key is {_what(key)}, expected one key: jax.random.key(0)")


def check_schedule(schedule, names) -> None:
    """The name of a schedule."""
    if schedule not in names:
        raise ValueError(f"schedule is {schedule!r}, expected one of {', '.join(map(repr, names))}")


def check_rate(rate, name: str) -> None:
    """A share that may be dropped."""
    if isinstance(rate, jax.core.Tracer):
        return
    if not isinstance(rate, int | float | np.floating) or isinstance(rate, bool):
        raise TypeError(f"{name} is {_what(rate)}, expected a number in [0, 1)")
    if not 0 <= rate < 1:
        raise ValueError(f"{name} is {rate}, expected a number in [0, 1): the share that is dropped, not the share that is kept")


def _what(value) -> str:
    kind = type(value).__name__
    if isinstance(value, int | float | complex | str | bool | None):
        return f"{value!r}, {'an' if kind[0] in 'aeiou' else 'a'} {kind}" if value is not None else "None"
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else f"a {kind}"
