"""How the work of a layer is arranged around the step, whose equations are in `jax_lstm._cell`."""

from jax_lstm.schedules.problem import Problem as Problem
from jax_lstm.schedules.registry import SCHEDULES as SCHEDULES
from jax_lstm.schedules.registry import Choice as Choice
from jax_lstm.schedules.registry import Schedule as Schedule
from jax_lstm.schedules.registry import register as register
from jax_lstm.schedules.rules import Verdict as Verdict

__all__ = ["SCHEDULES", "Choice", "Problem", "Schedule", "Verdict", "register"]
