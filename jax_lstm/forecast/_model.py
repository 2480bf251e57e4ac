"""A fitted model: the package's networks trained further on a panel, with what held-out windows say of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jax_lstm.forecast._combine import Calibration, shares_by_series
from jax_lstm.forecast._inputs import Inputs
from jax_lstm.forecast._methods import Backtest
from jax_lstm.forecast._network import Network


class Tuned(NamedTuple):
    """What was fitted to the series of one season.

    Args:
        network: trained further, with the inputs as further features; None where that did not help.
        calibration: the shares of the methods and the intervals' factors, by held-out windows.
    """

    network: Network | None
    calibration: Calibration

    def networks(self, untouched: Network) -> dict[str, Network]:
        """The networks by name, the one whose quantiles count last."""
        return {"lstm": untouched} if self.network is None else {"lstm": untouched, "tuned": self.network}

    def shares_of(self, backtest: Backtest) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """The shares and factors of every series, and the methods.

        The factors are the fitted panel's. The shares are drawn from the panel's towards what does best on the windows
        of each series, on which the untouched network stands for both, as the other one may have learnt from them.
        """
        count, horizon = backtest.actuals.shape[1:]
        methods, factors = self.calibration.methods, self.calibration.factors
        longer = np.concatenate(
            [factors, np.repeat(factors[:, -1:], max(0, horizon - factors.shape[1]), axis=1)], axis=1
        )[:, :horizon]
        panel = {name: float(share) for name, share in zip(methods, self.calibration.shares, strict=True)}
        tuned = panel.pop("tuned")
        panel["lstm"] += tuned
        each = dict(zip(panel, shares_by_series(backtest, panel).T, strict=True))
        each["tuned"] = each["lstm"] * tuned / panel["lstm"]
        each["lstm"] = each["lstm"] - each["tuned"]
        shares = np.stack([each[name] for name in methods], axis=1)
        return shares, np.broadcast_to(longer[:, None], (2, count, horizon)), methods


class Forecaster(NamedTuple):
    """What `fit` found.

    Args:
        tuned: by season.
        inputs: the standards of the inputs that it was fitted with.
        horizon: how many steps ahead it was fitted for.
        about: anything that JSON keeps.
        report: whether training further helped on held-out windows, in words.
    """

    tuned: dict[int, Tuned]
    inputs: Inputs
    horizon: int
    about: dict[str, Any]
    report: str

    @property
    def season(self) -> tuple[int, ...]:
        """The seasons that it was fitted to."""
        return tuple(self.tuned)
