"""`predict_stream`: forecasts of more series than memory holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jax_lstm.forecast._forecasts import Forecasts
from jax_lstm.forecast._predict import predict


def predict_stream(batches: Iterable[Any], horizon: int, **options: Any) -> Iterator[Forecasts]:
    """The forecasts of each batch of series in turn; only one batch is in memory.

    A forecast depends on its series alone, so the batches may be cut anywhere, run on different machines, and come in
    any order: the numbers are those of one call.

    Args:
        batches: of series, each what `predict` takes.
        horizon: how many steps ahead.
        options: those of `predict`.

    Yields:
        The `Forecasts` of a batch.

    >>> import numpy as np
    >>> batches = ([np.arange(20.0) + number] for number in range(3))
    >>> [float(made.forecast[0][0].round()) for made in predict_stream(batches, 1, season=1)]
    [20.0, 21.0, 22.0]
    """
    for batch in batches:
        yield predict(batch, horizon, **options)
