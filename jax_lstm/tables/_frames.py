"""Frames of pandas, polars, pyarrow and whatever else narwhals reads: read as sheets, returned as what was given."""

from __future__ import annotations

import datetime
import decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_lstm.tables._layouts import reads_as_times
from jax_lstm.tables._sheet import INSTALL, Sheet, is_text
from jax_lstm.tables._table import Table

if TYPE_CHECKING:
    import pandas


def narwhals() -> Any:
    """The library narwhals, or an error that names the extra."""
    try:
        import narwhals
        import pandas  # noqa: F401
    except ImportError as error:
        raise ImportError(f"tables need pandas and narwhals: {INSTALL}") from error
    return narwhals


def sheet_of_frame(frame: Any, name: str = "data frame") -> Sheet:
    """A frame with its types; an index of pandas that has a name or holds times counts as columns.

    Raises:
        TypeError: no frame. ValueError: columns of several levels. ImportError: narwhals or pandas is missing.
    """
    nw = narwhals()
    import pandas as pd

    index: tuple[Any, ...] = ()
    if isinstance(frame, pd.Series):
        frame = frame.to_frame("value" if frame.name is None else frame.name)
    if isinstance(frame, pd.DataFrame):
        frame, index = _with_index(frame)
    try:
        given = nw.from_native(frame)
    except TypeError:
        kind = type(frame).__name__
        raise TypeError(f"data is a {kind}, expected a path, or a frame of pandas, polars or pyarrow") from None
    given = given.collect() if isinstance(given, nw.LazyFrame) else given
    columns = {label: _column(given[label]) for label in given.columns}
    found = pd.DataFrame(columns, index=pd.RangeIndex(len(given)))
    return Sheet(name, found, "row", native=given, levels=index)


def _with_index(frame: pandas.DataFrame) -> tuple[pandas.DataFrame, tuple[Any, ...]]:
    """A frame of pandas with its index as columns, where that has times or names; and the names that it had."""

    if frame.columns.nlevels > 1:
        raise ValueError(
            "the data frame has columns of several levels: join them first, such as frame.columns.map('_'.join)"
        )
    frame = frame.rename(columns=str)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise ValueError(f"the data frame has several columns {twice[0]!r}: give each a name of its own")
    if frame.index.nlevels == 1 and frame.index.name is None and not _is_told(frame.index):
        return frame.reset_index(drop=True), ()
    given = tuple(frame.index.names)
    names = []
    for level in range(frame.index.nlevels):
        values = frame.index.get_level_values(level)
        dated = not is_text(values.to_series()) or reads_as_times(values.astype(str).to_series())
        dated = dated and (values.dtype.kind not in "iufb" or frame.index.nlevels == 1)
        label = given[level]
        label = str(label) if label is not None else "time" if dated else f"level {level}"
        names.append(label if label not in frame.columns else f"{label} (index)")
    frame = frame.rename_axis(index=names).reset_index()
    return frame, tuple(zip(names, given, strict=True))


def _is_told(index: pandas.Index) -> bool:
    """Whether an index without a name says something: times, text or years."""
    import pandas as pd

    if index.dtype.kind in "iuf":
        return not isinstance(index, pd.RangeIndex) and bool(index.to_series().between(1500, 2199).all())
    return index.dtype.kind != "b"


def _column(column: Any) -> pandas.Series:
    """One column of a narwhals frame as numbers, times or text of pandas."""
    nw = narwhals()
    import pandas as pd

    native = column.to_native()
    if isinstance(native, pd.Series):
        return typed(native.reset_index(drop=True))
    kind = column.dtype
    if isinstance(kind, nw.Datetime | nw.Date):
        zone = getattr(kind, "time_zone", None)
        times = pd.Series(np.asarray(column.cast(nw.Datetime("us", zone)).to_numpy(), "datetime64[us]"))
        return times.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else times
    if isinstance(kind, nw.Decimal | nw.Boolean):
        column = column.cast(nw.Float64)
    if column.dtype.is_numeric():
        full = column.null_count() == 0
        return pd.Series(column.to_numpy() if full else column.cast(nw.Float64).to_numpy())
    return typed(pd.Series(column.to_list(), dtype=object, name=column.name))


def typed(column: pandas.Series) -> pandas.Series:
    """A column of pandas as float or integer, datetime, period or text, whatever it was stored as."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return typed(column.astype(object if dtype.categories.dtype == object else dtype.categories.dtype))
    if isinstance(dtype, pd.IntervalDtype):  # as ranges of times in text
        return typed(pd.Series(column.array.left, index=column.index, name=column.name))
    if dtype.kind == "c":
        raise ValueError(f"column {column.name!r} holds complex numbers: take their real part, or their size")
    if isinstance(dtype, pd.ArrowDtype):
        kind = dtype.kind
        if kind == "M":
            zone = getattr(dtype.pyarrow_dtype, "tz", None)
            return column.astype(f"datetime64[us, {zone}]" if zone else "datetime64[us]")
        if kind in "biuf" or dtype.name.startswith("decimal"):
            return pd.Series(column.to_numpy(float, na_value=np.nan), index=column.index, name=column.name)
        return typed(column.astype(object))
    if pd.api.types.is_bool_dtype(dtype) or (pd.api.types.is_extension_array_dtype(dtype) and dtype.kind in "iuf"):
        values = column.to_numpy(float, na_value=np.nan)
        whole = dtype.kind in "iu" and not column.isna().any()
        return pd.Series(column.to_numpy(np.int64) if whole else values, index=column.index, name=column.name)
    if not is_text(column):
        return column
    known = column.dropna()
    nested = known.map(lambda cell: isinstance(cell, list | dict | tuple | np.ndarray))
    if not isinstance(dtype, pd.StringDtype) and nested.any():
        raise ValueError(
            f"column {column.name!r} holds lists: expected one value in each row (frame.explode unpacks them)"
        )
    if len(known) == 0:
        return pd.Series(np.full(len(column), np.nan), index=column.index, name=column.name)
    kinds = {str} if isinstance(dtype, pd.StringDtype) else set(map(type, known))
    if all(issubclass(kind, int | float | decimal.Decimal | np.number | np.bool_) for kind in kinds):
        return column.astype(float)
    if all(issubclass(kind, datetime.date) for kind in kinds):
        return pd.to_datetime(column, utc=len({getattr(one, "tzinfo", None) for one in known}) > 1)
    codes, unique = pd.factorize(column)
    texts = np.array([*map(_text, unique), ""], object)
    return pd.Series(texts[codes], index=column.index, name=column.name, dtype=object)


def _text(cell: Any) -> str:
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return str(cell.date())
    return str(int(cell)) if isinstance(cell, float) and cell == int(cell) else str(cell).strip()


def to_frame(forecasts: Any, table: Table, *, backend: str | None = None) -> Any:
    """Forecasts as a data frame of the library, types, names and index that the data came in.

    Args:
        forecasts: what `jax_lstm.forecast.predict` returned for the table.
        table: the series that were forecast.
        backend: "pandas", "polars" or another one that narwhals makes; that of the data where None.

    Returns:
        A row for each series and time: the columns of the series' names where there are any, the time, `forecast`,
        and `low 80 %`, `high 80 %` and so on.

    Raises:
        ValueError: forecasts of other series. ImportError: narwhals or the backend is missing.
    """
    import pandas as pd

    if forecasts.names != table.names:
        raise ValueError(
            f"forecasts are of {len(forecasts.names)} series, expected the {len(table.names)} of the table, named alike"
        )
    sizes = [len(one) for one in forecasts.forecast]
    ahead = [table.times_ahead(number, size) for number, size in enumerate(sizes)]
    numbers = {"forecast": np.concatenate(forecasts.forecast)}
    for level in forecasts.lower:
        numbers[f"low {100 * level:g} %"] = np.concatenate(forecasts.lower[level])
        numbers[f"high {100 * level:g} %"] = np.concatenate(forecasts.upper[level])
    times = ahead[0].append(ahead[1:]) if len(ahead) > 1 else ahead[0]
    rows = np.repeat(np.arange(len(sizes)), sizes)
    origin, time = table.origin, table.roles.time_name
    keys = {} if origin.keys is None else {name: origin.keys[name].take(rows) for name in origin.keys}
    if backend in (None, "pandas") and origin.library == "pandas":
        frame = pd.DataFrame(keys).reset_index(drop=True) if keys else pd.DataFrame(index=range(len(rows)))
        frame[time] = _like(times, origin.time_type)
        frame = frame.assign(**numbers)
        index = {old: new for old, new in origin.levels if old in frame}
        return frame.set_index(list(index)).rename_axis(index=list(index.values())) if index else frame
    nw = narwhals()
    backend = backend or origin.library
    types = dict(zip(keys, origin.key_types or [None] * len(keys), strict=False))
    columns = {name: _series(nw, name, keys[name], types.get(name), backend) for name in keys}
    columns[time] = _series(nw, time, pd.Series(times), origin.time_type, backend)
    columns |= {
        name: nw.new_series(name, values.tolist(), nw.Float64, backend=backend) for name, values in numbers.items()
    }
    return nw.from_dict(columns, backend=backend).to_native()


def _series(nw: Any, name: str, values: pandas.Series, dtype: Any, backend: str) -> Any:
    made = nw.new_series(name, values.tolist(), backend=backend)
    return made.cast(dtype) if isinstance(dtype, nw.dtypes.DType) and not isinstance(dtype, nw.Object) else made


def _like(times: pandas.Index, dtype: Any) -> Any:
    """Times in the type that they came in, where that can hold them."""
    import pandas as pd

    if isinstance(dtype, pd.PeriodDtype):
        return pd.PeriodIndex(times, freq=dtype.freq)
    if dtype is None or times.dtype.kind not in "M" or getattr(dtype, "kind", "O") != "M":
        return times
    return times.astype(dtype)
