"""Weights from and to other systems: plain NumPy arrays in their layout, and layers that `jax_lstm.network` runs.

`from_*` give a tuple of layers, `to_*` take one. No other framework needs to be there; ONNX needs the extra
`onnx`, in a clone `pip install '.[onnx]'`.
"""

from jax_lstm.interop._carries import carries_from_torch as carries_from_torch
from jax_lstm.interop._carries import carries_to_torch as carries_to_torch
from jax_lstm.interop._cudnn import from_cudnn as from_cudnn
from jax_lstm.interop._cudnn import to_cudnn as to_cudnn
from jax_lstm.interop._equinox import from_equinox as from_equinox
from jax_lstm.interop._equinox import to_equinox as to_equinox
from jax_lstm.interop._flax import from_flax as from_flax
from jax_lstm.interop._flax import to_flax as to_flax
from jax_lstm.interop._haiku import from_haiku as from_haiku
from jax_lstm.interop._haiku import to_haiku as to_haiku
from jax_lstm.interop._imported import Imported as Imported
from jax_lstm.interop._inputs import fold_inputs as fold_inputs
from jax_lstm.interop._keras import from_keras as from_keras
from jax_lstm.interop._keras import to_keras as to_keras
from jax_lstm.interop._keras_read import read_keras as read_keras
from jax_lstm.interop._onnx_read import from_onnx as from_onnx
from jax_lstm.interop._onnx_write import to_onnx as to_onnx
from jax_lstm.interop._tf1 import from_tf1 as from_tf1
from jax_lstm.interop._tf1 import to_tf1 as to_tf1
from jax_lstm.interop._torch import from_torch as from_torch
from jax_lstm.interop._torch import to_torch as to_torch
from jax_lstm.interop._torch_read import read_torch as read_torch

__all__ = [
    "Imported",
    "carries_from_torch",
    "carries_to_torch",
    "fold_inputs",
    "from_cudnn",
    "from_equinox",
    "from_flax",
    "from_haiku",
    "from_keras",
    "from_onnx",
    "from_tf1",
    "from_torch",
    "read_keras",
    "read_torch",
    "to_cudnn",
    "to_equinox",
    "to_flax",
    "to_haiku",
    "to_keras",
    "to_onnx",
    "to_tf1",
    "to_torch",
]
