"""The command: make synthetic series, train both networks on them, and write the weights of the package."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax
import numpy as np

from experiments.pretrain.recipes import TRAINING, pool
from jax_lstm.forecast._network import DESIGNS, Network, ensemble, learn, start
from jax_lstm.forecast._weights import FOLDER, write
from jax_lstm.forecast._windows import Windows

SEED = 100


def train(name: str, *, quick: bool, progress: bool | None = None) -> tuple[Network, float]:
    """One network, trained on series of its recipes, and the CPU seconds that it took."""
    begin, sizes, design = time.process_time(), TRAINING[name], DESIGNS[name]
    steps, share = (4, 0.002) if quick else (sizes.steps, sizes.share)
    network = start(jax.random.key(SEED), design=design, hidden=sizes.hidden, members=sizes.members)
    data = pool(SEED, name, design, share=share)
    key = jax.random.key(SEED + 1)
    fitted = learn(network, data, key=key, steps=steps, rate=sizes.rate, batch=sizes.batch, progress=progress)
    return fitted.params, time.process_time() - begin


def held(network: Network, windows: Windows) -> dict[str, float]:
    """The share of fresh synthetic values within the intervals, in per cent, and the mean scaled error, over that
    of the level.
    """
    centre, quantiles = map(np.asarray, ensemble(network, windows.x, windows.valid))
    known = ~np.isnan(windows.y)
    within = {
        f"{level} %": 100 * float(np.mean((windows.y >= quantiles[low])[known] & (windows.y <= quantiles[high])[known]))
        for level, low, high in ((80, 1, 2), (95, 0, 3))
    }
    error = np.abs(np.where(known, windows.y - centre, 0)).mean() / np.abs(np.where(known, windows.y, 0)).mean()
    return within | {"error": float(error)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.pretrain", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a moment of training: says whether it runs, not how good it is"
    )
    parser.add_argument("--only", choices=DESIGNS, help="one of the networks")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where to write the weights (default: the package)")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in DESIGNS if given.only is None else [given.only]:
        network, seconds = train(name, quick=given.quick)
        about = {
            "made by": "python -m experiments.pretrain",
            "seed": SEED,
            "training": TRAINING[name]._asdict(),
            "quick": given.quick,
        }
        write(given.out / f"{name}.safetensors", network, about)
        found = held(network, pool(SEED + 5000, name, DESIGNS[name], share=0.002 if given.quick else 0.03))
        print(
            f"{name}: {seconds:.0f} s of CPU; on fresh synthetic series",
            {key: round(value, 3) for key, value in found.items()},
        )


if __name__ == "__main__":
    main()
