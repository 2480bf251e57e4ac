"""Tables of time series from files and data frames: typed, regular in time, and told how they were read."""

from jax_lstm.tables._calendar import Calendar as Calendar
from jax_lstm.tables._frames import to_frame as to_frame
from jax_lstm.tables._holidays import with_holidays as with_holidays
from jax_lstm.tables._read import read_table as read_table
from jax_lstm.tables._roles import Roles as Roles
from jax_lstm.tables._season import find_seasons as find_seasons
from jax_lstm.tables._table import Table as Table

__all__ = ["Calendar", "Roles", "Table", "find_seasons", "read_table", "to_frame", "with_holidays"]
