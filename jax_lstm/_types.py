"""The containers: every one a pytree, so `jax.tree.map`, `jax.vmap`, Optax and checkpoints work on them as they are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import numpy as np
from jax import export

from jax_lstm._annotations import Array, Bool, Float
from jax_lstm._repr import short_repr

GATES = ("input", "forget", "candidate", "output")
"""The order of the gate blocks along the last axis of `w_x`, `w_h` and `b`: i, f, g, o. Coupled layers have no forget
block.
"""


class Carry(NamedTuple):
    """The recurrent state that one step passes to the next.

    Args:
        h: hidden state `(*batch, out)`, where `out` is `hidden`, or the width of the projection.
        c: cell state `(*batch, hidden)`; of a layer with exponential gates `(*batch, 3*hidden)`, the cell state, the
            normalizer and the stabilizer side by side.
    """

    h: Float[Array, "*batch out"]
    c: Float[Array, "*batch memory"]

    def __repr__(self) -> str:
        return short_repr(self)


class Coupled(NamedTuple):
    """Marks a layer whose forget gate is one minus its input gate (Greff et al. 2017); it holds no arrays."""


class Exponential(NamedTuple):
    """Marks a layer with an exponential input gate, a normalizer and a stabilizer, the sLSTM (Beck et al. 2024); it
    holds no arrays.
    """


@jax.tree_util.register_static
@dataclass(frozen=True)
class Clip:
    """Static bounds: part of the tree's structure, not of its leaves, so that no optimizer touches them.

    Args:
        cell: the cell state is clipped to ±`cell` after every update; None for no bound.
        gates: the pre-activations of all gates are clipped to ±`gates` (what ONNX calls `clip`); None for no bound.
    """

    cell: float | None = None
    gates: float | None = None

    def __post_init__(self) -> None:
        # NumPy's numbers are no JSON, which checkpoints and exported programs keep
        for name in ("cell", "gates"):
            value = getattr(self, name)
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())


class LayerNorm(NamedTuple):
    """Scales and bias of a layer-normalized LSTM (Ba et al. 2016, equations 20 to 22), with 1e-5 added to the
    variances.

    Args:
        scale_x: `(gates*hidden,)`, scales the normalized `x @ w_x`.
        scale_h: `(gates*hidden,)`, scales the normalized `h @ w_h`; the bias of both is the layer's `b`.
        scale_c: `(hidden,)`, scales the normalized cell state that the output sees.
        bias_c: `(hidden,)`, is added to it.
    """

    scale_x: Float[Array, " gates_hidden"]
    scale_h: Float[Array, " gates_hidden"]
    scale_c: Float[Array, " hidden"]
    bias_c: Float[Array, " hidden"]

    def __repr__(self) -> str:
        return short_repr(self)


class LSTMParams(NamedTuple):
    """The weights of one LSTM layer; an optional field that is present turns its variant on.

    Args:
        w_x: input weights `(features, 4*hidden)`, gate blocks in the order of `GATES` (`3*hidden` when coupled).
        w_h: recurrent weights `(out, 4*hidden)`, where `out` is `hidden` or the width of the projection.
        b: biases `(4*hidden,)`, or None for none.
        peephole: `(3, hidden)`, the cell's weights into i, f, o (Gers and Schmidhuber 2000); `(2, hidden)`, i and o,
            when coupled.
        projection: `(hidden, out)`, the recurrent projection (Sak et al. 2014).
        norm: layer normalization.
        coupled: `Coupled()` for a forget gate of one minus the input gate.
        clip: bounds on the cell state or on the pre-activations.
    """

    w_x: Float[Array, "features gates_hidden"]
    w_h: Float[Array, "out gates_hidden"]
    b: Float[Array, " gates_hidden"] | None
    peephole: Float[Array, "peepholes hidden"] | None = None
    projection: Float[Array, "hidden out"] | None = None
    norm: LayerNorm | None = None
    coupled: Coupled | None = None
    clip: Clip | None = None

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def features(self) -> int:
        """The number of inputs of a step."""
        return int(self.w_x.shape[-2])

    @property
    def hidden(self) -> int:
        """The number of units."""
        return int(self.w_x.shape[-1]) // (4 if self.coupled is None else 3)

    @property
    def out(self) -> int:
        """The width of the hidden state: `hidden`, or that of the projection."""
        return self.hidden if self.projection is None else int(self.projection.shape[-1])


class DiagonalParams(NamedTuple):
    """The weights of an LSTM layer whose recurrence is elementwise: each unit sees only its own previous hidden state.

    The fields are those of `LSTMParams`, but for `w_h (4*hidden,)`, one recurrent weight per gate and unit, and no
    projection.
    """

    w_x: Float[Array, "features gates_hidden"]
    w_h: Float[Array, " gates_hidden"]
    b: Float[Array, " gates_hidden"] | None
    peephole: Float[Array, "peepholes hidden"] | None = None
    norm: LayerNorm | None = None
    coupled: Coupled | None = None
    clip: Clip | None = None

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def projection(self) -> None:
        """None: a diagonal recurrence has no projection."""
        return None

    @property
    def features(self) -> int:
        """The number of inputs of a step."""
        return int(self.w_x.shape[-2])

    @property
    def hidden(self) -> int:
        """The number of units."""
        return int(self.w_x.shape[-1]) // (4 if self.coupled is None else 3)

    @property
    def out(self) -> int:
        """The width of the hidden state, `hidden`."""
        return self.hidden


class BlockDiagonalParams(NamedTuple):
    """The weights of an LSTM layer whose units form heads: each unit sees only the hidden state of its own head.

    The fields are those of `LSTMParams`, but for `w_h (heads, hidden/heads, 4*hidden/heads)`, no projection, and
    `exponential=Exponential()` for the gates of an sLSTM. `w_h[k]` has the gate blocks of head k, which is made of
    units `k*hidden/heads` to `(k+1)*hidden/heads - 1`.
    """

    w_x: Float[Array, "features gates_hidden"]
    w_h: Float[Array, "heads size gates_size"]
    b: Float[Array, " gates_hidden"] | None
    peephole: Float[Array, "peepholes hidden"] | None = None
    norm: LayerNorm | None = None
    coupled: Coupled | None = None
    clip: Clip | None = None
    exponential: Exponential | None = None

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def projection(self) -> None:
        """None: a layer of heads has no projection."""
        return None

    @property
    def features(self) -> int:
        """The number of inputs of a step."""
        return int(self.w_x.shape[-2])

    @property
    def hidden(self) -> int:
        """The number of units."""
        return int(self.w_x.shape[-1]) // (4 if self.coupled is None else 3)

    @property
    def out(self) -> int:
        """The width of the hidden state, `hidden`."""
        return self.hidden

    @property
    def heads(self) -> int:
        """The number of heads."""
        return int(self.w_h.shape[-3])


Params = LSTMParams | DiagonalParams | BlockDiagonalParams


def is_exponential(params: Params) -> bool:
    """Whether the input gate is exponential; only layers of heads can have it."""
    return isinstance(params, BlockDiagonalParams) and params.exponential is not None


def memory(params: Params) -> int:
    """The width of the carry's `c`."""
    return params.hidden * (3 if is_exponential(params) else 1)


T = TypeVar("T")


class Bidirectional(NamedTuple, Generic[T]):
    """A pair for the two directions: of parameters (a layer of `network`), of initial carries, or of traces."""

    forward: T
    backward: T

    def __repr__(self) -> str:
        return short_repr(self)


Layer = Params | Bidirectional[Params]


class FinalCarries(NamedTuple):
    """The final carries of a bidirectional layer: `forward` at the last step, `backward` at the first.

    A type of its own because it cannot be passed to the next chunk; `network` refuses it and says why.
    """

    forward: Carry
    backward: Carry

    def __repr__(self) -> str:
        return short_repr(self)


def directions(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """The parts of a layer (or of its carry) with their names: both directions of a bidirectional one, else the value
    itself.
    """
    if isinstance(value, Bidirectional):
        return [(f"{name}.{side}", part) for side, part in zip(value._fields, value, strict=True)]
    return [(name, value)]


class Trace(NamedTuple):
    """The six values of a step; `trace` puts a time axis in front of each.

    Args:
        forget_gate, input_gate, candidate, cell_state, output_gate: `(*batch, hidden)`.
        hidden_state: `(*batch, out)`, where `out` is `hidden`, or the width of the projection.
    """

    forget_gate: Float[Array, "*batch hidden"]
    input_gate: Float[Array, "*batch hidden"]
    candidate: Float[Array, "*batch hidden"]
    cell_state: Float[Array, "*batch hidden"]
    output_gate: Float[Array, "*batch hidden"]
    hidden_state: Float[Array, "*batch out"]

    def __repr__(self) -> str:
        return short_repr(self)


class Zoneout(NamedTuple):
    """What zoneout keeps of the previous state (Krueger et al. 2017); None for nothing.

    Args:
        hidden: booleans `(time, *batch, out)`, true where a unit keeps its previous hidden state, as in training (draw
            them with `zoneout_masks`); or one number, the share kept by every unit, as in evaluation.
        cell: the same for the cell state, `(time, *batch, hidden)`.
    """

    hidden: Bool[Array, "time *batch out"] | float | None
    cell: Bool[Array, "time *batch hidden"] | float | None

    def __repr__(self) -> str:
        return short_repr(self)


class Readout(NamedTuple):
    """A linear readout `y = h @ w + b`: `w (out, outputs)`, `b (outputs,)` or None."""

    w: Float[Array, "out outputs"]
    b: Float[Array, " outputs"] | None = None

    def __repr__(self) -> str:
        return short_repr(self)


# so that a program of `jax.export` that takes or returns them can be written to a file
for _container in (
    Carry,
    Coupled,
    Exponential,
    LayerNorm,
    LSTMParams,
    DiagonalParams,
    BlockDiagonalParams,
    Bidirectional,
    FinalCarries,
    Trace,
    Zoneout,
    Readout,
):
    export.register_namedtuple_serialization(_container, serialized_name=f"jax_lstm.{_container.__name__}")
export.register_pytree_node_serialization(
    Clip,
    serialized_name="jax_lstm.Clip",
    serialize_auxdata=lambda clip: json.dumps(asdict(clip)).encode(),
    deserialize_auxdata=lambda data: Clip(**json.loads(data)),
)
