"""Files of networks: written at once, verified in full on reading."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from jax_lstm import _checks
from jax_lstm._files import read_bytes
from jax_lstm._types import Layer, Readout
from jax_lstm.checkpoint._container import unpack, write
from jax_lstm.checkpoint._description import KIND, VERSION, build, describe
from jax_lstm.checkpoint._template import place
from jax_lstm.checkpoint._tree import Checkpoint


def save(
    path: str | os.PathLike[str],
    layers: Sequence[Layer],
    readout: Readout | None = None,
    metadata: Mapping[str, Any] | None = None,
    carries: Sequence[Any] | None = None,
) -> None:
    """Write a network to a safetensors file; the old file stays until the new one is complete.

    Args:
        path: where to write, by convention `*.safetensors`.
        layers: a tuple of layers as `network` takes it, in float16, bfloat16, float32 or float64, each kept exactly.
            Every array may have the same leading axes in front, as stacked parameters for `vmap` have.
        readout: a linear readout of the last layer, with the same leading axes.
        metadata: a mapping of JSON values: strings, finite numbers, booleans, None, lists and dicts.

        carries: the initial states that belong to the network, such as learned ones, one per layer as `network` takes
            them, with a batch axis, of one entry where all sequences share them; with the same leading axes.

    Raises:
        ValueError: arrays that do not fit each other, a number in `metadata` or in a `Clip` that is not finite.
        TypeError: an entry of `layers` that is no layer, an unsupported dtype, metadata that JSON does not hold.
        OSError: the file cannot be written. ImportError: safetensors is missing.

    >>> import pathlib, tempfile, jax
    >>> from jax_lstm import init_network
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> layers = init_network(jax.random.key(0), features=3, hidden=[5, 4])
    >>> save(path, layers, metadata={"series": "airline"})
    >>> loaded = load(path)
    >>> loaded.metadata, [layer.w_x.shape for layer in loaded.layers]
    ({'series': 'airline'}, [(3, 20), (5, 16)])
    >>> bool((loaded.layers[1].w_h == layers[1].w_h).all())
    True
    """
    stack = _checks.check_stack(layers)
    readout = _checks.unwrapped(readout)
    starts = None if carries is None else tuple(_checks.unwrapped(carries))
    text, arrays = describe(Checkpoint(stack, readout, None if metadata is None else dict(metadata), starts))
    write(path, text, arrays)


def load(path: str | os.PathLike[str], template: Checkpoint | None = None) -> Checkpoint:
    """Read what `save` wrote, with every bit verified.

    Args:
        path: the file.
        template: a `Checkpoint(layers, readout)` of arrays or of `jax.ShapeDtypeStruct`, which the file has to match in
            structure, shapes and dtypes. The arrays are then JAX arrays, placed as the template's are; its metadata is
            ignored.

    Returns:
        A `Checkpoint`. Without a template its arrays are NumPy arrays, so that float64 stays exact whether x64 is
        enabled or not; every function of this package takes them.

    Raises:
        ValueError: a file that is truncated, corrupt, foreign or newer, or that does not match the template; the
            message names the leaf.
        OSError: the file cannot be read. ImportError: safetensors is missing.

    >>> import pathlib, tempfile, jax
    >>> from jax_lstm import init
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> save(path, (init(jax.random.key(0), features=3, hidden=5),))
    >>> load(path).layers[0].w_x.shape
    (3, 20)
    """
    name = os.fspath(path)
    text, arrays = unpack(read_bytes(path), name, KIND, VERSION)
    checkpoint = build(text, arrays, name)
    return checkpoint if template is None else place(checkpoint, template, name)
