"""Forecasts of any series with intervals, by one small LSTM for all of them: with no fitting, or fitted to a panel."""

from jax_lstm.forecast._calendar import Calendar as Calendar
from jax_lstm.forecast._evaluate import Evaluation as Evaluation
from jax_lstm.forecast._evaluate import evaluate as evaluate
from jax_lstm.forecast._evaluate import scale as scale
from jax_lstm.forecast._explain import explain as explain
from jax_lstm.forecast._files import load as load
from jax_lstm.forecast._files import save as save
from jax_lstm.forecast._fit import EFFORTS as EFFORTS
from jax_lstm.forecast._fit import fit as fit
from jax_lstm.forecast._frames import columns_of as columns_of
from jax_lstm.forecast._frames import from_frame as from_frame
from jax_lstm.forecast._frames import to_frame as to_frame
from jax_lstm.forecast._model import Forecaster as Forecaster
from jax_lstm.forecast._panel import Panel as Panel
from jax_lstm.forecast._panel import panel as panel
from jax_lstm.forecast._predict import METHODS as METHODS
from jax_lstm.forecast._predict import Forecasts as Forecasts
from jax_lstm.forecast._predict import predict as predict
from jax_lstm.forecast._roles import Roles as Roles
from jax_lstm.forecast._table import Table as Table
from jax_lstm.forecast._table import read_csv as read_csv
