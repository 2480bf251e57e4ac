"""Training: `fit`, a pure and resumable loop on Optax."""

from jax_lstm.train._fit import fit as fit
from jax_lstm.train._types import Checkpoints as Checkpoints
from jax_lstm.train._types import Fitted as Fitted
from jax_lstm.train._types import History as History

__all__ = ["Checkpoints", "Fitted", "History", "fit"]
