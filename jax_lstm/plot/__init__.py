"""Pictures of gates, weights, losses and forecasts: axes on a figure of their own, readable in print and in gray.

No function touches pyplot or any global setting: save a picture with `axes.figure.savefig(path)`.
"""

from jax_lstm.plot._axes import STYLES as STYLES
from jax_lstm.plot._evaluation import calibration as calibration
from jax_lstm.plot._evaluation import evaluation as evaluation
from jax_lstm.plot._evaluation import scores as scores
from jax_lstm.plot._explanation import explanation as explanation
from jax_lstm.plot._forecasts import forecast as forecast
from jax_lstm.plot._forecasts import forecasts as forecasts
from jax_lstm.plot._forecasts import one_of as one_of
from jax_lstm.plot._lstm import gates as gates
from jax_lstm.plot._lstm import losses as losses
from jax_lstm.plot._lstm import weights as weights

__all__ = [
    "STYLES",
    "calibration",
    "evaluation",
    "explanation",
    "forecast",
    "forecasts",
    "gates",
    "losses",
    "one_of",
    "scores",
    "weights",
]
