"""The kinds of series that the forecaster is trained on: values in natural units, with a season that is told.

```python
values = sample(KINDS[0], 100, seed=0)
```
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.pretrain import gaussian, processes, shapes, zeros
from experiments.pretrain.processes import Recipe, log_uniform
from experiments.pretrain.recipes import LINEAR, RECIPES

Make = Callable[[np.random.Generator, int, int, Sequence[float]], np.ndarray]
"""From a generator, rows, series and the season to values `(rows, series)`."""


class Kind(NamedTuple):
    """One kind of series at one frequency.

    Args:
        name: of the function that makes it.
        season: the periods that the forecaster is told, the shortest first; `(1,)` where there is none.
        lengths: the shortest and the longest series before the horizon, drawn log-uniformly.
        horizon: a typical one.
        count: how many series a full training has.
        make: the function.
    """

    name: str
    season: tuple[float, ...]
    lengths: tuple[int, int]
    horizon: int
    count: int
    make: Make


def sample(kind: Kind, count: int, *, seed: int, horizon: int | None = None) -> np.ndarray:
    """Series of one kind.

    Args:
        kind: one of `KINDS`.
        count: how many series.
        seed: of all draws; the same seed gives the same values.
        horizon: how many rows follow the longest length; those of the kind where None.

    Returns:
        `(rows, count)`, NaN before a series begins and where a value is missing. Only a closed day is missing among
        the last `horizon` rows.
    """
    horizon = kind.horizon if horizon is None else horizon
    rng = np.random.default_rng(seed)
    shortest, longest = kind.lengths
    rows = longest + horizon
    values = kind.make(rng, rows, count, kind.season)
    length = np.minimum(longest, log_uniform(rng, shortest, longest * 1.15, count)).astype(int)
    at = np.arange(rows)[:, None]
    known = np.where(at < longest, processes.missing(rng, typing_errors(rng, values, longest)), values)
    return np.where(at >= longest - length, known, np.nan)


def typing_errors(rng: np.random.Generator, values: np.ndarray, end: int) -> np.ndarray:
    """The values with one typing error in a twentieth of the series: ten times too high or too low, or a zero, half of
    the time in the last row before `end`.
    """
    count = values.shape[1]
    row = np.where(rng.random(count) < 0.5, end - 1, rng.integers(0, end, count))
    wrong = rng.choice([10.0, 0.1, 0.0], count)
    hit = (rng.random(count) < 0.05) & (np.arange(len(values))[:, None] == row)
    return np.where(hit, values * wrong, values)


def of_logarithms(recipe: Recipe) -> Make:
    """The processes of a recipe: most series are the exponential of their sum, a share the sum itself.

    A series begins where its sum is zero, so it is cut here and not by `sample`.
    """

    def make(rng: np.random.Generator, rows: int, count: int, season: Sequence[float]) -> np.ndarray:
        total = processes.draw(rng, count, rows, recipe)
        total = processes.lengths(rng, total, recipe, rows - recipe.lengths[1])
        scale = log_uniform(rng, 1e-2, 1e6, count)
        level = rng.choice([0.0, 1.0, 3.0], count) * rng.standard_normal(count)
        logs = rng.random(count) >= LINEAR
        positive = np.exp(np.clip(processes.positive(rng, total, recipe), -15, 15))
        return np.where(logs, positive, total + level) * scale

    return make


def kind_of(make: Make, season: tuple[float, ...], lengths: tuple[int, int], horizon: int, count: int) -> Kind:
    """A kind with the name of its function."""
    return Kind(make.__name__, season, lengths, horizon, count, make)


HORIZONS = {1: 6, 2: 6, 4: 8, 5: 10, 6: 12, 7: 14, 9: 9, 11: 11, 12: 18, 26: 13, 52: 13, 365: 30}
"""A typical horizon by season; 48 where there is none here."""

LOGARITHMS = tuple(
    Kind(
        "of_logarithms",
        (float(recipe.season),),
        (recipe.lengths[1], recipe.lengths[1]),
        HORIZONS.get(recipe.season, 48),
        count,
        of_logarithms(recipe),
    )
    for recipes in RECIPES.values()
    for recipe, count in recipes
)
"""The sums of processes, of every recipe."""

YEAR, QUARTER, MONTH, WEEK, DAY, HOUR = (
    ((1.0,), (8, 60), 6),
    ((4.0,), (14, 90), 8),
    ((12.0,), (30, 240), 18),
    ((52.0,), (40, 420), 13),
    ((7.0,), (30, 500), 28),
    ((24.0,), (100, 720), 48),
)
"""Season, lengths and horizon of each frequency."""

ANY = (YEAR, QUARTER, MONTH, WEEK, DAY, HOUR)

FEWER = (YEAR, QUARTER, MONTH)
"""Frequencies with half as many of the other kinds: real series are mostly like `LOGARITHMS` there, whose recipes were
chosen on M3's training parts.
"""

SHAPES = tuple(
    kind_of(make, *frequency, count // (2 if frequency in FEWER else 1))
    for make, frequencies, count in (
        (zeros.nights, (HOUR, ((48.0,), (200, 960), 48), ((96.0,), (300, 1152), 96)), 250),
        (zeros.closed_days, (DAY,), 600),
        (zeros.opening_hours, (HOUR, ((24.0, 168.0), (400, 1008), 48)), 250),
        (zeros.selling_season, (MONTH, QUARTER, WEEK), 250),
        (zeros.demand, (MONTH, DAY, WEEK, YEAR), 250),
        (zeros.small_counts, (MONTH, DAY, WEEK, HOUR), 150),
        (zeros.end_of_life, (MONTH, DAY, WEEK, QUARTER), 100),
        (zeros.interrupted, (MONTH, DAY, WEEK, HOUR), 80),
        (shapes.growth, (*ANY, WEEK), 200),
        (shapes.saturating, ANY, 100),
        (shapes.bounded, ANY, 100),
        (shapes.cumulative, ANY, 100),
        (shapes.large_level, ANY, 200),
        (shapes.steps, ANY, 80),
        (shapes.spikes, (MONTH, DAY, HOUR), 80),
        (shapes.sawtooth, (MONTH, DAY, HOUR, YEAR), 80),
        (shapes.sines, (MONTH, DAY, HOUR, YEAR), 80),
        (gaussian.regime_switching, ANY, 250),
        (gaussian.gaussian_process, (YEAR, QUARTER, MONTH, WEEK, DAY, HOUR), 120),
    )
    for frequency in frequencies
)
"""Every other kind, at each frequency where it is found."""

SEASONS = tuple(
    kind_of(make, season, lengths, horizon, count)
    for make, season, lengths, horizon, count in (
        (shapes.many_seasons, (24.0, 168.0), (350, 1008), 48, 800),
        (shapes.weeks_of_days, (24.0, 168.0), (350, 1008), 48, 1200),
        (shapes.regular_seasons, (24.0, 168.0), (350, 1008), 48, 250),
        (shapes.many_seasons, (7.0, 365.25), (400, 1500), 28, 300),
        (shapes.regular_seasons, (7.0, 365.25), (400, 1900), 60, 400),
        (shapes.many_seasons, (48.0, 336.0), (700, 1400), 48, 200),
        (shapes.weeks_of_days, (48.0, 336.0), (700, 1400), 96, 400),
        (shapes.many_seasons, (96.0, 672.0), (1400, 2400), 96, 100),
        (shapes.weeks_of_days, (96.0, 672.0), (1400, 2700), 96, 150),
        (shapes.regular_seasons, (96.0, 672.0), (1400, 2700), 96, 100),
        (shapes.many_seasons, (52.18,), (60, 420), 13, 400),
        (shapes.regular_seasons, (52.18,), (60, 420), 13, 150),
        (shapes.weeks_of_days, (169.0, 845.0), (900, 2000), 169, 150),
        (shapes.many_seasons, (24.0, 168.0, 8766.0), (700, 1500), 168, 150),
    )
)
"""Two and three seasons at once, and ones that are not whole."""

KINDS = (*LOGARITHMS, *SHAPES, *SEASONS)
"""All that the forecaster is trained on."""
