"""The containers: every one a pytree, so `jax.tree.map`, `jax.vmap`, Optax and checkpoints work on them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

GATES = ("input", "forget", "candidate", "output")
"""The order of the gate blocks along the last axis of `w_x`, `w_h` and `b`: i, f, g, o. Coupled layers have no forget block."""


class Carry(NamedTuple):
    """What one step hands to the next: hidden state `h (*batch, out)` and cell state `c (*batch, hidden)`.

    `out` is `hidden`, or the width of the projection where there is one.
    """

    h: jax.Array
    c: jax.Array


class Coupled(NamedTuple):
    """Marks a layer whose forget gate is one minus its input gate (Greff et al. 2017); it holds no arrays."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Clip:
    """Bounds kept in the structure, not in the leaves, so that no optimiser touches them.

    Args:
        cell: the cell state is clipped to ±`cell` after every update; None leaves it free.
        gates: the pre-activations of all gates are clipped to ±`gates` (what ONNX calls `clip`).
    """

    cell: float | None = None
    gates: float | None = None


class LayerNorm(NamedTuple):
    """Gains and bias of a layer-normalised LSTM (Ba et al. 2016, equations 20 to 22), with 1e-5 added to the variances.

    `scale_x`, `scale_h` `(gates*hidden,)` act on `x @ w_x` and on `h @ w_h`; `scale_c`, `bias_c` `(hidden,)` on the cell state
    as the output sees it. The biases of the first two are the layer's `b`.
    """

    scale_x: jax.Array
    scale_h: jax.Array
    scale_c: jax.Array
    bias_c: jax.Array


class LSTMParams(NamedTuple):
    """The weights of one LSTM layer; an optional field that is there turns its variant on.

    Args:
        w_x: input weights `(features, 4*hidden)`, gate blocks in the order of `GATES` (`3*hidden` when coupled).
        w_h: recurrent weights `(out, 4*hidden)`, where `out` is `hidden` or the width of the projection.
        b: biases `(4*hidden,)`, or None for none.
        peephole: `(3, hidden)`, the cell's weights into i, f, o (Gers and Schmidhuber 2000); `(2, hidden)`, i and o, when coupled.
        projection: `(hidden, out)`, the recurrent projection (Sak et al. 2014).
        norm: layer normalisation.
        coupled: `Coupled()` for a forget gate of one minus the input gate.
        clip: bounds on the cell state or on the pre-activations.
    """

    w_x: jax.Array
    w_h: jax.Array
    b: jax.Array | None
    peephole: jax.Array | None = None
    projection: jax.Array | None = None
    norm: LayerNorm | None = None
    coupled: Coupled | None = None
    clip: Clip | None = None


class DiagonalParams(NamedTuple):
    """An LSTM layer whose recurrence is elementwise: each unit sees its own last hidden state alone.

    The fields are those of `LSTMParams`, but for `w_h (4*hidden,)`, one recurrent weight a gate and unit, and no projection.
    """

    w_x: jax.Array
    w_h: jax.Array
    b: jax.Array | None
    peephole: jax.Array | None = None
    norm: LayerNorm | None = None
    coupled: Coupled | None = None
    clip: Clip | None = None

    @property
    def projection(self) -> None:
        """None: a diagonal recurrence has no projection."""
        return None


Params = LSTMParams | DiagonalParams


class Bidirectional(NamedTuple):
    """A pair for the two directions: of parameters (a layer of `network`), of initial carries, or of traces."""

    forward: Any
    backward: Any


Layer = Params | Bidirectional


class FinalCarries(NamedTuple):
    """Where the two directions of a bidirectional layer ended: `forward` at the last step, `backward` at the first.

    A type of its own because it cannot be handed on to the next chunk; `network` refuses it and says why.
    """

    forward: Carry
    backward: Carry


def directions(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """The parts of a layer (or of its carry) with their names: both directions of a bidirectional one, else the value itself."""
    if isinstance(value, Bidirectional):
        return [(f"{name}.{side}", part) for side, part in zip(value._fields, value, strict=True)]
    return [(name, value)]


class Trace(NamedTuple):
    """The six values of a step, each `(*batch, hidden)`; from `trace` with a leading time axis."""

    forget_gate: jax.Array
    input_gate: jax.Array
    candidate: jax.Array
    cell_state: jax.Array
    output_gate: jax.Array
    hidden_state: jax.Array


class Zoneout(NamedTuple):
    """What zoneout keeps of the previous state (Krueger et al. 2017).

    Args:
        hidden: booleans `(time, *batch, out)`, true where a unit keeps its last hidden state, as in training (draw them with
            `zoneout_masks`); or one number, the share kept by every unit, as in evaluation.
        cell: the same for the cell state, `(time, *batch, hidden)`.
    """

    hidden: jax.Array | float | None
    cell: jax.Array | float | None


class Readout(NamedTuple):
    """A linear readout `y = h @ w + b`: `w (out, outputs)`, `b (outputs,)` or None."""

    w: jax.Array
    b: jax.Array | None = None
