"""How the work of a layer is arranged around the step; the equations stand elsewhere, once."""

from jax_lstm.schedules.kernels.cpu.library import use_native_kernel as use_native_kernel
from jax_lstm.schedules.registry import SCHEDULES as SCHEDULES
from jax_lstm.schedules.registry import Choice as Choice
from jax_lstm.schedules.registry import Problem as Problem
from jax_lstm.schedules.registry import Schedule as Schedule
from jax_lstm.schedules.registry import Verdict as Verdict
from jax_lstm.schedules.registry import choose as choose
from jax_lstm.schedules.registry import describe as describe
from jax_lstm.schedules.registry import platform_of as platform_of
from jax_lstm.schedules.registry import run_schedule as run_schedule
