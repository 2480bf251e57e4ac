"""The arrays of PyTorch modules, state dicts, programs and checkpoints by key, with what PyTorch computes of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from jax_lstm.interop._arrays import as_numpy, is_array, shape_of
from jax_lstm.interop._find import check_not_overridden

_UNCHANGED = ("Dropout", "Identity", "Flatten", "Unflatten", "Module")
"""Beginnings of the names of modules without arrays that do not change what a model computes, or whose parts say it."""
_INSIDE = ("torch.nn.utils.", "torch.ao.nn.quantized.")
"""The packages of modules that are parts of a layer."""


def collect(source: Any) -> tuple[dict[str, Any], list[str]]:
    """The arrays of a source by key, and the names of the parts of a module that compute something without arrays.

    Args:
        source: a module, a state dict, `named_parameters()`, an exported program, or a checkpoint that holds state
            dicts at some depth; keys of nested ones are joined by dots.
    """
    if _is_module(source):
        return _of_module(source)
    source = getattr(source, "state_dict", source)  # of an exported program it is a mapping
    if not isinstance(source, Mapping) and isinstance(source, Iterable) and not isinstance(source, str | bytes):
        pairs = list(source)
        if all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            source = dict(pairs)
    if not isinstance(source, Mapping) or not all(isinstance(key, str) for key in source):
        raise TypeError(f"state_dict is a {type(source).__name__}, expected a mapping or a module: module.state_dict()")
    nested = any(isinstance(value, Mapping) for value in source.values())
    arrays = dict(_flat(source, "", 0)) if nested else dict(source)
    return _resolve(arrays), []


def lstm_prefixes(arrays: Mapping[str, Any]) -> list[str]:
    """What is before the keys of each `LSTM` and `LSTMCell`, whose weights have four blocks."""
    found = []
    for key in arrays:
        for first in ("weight_ih_l0", "weight_ih"):
            if key == first or key.endswith(f".{first}"):
                prefix = key.removesuffix(first)
                recurrent = shape_of(arrays.get(f"{prefix}{first.replace('ih', 'hh')}"))
                projected = f"{prefix}weight_hr_l0" in arrays
                # a GRU or an RNN has the same names, but three blocks or one
                if projected or len(recurrent) != 2 or recurrent[0] not in (recurrent[1], 3 * recurrent[1]):
                    found.append(prefix)
    return found


def check_kind(source: Any, prefix: str, kind: str, argument: str) -> None:
    """A refusal of a part of a live module that is of another kind than its arrays are read as."""
    part = dict(source.named_modules()).get(prefix.rstrip(".")) if _is_module(source) else None
    if part is None:
        return
    given = type(part).__name__
    if not any(base.__name__ == kind and base.__module__.startswith("torch.") for base in type(part).__mro__):
        raise ValueError(f"{argument} is {prefix.rstrip('.')!r}, a {given}, expected the path of an nn.{kind}")
    check_not_overridden(part, "forward", f"module {prefix.rstrip('.')!r}", "give its arrays")
    if getattr(part, "max_norm", None) is not None:
        raise ValueError(
            f"module {prefix.rstrip('.')!r} has max_norm={part.max_norm}, which changes rows as they are used: set it "
            "to None once torch.renorm has been applied to its weight"
        )


def _is_module(source: Any) -> bool:
    return any(kind.__name__ == "Module" and kind.__module__.startswith("torch.") for kind in type(source).__mro__)


def _of_module(module: Any) -> tuple[dict[str, Any], list[str]]:
    """The arrays of a live module: what it computes of parametrizations and of quantized weights, in their place."""
    kind = type(module).__name__
    if kind in ("GRU", "RNN", "GRUCell", "RNNCell"):
        raise TypeError(f"module is a torch.nn.{kind}, expected an LSTM: this package has no other recurrent layers")
    arrays = {key: value for key, value in module.state_dict().items() if is_array(value)}
    computing = []
    for name, part in module.named_modules():
        if "parametrizations" in name.split("."):  # what they compute is read below, of the module that has them
            continue
        prefix = f"{name}." if name else ""
        kind, package = type(part).__name__, type(part).__module__
        if any(base.__name__ in ("LSTM", "LSTMCell") for base in type(part).__mro__):
            check_not_overridden(part, "forward", f"module {name!r}", "give the state_dict of an LSTM")
            if changed := _changes(part):
                raise ValueError(f"module {name!r} has {changed}, which may compute anything: give its state_dict()")
        elif changed := _changes(part):
            computing.append(f"{changed} of {name or kind!r}")
        for parametrized in getattr(part, "parametrizations", None) or ():
            inside = f"{prefix}parametrizations.{parametrized}."
            arrays = {key: value for key, value in arrays.items() if not key.startswith(inside)}
            arrays[f"{prefix}{parametrized}"] = getattr(part, parametrized)
        if ".quantized." in package and (found := _dequantized(part)):
            arrays = {key: value for key, value in arrays.items() if not key.startswith(prefix)}
            arrays |= {f"{prefix}{key}": value for key, value in found.items()}
        is_leaf = not any(True for _ in part.children()) and not any(key.startswith(prefix) for key in arrays)
        if is_leaf and name and not kind.startswith(_UNCHANGED) and not package.startswith(_INSIDE):
            computing.append(f"{kind} {name!r}")
    return _resolve(arrays), computing


def _changes(part: Any) -> str:
    """What a module was given that may change its outputs, in words; the hooks of norms and of pruning do not count."""
    if "forward" in vars(part):
        return "a forward of its own"
    hooks = [*part._forward_pre_hooks.values(), *part._forward_hooks.values()]
    own = [
        hook for hook in hooks if not any(one.__module__.startswith("torch.nn.utils.") for one in type(hook).__mro__)
    ]
    return "a forward hook" if own else ""


def _dequantized(part: Any) -> dict[str, Any]:
    """The arrays of a dynamically quantized layer, which its state dict has as objects."""
    if hasattr(part, "get_weight"):
        found = {**part.get_weight(), **part.get_bias()}
    elif callable(getattr(part, "weight", None)):
        found = {"weight": part.weight(), "bias": part.bias()}
    else:
        return {}
    return {key: value for key, value in found.items() if value is not None}


def _flat(mapping: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """The arrays of nested mappings whose keys are strings: a checkpoint has state dicts next to other things."""
    for key, value in mapping.items():
        if not isinstance(key, str):
            return  # the state of an optimizer, by number
        if is_array(value):
            yield f"{path}{key}", value
        elif isinstance(value, Mapping) and depth < 8:
            yield from _flat(value, f"{path}{key}.", depth + 1)


def _resolve(arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays with weights that PyTorch normalizes computed from their parts, as it does outside training.

    The number of models that `torch.optim.swa_utils.AveragedModel` has averaged is left out: it computes nothing.
    """
    found = dict(arrays)
    for key in arrays:
        owner = key.removesuffix("n_averaged")
        if owner != key and shape_of(arrays[key]) == () and any(one.startswith(f"{owner}module.") for one in arrays):
            del found[key]
        path, _, name = key.rpartition(".")
        if name in ("original", "original0") and f".{path}".rpartition(".")[0].endswith(".parametrizations"):
            _parametrized(found, path)
        elif key.endswith("_g") and f"{key[:-2]}_v" in arrays:
            found[key[:-2]] = _weight_norm(found.pop(key), found.pop(f"{key[:-2]}_v"), key)
        elif key.endswith("_orig"):
            _hooked(found, key[: -len("_orig")])
    return found


def _parametrized(found: dict[str, Any], path: str) -> None:
    """Replace the parts of one parametrization, `….parametrizations.weight`, by its weight."""
    parts = {key.removeprefix(f"{path}."): key for key in found if key.startswith(f"{path}.")}
    owner, _, name = path.rpartition("parametrizations.")
    held = {part: found.pop(key) for part, key in parts.items()}
    if held.keys() == {"original0", "original1"}:
        found[f"{owner}{name}"] = _weight_norm(held["original0"], held["original1"], path)
    elif held.keys() == {"original", "0._u", "0._v"}:
        found[f"{owner}{name}"] = _spectral_norm(held["original"], held["0._u"], held["0._v"], path)
    else:
        raise ValueError(
            f"state_dict has {path!r} with {', '.join(held)}, of which only PyTorch computes {name!r}: give the "
            f"module, or first call torch.nn.utils.parametrize.remove_parametrizations(module, {name!r})"
        )


def _hooked(found: dict[str, Any], name: str) -> None:
    """Replace `_orig` with a mask of pruning, or with the vectors of the older spectral norm, by the weight."""
    if f"{name}_mask" in found:
        original, mask = (np.asarray(as_numpy(found.pop(f"{name}{end}"), f"{name}{end}")) for end in ("_orig", "_mask"))
        found[name] = original * mask
    elif f"{name}_u" in found:
        original, u = found.pop(f"{name}_orig"), found.pop(f"{name}_u")
        v = found.pop(f"{name}_v", None)
        if v is None:
            raise ValueError(f"state_dict has {name + '_u'!r} without {name + '_v'!r}: call remove_spectral_norm first")
        found[name] = _spectral_norm(original, u, v, name)


def _weight_norm(g: Any, v: Any, name: str) -> np.ndarray:
    """`g * v / ‖v‖`, the norm over the axes along which g has one entry, or over all."""
    size, direction = as_numpy(g, name), as_numpy(v, name)
    axes = tuple(axis for axis in range(direction.ndim) if size.ndim == 0 or size.shape[axis] == 1)
    norm = np.sqrt((direction * direction).sum(axes, keepdims=True))
    return np.asarray(direction * (size / norm), direction.dtype)


def _spectral_norm(weight: Any, u: Any, v: Any, name: str) -> np.ndarray:
    """`weight / (u · weight v)`, the largest singular value by the stored vectors."""
    matrix, left, right = (as_numpy(one, name) for one in (weight, u, v))
    if (left.size, right.size * left.size) != (len(matrix), matrix.size):
        raise ValueError(
            f"state_dict has {name!r} of shape {matrix.shape} with a spectral norm along another axis than the first: "
            f"give the module, or first call torch.nn.utils.parametrize.remove_parametrizations"
        )
    return np.asarray(matrix / (left @ (matrix.reshape(len(matrix), -1) @ right)), matrix.dtype)
