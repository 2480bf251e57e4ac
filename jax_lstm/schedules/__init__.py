"""How the work of a layer is arranged; the equations stand elsewhere, once."""

from functools import partial

from jax_lstm.schedules.fused import fused
from jax_lstm.schedules.scan import scan

SCHEDULES = {"auto": scan, "scan": scan, "fused": partial(fused, chunk=16), "deferred": fused}
