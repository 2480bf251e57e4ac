"""Forecasts of any series with intervals: an LSTM and simple methods, weighed by what each did on the series before."""

from jax_lstm.forecast._calibrate import calibrate as calibrate
from jax_lstm.forecast._evaluate import Evaluation as Evaluation
from jax_lstm.forecast._evaluate import evaluate as evaluate
from jax_lstm.forecast._explain import explain as explain
from jax_lstm.forecast._explain import method_weights as method_weights
from jax_lstm.forecast._files import load as load
from jax_lstm.forecast._files import save as save
from jax_lstm.forecast._fit import EFFORTS as EFFORTS
from jax_lstm.forecast._fit import fit as fit
from jax_lstm.forecast._forecasts import Forecasts as Forecasts
from jax_lstm.forecast._model import Model as Model
from jax_lstm.forecast._predict import METHODS as METHODS
from jax_lstm.forecast._predict import predict as predict
from jax_lstm.forecast._scores import scale as scale
from jax_lstm.forecast._series import Panel as Panel
from jax_lstm.forecast._series import check_horizon as check_horizon
from jax_lstm.forecast._series import default_horizon as default_horizon
from jax_lstm.forecast._series import panel as panel
from jax_lstm.forecast._series import unused_covariates as unused_covariates
from jax_lstm.forecast._stream import predict_stream as predict_stream
from jax_lstm.tables import Calendar as Calendar
from jax_lstm.tables import Roles as Roles
from jax_lstm.tables import Table as Table
from jax_lstm.tables import read_table as read_table
from jax_lstm.tables import to_frame as to_frame
from jax_lstm.tables import with_holidays as with_holidays

__all__ = [
    "EFFORTS",
    "METHODS",
    "Calendar",
    "Evaluation",
    "Forecasts",
    "Model",
    "Panel",
    "Roles",
    "Table",
    "calibrate",
    "check_horizon",
    "default_horizon",
    "evaluate",
    "explain",
    "fit",
    "load",
    "method_weights",
    "panel",
    "predict",
    "predict_stream",
    "read_table",
    "save",
    "scale",
    "to_frame",
    "unused_covariates",
    "with_holidays",
]
