"""Weights in a file that describes itself: safetensors, verified in full on loading, readable without this package.

The format, version 1. A file is an ordinary safetensors file, so any reader of safetensors gives the arrays, under
their paths: `layers.0.w_x`, `layers.1.forward.norm.scale_x`, `readout.w`. Its metadata has two entries:

* `jax_lstm`: the description, a JSON object with `format` ("jax_lstm"), `version` (1), `about` (the layout of the
  arrays in words), `members` (the leading axes in front of each array's own: `[]` for one model, `[16]` for an ensemble
  of sixteen), `layers` (one object per layer), `readout` (an object or null) and `metadata` (what `save` was given, or
  null). An object has its `type` and its fields by name: `{"dtype": …, "shape": …}` for an array, a number, an object
  or null. A layer also has its sizes, `features`, `hidden` and `out`, and `gates`, the order of its gate blocks.
* `sha256`: the SHA-256, in hexadecimal, of the description's UTF-8 bytes followed by the data of every array
  (little-endian, C order), the arrays sorted by path.

Nothing in a file is ever executed. Reading takes memory of at most 64 times the header's size, of which a file has at
most 8 MiB, and twice the size of the arrays, whatever the file claims.

`save_arrays` and `load_arrays` write and read other files in the same container, such as the forecaster's models: the
description has the entries `format` (their kind), `version`, `about`, `facts` and `arrays` (dtypes and shapes by name).
"""

from jax_lstm.checkpoint._container import Content as Content
from jax_lstm.checkpoint._container import kind_of as kind_of
from jax_lstm.checkpoint._container import load_arrays as load_arrays
from jax_lstm.checkpoint._container import save_arrays as save_arrays
from jax_lstm.checkpoint._description import VERSION as VERSION
from jax_lstm.checkpoint._description import build as build
from jax_lstm.checkpoint._description import describe as describe
from jax_lstm.checkpoint._file import load as load
from jax_lstm.checkpoint._file import save as save
from jax_lstm.checkpoint._tree import Checkpoint as Checkpoint

__all__ = [
    "VERSION",
    "Checkpoint",
    "Content",
    "build",
    "describe",
    "kind_of",
    "load",
    "load_arrays",
    "save",
    "save_arrays",
]
