"""The weights of the methods, learned: one small network reads what every candidate's backtest says of a series, and
gives the candidate's weight at every step.

For each candidate of a series it sees its errors at the cutoffs relative to those of all candidates, its bias, and how
far its forecast is from the LSTM's. The same layers serve all candidates, which see each other through a mean:

    z = gelu(x A + a), z' = gelu([z, mean of z over candidates] B + b), logit(step) = z' c + d + t z' c'
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jax_lstm.forecast._backtest import Backtest
from jax_lstm.forecast.methods import NAMES

HIDDEN, FEATURES = 48, 30
"""The units of both layers; and how many features describe a candidate, without the name of its method."""

FARTHEST = 30.0
"""As how many scales an error counts at most, in the description of a candidate."""

LEAST = 0.005
"""What is taken off every weight, so that a candidate of next to no weight has none."""


class Combiner(NamedTuple):
    """The network, every leaf an array.

    Args:
        w_in, b_in, w_mid, b_mid, w_out, b_out: of its three layers.
        prior: what a method's logit starts from, `(methods,)`.
    """

    w_in: Any
    b_in: Any
    w_mid: Any
    b_mid: Any
    w_out: Any
    b_out: Any
    prior: Any


def weights(combiner: Combiner, x: Any, methods: np.ndarray, horizon: int, np: Any = np) -> Any:
    """The weights of the candidates at every step `(series, candidates, horizon)`, which add up to one.

    Args:
        combiner: the network.
        x: from `describe`, `(series, candidates, features)`.
        methods: the place in `NAMES` of each candidate's method.
        horizon: how many steps ahead.
        np: NumPy or `jax.numpy`.
    """
    names = np.broadcast_to(np.eye(len(NAMES), dtype=x.dtype)[methods], (*x.shape[:2], len(NAMES)))
    z = gelu(np.concatenate([x, names], axis=-1) @ combiner.w_in + combiner.b_in, np)
    mean = np.broadcast_to(z.mean(axis=1, keepdims=True), z.shape)
    z = gelu(np.concatenate([z, mean], axis=-1) @ combiner.w_mid + combiner.b_mid, np)
    out = z @ combiner.w_out + combiner.b_out
    t = np.linspace(-1.0, 1.0, horizon, dtype=x.dtype) if horizon > 1 else np.zeros(1, x.dtype)
    logits = (out[..., :1] + combiner.prior[methods][:, None]) + out[..., 1:] * t
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    share = np.maximum(odds / odds.sum(axis=1, keepdims=True) - LEAST, 0.0)
    return share / share.sum(axis=1, keepdims=True)


def gelu(x: Any, np: Any) -> Any:
    """The Gaussian error linear unit, by its tanh (Hendrycks and Gimpel 2016)."""
    return x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x * x * x))) / 2


def methods_of(tested: Backtest) -> np.ndarray:
    """The place in `NAMES` of each candidate's method."""
    return np.array([NAMES.index(one.method) for one in tested.candidates])


def describe(tested: Backtest, values: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """What is known of each candidate, `(series, candidates, FEATURES)`, float32.

    Args:
        tested: the backtest.
        values: the transformed series that it is of, `(rows, series)`.
        logs: which of them are logarithms.
    """
    count, (number, _, _, steps) = values.shape[1], tested.earlier.shape
    error = (tested.actuals - tested.earlier) / tested.scale[:, None]
    size = FARTHEST * np.tanh(np.abs(error) / FARTHEST)
    third = max(1, steps // 3)
    mean, recent = _mean(size, (1, 3)), _mean(size[:, :3], (1, 3))
    near, far = _mean(size[..., :third], (1, 3)), _mean(size[..., -third:], (1, 3))
    by_cutoff = _mean(size, (3,))
    with np.errstate(invalid="ignore"):
        wins = _mean(np.where(np.isnan(by_cutoff), np.nan, by_cutoff <= by_cutoff.min(axis=0) + 1e-6), (1,))
    bias = _mean(FARTHEST * np.tanh(error / FARTHEST), (1, 3))
    tests = (~np.isnan(tested.actuals)).any(axis=-1).sum(axis=0)

    def relative(one: np.ndarray) -> np.ndarray:
        return np.log((one + 1e-2) / (_mean(one, (0,)) + 1e-2))

    far_off = np.log(np.abs(tested.ahead - tested.ahead[:1]).mean(axis=-1) / tested.scale + 1e-2) / 2
    first = tested.candidates[0].season
    known = (~np.isnan(values)).sum(axis=0)
    own = np.array([one.season for one in tested.candidates], float)[:, None]
    shape = (number, count)
    each = [
        relative(mean),
        relative(recent),
        relative(near),
        relative(far),
        wins,
        np.clip(bias, -6, 6) / 2,
        np.abs(bias) / (mean + 0.1),
        far_off,
        np.broadcast_to(np.log(own / first) / 3, shape),
        np.broadcast_to(own == 1, shape),
        np.clip(np.log(known / own), -2, 5) / 2,
        np.log(mean + 1e-2),
    ]
    common = [
        np.log1p(tests),
        np.log(known) / 2 - 1.5,
        np.clip(np.log(known / first), -2, 5) / 2,
        np.full(count, np.log(first) / 2),
        np.full(count, first == 1),
        np.full(count, np.log(tested.ahead.shape[-1] / first)),
        np.full(count, np.log(tested.ahead.shape[-1]) - 2),
        np.log(_mean(mean, (0,)) + 1e-2),
        np.log(tested.offsets[1:3].mean(axis=(0, 2)) / tested.scale + 1e-3),
        logs.astype(float),
        np.where(logs, np.log(tested.scale) / 2 + 1.5, 0.0),
        *_zeros(values, logs),
        *_level(values, tested.scale),
    ]
    x = np.stack([*each, *(np.broadcast_to(one, shape) for one in common)], axis=-1)
    return np.clip(np.nan_to_num(x.transpose(1, 0, 2)), -12, 12).astype(np.float32)


def _mean(values: np.ndarray, axis: tuple[int, ...]) -> np.ndarray:
    """The mean of what is known, NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _zeros(values: np.ndarray, logs: np.ndarray) -> list[np.ndarray]:
    """The share of zeros, how long the zeros at the end are, and that relative to the longest zeros before."""
    zero = (values == 0) & ~logs
    run = np.zeros((2, values.shape[1]))  # the zeros that go on, and the longest before them
    for row, there in zip(zero, ~np.isnan(values), strict=True):
        ended = there & ~row
        run[1] = np.where(ended, np.maximum(run[0], run[1]), run[1])
        run[0] = np.where(ended, 0.0, run[0] + row)
    share = zero.sum(axis=0) / np.maximum((~np.isnan(values)).sum(axis=0), 1)
    return [share, np.log1p(run[0]) / 2, np.log((run[0] + 1) / (run[1] + 1)), (share > 0).astype(float)]


def _level(values: np.ndarray, scale: np.ndarray) -> list[np.ndarray]:
    """The share of values that are missing, how far the last values are from all, and how far those spread."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    some = known[-8:]
    last = np.where(some, np.nan_to_num(values[-8:]), 0.0).sum(axis=0) / np.maximum(some.sum(axis=0), 1)
    gone = 1 - count / np.maximum(len(values) - known.argmax(axis=0), 1)
    return [gone, np.clip((last - mean) / (spread + 1e-12), -4, 4), np.log(spread / scale + 1e-2) / 2]
