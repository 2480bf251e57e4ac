"""The command: make synthetic series, train on them, and write the package's model.

A stage takes what the others made from the model that is there: `--stage weights` keeps the LSTMs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.pretrain import weighing
from experiments.pretrain.training import TRAINING, pool
from experiments.results import results_folder
from jax_lstm.forecast import training
from jax_lstm.forecast.training import DESIGNS, PACKAGED, Model, Network, Windows, ensemble, learn, start

SEED = 100
STAGES = (*DESIGNS, "weights")
"""The two LSTMs, and the networks that weigh methods and make intervals."""

STEPS, QUICK_STEPS = 2000, 20
"""The training steps of the networks that weigh methods and make intervals: more of them learn the synthetic series by
heart, and are worse on real ones (the README).
"""


def train(name: str, *, quick: bool, progress: bool | None = None) -> tuple[Network, float]:
    """One LSTM, trained on series of its recipes, and the CPU seconds that it took."""
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
    center, quantiles = map(np.asarray, ensemble(network, windows.x, windows.valid, np.arange(len(windows.x))))
    known = ~np.isnan(windows.y)
    within = {
        f"{level} %": 100 * float(np.mean((windows.y >= quantiles[low])[known] & (windows.y <= quantiles[high])[known]))
        for level, low, high in ((80, 1, 2), (95, 0, 3))
    }
    error = np.abs(np.where(known, windows.y - center, 0)).mean() / np.abs(np.where(known, windows.y, 0)).mean()
    return within | {"error": float(error)}


def weigh(networks: dict[str, Network], *, quick: bool) -> tuple[Model, dict[float, float], float]:
    """The model of these LSTMs, the share of fresh synthetic values within its intervals, and the CPU seconds."""
    begin = time.process_time()
    share, steps = (0.002, QUICK_STEPS) if quick else (weighing.SHARE_OF_KINDS, STEPS)
    kinds = weighing.KINDS[::40] if quick else weighing.KINDS
    data = weighing.pool(SEED, networks, share=share, kinds=kinds)
    print(f"{sum(len(one.x) for one in data):,} series forecast in {time.process_time() - begin:.0f} s", flush=True)
    combiner = training.learn_combiner(data, key=jax.random.key(SEED + 2), steps=steps)
    print(f"weights of the methods learned after {time.process_time() - begin:.0f} s", flush=True)
    examples = training.step_examples(combiner, data)
    widths = training.learn_widths(examples, key=jax.random.key(SEED + 3), steps=steps)
    fresh = weighing.pool(SEED + 5000, networks, share=share / 2, kinds=kinds[::10])
    within = training.held(widths, training.step_examples(combiner, fresh))
    report = "the package's model, trained on synthetic series alone"
    about: dict[str, Any] = {"made by": "python -m experiments.pretrain", "seed": SEED, "quick": quick}
    about["training"] = {name: sizes._asdict() for name, sizes in TRAINING.items()} | {"steps": steps, "share": share}
    model = Model(networks, combiner, widths, np.ones((len(training.LEVELS), 1)), None, about, report)
    return model, within, time.process_time() - begin


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.pretrain", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a moment of training: says whether it runs, not how good it is"
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="some of the stages (default: all)")
    parser.add_argument(
        "--out", type=Path, help="the folder for model.safetensors (default: the package; temporary if quick)"
    )
    given = parser.parse_args(arguments)
    folder = results_folder(given.out, PACKAGED.parent, quick=given.quick)
    folder.mkdir(parents=True, exist_ok=True)
    networks = {} if set(DESIGNS) <= set(given.stages) else dict(training.packaged().networks)
    for name in DESIGNS:
        if name in given.stages:
            networks[name], seconds = train(name, quick=given.quick)
            found = held(networks[name], pool(SEED + 5000, name, DESIGNS[name], share=0.002 if given.quick else 0.03))
            rounded = {key: round(value, 3) for key, value in found.items()}
            print(f"{name}: {seconds:.0f} s of CPU; on fresh synthetic series", rounded, flush=True)
    model = training.packaged()._replace(networks=networks) if "weights" not in given.stages else None
    if model is None:
        model, within, seconds = weigh(networks, quick=given.quick)
        shares = ", ".join(f"{level:.0%} intervals hold {share:.1%}" for level, share in within.items())
        print(f"weights: {seconds:.0f} s of CPU; on fresh synthetic series {shares}")
    training.save(folder / PACKAGED.name, model, half=True)


if __name__ == "__main__":
    main()
