"""Forecasts of a series with intervals: small LSTMs with smoothing beside them, tested on rolling origins against simple methods."""

from jax_lstm.forecast._backtest import ALONE as ALONE
from jax_lstm.forecast._backtest import BASELINES as BASELINES
from jax_lstm.forecast._backtest import OURS as OURS
from jax_lstm.forecast._backtest import Backtest as Backtest
from jax_lstm.forecast._backtest import backtest as backtest
from jax_lstm.forecast._backtest import rolling_origins as rolling_origins
from jax_lstm.forecast._backtest import scale as scale
from jax_lstm.forecast._backtest import scores as scores
from jax_lstm.forecast._model import STEPS as STEPS
from jax_lstm.forecast._model import Forecast as Forecast
from jax_lstm.forecast._model import Forecaster as Forecaster
from jax_lstm.forecast._model import explain as explain
from jax_lstm.forecast._model import fit as fit
from jax_lstm.forecast._model import load as load
from jax_lstm.forecast._model import predict as predict
from jax_lstm.forecast._model import save as save
from jax_lstm.forecast._table import Calendar as Calendar
from jax_lstm.forecast._table import Table as Table
from jax_lstm.forecast._table import read_csv as read_csv
