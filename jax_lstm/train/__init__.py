"""Training: `fit`, a pure and resumable loop on Optax."""

from jax_lstm.train._checkpoints import Checkpoints as Checkpoints
from jax_lstm.train._fit import fit as fit
from jax_lstm.train._loop import Fitted as Fitted
from jax_lstm.train._loop import History as History
