"""How the work of a layer is arranged around the step; the equations stand elsewhere, once."""

from jax_lstm.schedules.choice import SCHEDULES as SCHEDULES
from jax_lstm.schedules.choice import Choice as Choice
from jax_lstm.schedules.choice import choose as choose
