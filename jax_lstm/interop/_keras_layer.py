"""The LSTM layers of Keras by their configuration: which options are honored, which are refused, and their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.interop._arrays import shape_of
from jax_lstm.interop._layout import Layout, Stored
from jax_lstm.interop._stack import join_directions

KERAS = Layout("keras.layers.LSTM", "ifgo", w_x=0, w_h=1, biases=(2,))

EXPECTED = {"activation": "tanh", "recurrent_activation": "sigmoid", "merge_mode": "concat"}
"""The options that have one value that `network` computes; others are refused."""

HONORED = frozenset(
    {"units", "use_bias", "go_backwards", "return_sequences", "cell", "cells", "layer", "backward_layer"}
)
"""The options that the import follows."""

CALLERS = frozenset({"return_state", "stateful", "zero_output_for_mask", "time_major", "weights"})
"""The options about what goes in and out, which are the caller's here: see the page on Keras."""

WITHOUT_EFFECT = frozenset(
    {
        *("kernel_initializer", "recurrent_initializer", "bias_initializer", "unit_forget_bias", "seed"),
        *("kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "activity_regularizer"),
        *("kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout"),
        *("unroll", "use_cudnn", "implementation", "name", "trainable", "dtype", "autocast"),
        *("batch_input_shape", "batch_shape", "input_shape", "input_dim", "input_length", "sparse", "ragged"),
        *("num_constants", "input_spec", "reset_after"),
    }
)
"""The options of training, of how fast a layer runs, and of its name."""

_LSTMS = frozenset({"LSTM", "CuDNNLSTM"})


class Cell(NamedTuple):
    """One direction of one layer: where it is, and its options."""

    path: str
    config: Mapping[str, Any]
    is_cudnn: bool = False

    @property
    def arrays(self) -> int:
        """How many arrays it has."""
        return 3 if self.is_cudnn or self.config.get("use_bias", True) else 2


def is_lstm(kind: str, config: Mapping[str, Any]) -> bool:
    """Whether a layer of a class and a configuration is an LSTM, in one or two directions, or a stack of LSTM cells."""
    if kind in _LSTMS:
        return True
    if kind == "Bidirectional":
        inner = config.get("layer") or {}
        return is_lstm(inner.get("class_name", ""), inner.get("config") or {})
    return kind == "RNN" and all(one.get("class_name") == "LSTMCell" for one in _cells(config)) and bool(_cells(config))


def layers_of(kind: str, config: Mapping[str, Any], path: str) -> list[list[Cell]]:
    """The layers that an LSTM layer of Keras is made of, each a list of its directions, every option checked."""
    if kind in _LSTMS:
        _check(config, path)
        return [[Cell(path, config, kind == "CuDNNLSTM")]]
    if kind == "RNN":
        _check(config, path)
        cells = [Cell(path, one.get("config") or {}) for one in _cells(config)]
        for cell in cells:
            _check(cell.config, path)
        return [[cell] for cell in cells]
    if config.get("merge_mode") != "concat":
        raise ValueError(
            f"layer {path!r} has merge_mode={config.get('merge_mode')!r}, expected 'concat': give "
            "layer.get_weights() to from_keras, and merge the two halves of the outputs as its docstring says"
        )
    _check(config, path)
    forward = config["layer"]
    # Keras 2 writes no backward layer that is the forward one turned
    backward = config.get("backward_layer") or forward | {"config": forward["config"] | {"go_backwards": True}}
    sides = []
    for side, expected in ((forward, False), (backward, True)):
        if not is_lstm(side.get("class_name", ""), side.get("config") or {}) or side["class_name"] == "Bidirectional":
            raise ValueError(
                f"layer {path!r} has a {side.get('class_name')} in one direction, expected an LSTM in both"
            )
        layers = layers_of(side["class_name"], side["config"], path)
        if side["config"].get("go_backwards", False) != expected or len(layers) > 1:
            what = f"go_backwards={not expected}" if len(layers) == 1 else f"{len(layers)} cells"
            raise ValueError(f"layer {path!r} has {what} in a direction, expected {expected} and one cell")
        sides += layers[0]
    return [sides]


def goes_backwards(kind: str, config: Mapping[str, Any]) -> bool:
    """Whether a layer of one direction takes the last step first."""
    return kind != "Bidirectional" and bool(config.get("go_backwards", False))


def returns_sequences(kind: str, config: Mapping[str, Any]) -> bool:
    """Whether a layer returns its outputs of all steps."""
    inner = config["layer"]["config"] if kind == "Bidirectional" else config
    return bool(inner.get("return_sequences", False))


def stored(cells: list[list[Cell]], weights: Sequence[Any], name: str) -> list[Any]:
    """The arrays of the layers of one Keras layer, one after the other in its weights."""
    needed = sum(cell.arrays for sides in cells for cell in sides)
    if len(weights) != needed:
        shapes = ", ".join(str(shape_of(array)) for array in weights) or "none"
        raise ValueError(f"{name} has {len(weights)} arrays ({shapes}), expected {needed}: build the layer first")
    left = iter(weights)
    result = []
    for sides in cells:
        parts = []
        for cell in sides:
            arrays = [next(left) for _ in range(cell.arrays)]
            units = shape_of(arrays[1])[:1]
            if "units" in cell.config and units != (cell.config["units"],):
                raise ValueError(
                    f"{name} has units={cell.config['units']!r}, but its weights are for {units[0] if units else 0}"
                )
            parts.append(Stored(KERAS, dict(enumerate(_from_cudnn(arrays) if cell.is_cudnn else arrays)), name))
        result.append(join_directions(parts))
    return result


def _check(config: Mapping[str, Any], path: str) -> None:
    """A refusal of an option that changes what a layer computes."""
    for option, value in config.items():
        if option in EXPECTED:
            if value != EXPECTED[option]:
                raise ValueError(f"layer {path!r} has {option}={_shown(value)}, expected {EXPECTED[option]!r}")
        elif option not in HONORED | CALLERS | WITHOUT_EFFECT and value not in (None, False):
            raise ValueError(
                f"layer {path!r} has {option}={_shown(value)}, which is not a known option of a Keras LSTM"
            )


def _shown(value: Any) -> str:
    """A value of a configuration, an object of its own by its name."""
    return repr(value.get("registered_name") or value.get("class_name")) if isinstance(value, Mapping) else repr(value)


def _cells(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The cells of an RNN."""
    cell = config.get("cell") or {}
    if cell.get("class_name") == "StackedRNNCells":
        return list((cell.get("config") or {}).get("cells") or [])
    return [cell]


def _from_cudnn(arrays: Sequence[Any]) -> list[np.ndarray]:
    """The arrays of a CuDNNLSTM as an LSTM has them: blocks of gates turned, and the two biases added."""
    kernel, recurrent, bias = map(np.asarray, arrays)
    if kernel.ndim != 2 or recurrent.ndim != 2 or kernel.shape[1] % 4 or recurrent.shape[1] % 4 or bias.size % 2:
        return [kernel, recurrent, bias]  # refused by their shapes
    turned = [block.T.reshape(block.shape, order="F") for block in np.split(kernel, 4, axis=1)]
    return [
        np.concatenate(turned, axis=1),
        np.concatenate([block.T for block in np.split(recurrent, 4, axis=1)], axis=1),
        bias[: bias.size // 2] + bias[bias.size // 2 :],
    ]
