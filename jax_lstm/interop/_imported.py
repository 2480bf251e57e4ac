"""What is read of a whole model: layers, a readout, and everything else by name."""

from __future__ import annotations

from typing import NamedTuple

from jax_lstm._annotations import Array, Float, Int
from jax_lstm._types import Bidirectional, Carry, Layer, Readout


class Imported(NamedTuple):
    """The LSTM of a whole model, as arguments of `network(layers, xs, carries, lengths=lengths, reverse=reverse)`.

    Args:
        layers: a tuple of layers.
        readout: the linear function of the last layer's hidden states that follows in the model, if any.
        carries: the initial states that the model holds, one per layer; None where it holds none. Their batch axis has
            one entry where all sequences start with the same, as learned states do: repeat it with
            `jax.tree.map(lambda state: jnp.broadcast_to(state, (batch, state.shape[1])), carries)`.
        lengths: the sequence lengths that the model holds; None where it holds none.
        reverse: whether its layers of one direction go from the last step to the first.
        reads: what the readout, or the model where there is none, takes of the outputs: "hs", all steps; "hs[-1]", the
            last one; "hs[::-1]", all steps from the last to the first; "carry.h", the final hidden state, of both
            directions side by side; or "carry.c", the final cell state.
        left_out: what the model has besides, by name.
        embedding: the table `(tokens, features)` in front of the layers, if any: `xs = embedding[tokens]`.
    """

    layers: tuple[Layer, ...]
    readout: Readout | None = None
    carries: tuple[Carry | Bidirectional[Carry], ...] | None = None
    lengths: Int[Array, " batch"] | None = None
    reverse: bool = False
    reads: str = "hs"
    left_out: tuple[str, ...] = ()
    embedding: Float[Array, "tokens features"] | None = None
