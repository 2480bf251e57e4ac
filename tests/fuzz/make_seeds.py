"""Writes the valid files that mutants are made from: `python -m tests.fuzz.make_seeds`. Needs every framework."""

from __future__ import annotations

import gzip
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jax_lstm import Clip, Readout, forecast, init_network
from jax_lstm.checkpoint import Checkpoint
from jax_lstm.cli import formats
from jax_lstm.interop import to_onnx

from .formats import SEEDS

KEY = jax.random.key(0)
METADATA = {"series": "airline", "scale": 0.5, "levels": [1, None]}


def _shrunk(model: forecast.Model) -> forecast.Model:
    """The model with one member of two units in each network, and regular numbers, which pack well."""

    def shrunk(layer: Any, readout: Any) -> Any:
        kept = layer.w_h.shape[1] - 2
        shapes = (1, layer.w_x.shape[1], 8), (1, 2, 8), (1, 8), (1, readout.w.shape[1] - kept, readout.w.shape[2])
        w_x, w_h, b, w = (np.full(shape, 0.5, np.float32) for shape in shapes)
        return layer._replace(w_x=w_x, w_h=w_h, b=b), readout._replace(w=w, b=np.zeros_like(readout.b[:1]))

    networks = {name: type(one)(*shrunk(*one)) for name, one in model.networks.items()}
    return model._replace(networks=networks)


def _write_fronts() -> None:
    """Models with a normalization and an embedding in front of an LSTM."""
    import keras
    import onnx

    k = keras.layers
    before = [k.Rescaling(0.5), k.Normalization(mean=[1.0, 2.0], variance=[1.0, 4.0]), k.BatchNormalization()]
    model = keras.Sequential([keras.Input((None, 2)), *before, k.LSTM(2)])
    model.save(SEEDS / "keras-2.keras")
    model.save(SEEDS / "h5-2.h5")
    keras.Sequential([keras.Input((None,)), k.Embedding(3, 2), k.LSTM(2)]).save(SEEDS / "keras-3.keras")
    written = to_onnx(init_network(KEY, features=2, hidden=[2]))
    written.graph.node[0].input[0] = "scaled"
    written.graph.node.insert(0, onnx.helper.make_node("Mul", ["rows", "two"], ["scaled"]))
    written.graph.node.insert(0, onnx.helper.make_node("Gather", ["table", "tokens"], ["rows"]))
    tokens = onnx.helper.make_tensor_value_info("tokens", onnx.TensorProto.INT64, ["time", "batch"])
    written.graph.input[0].CopyFrom(tokens)
    constants = {"table": np.ones((3, 2), np.float32), "two": np.float32([2, 3])}
    written.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    (SEEDS / "onnx-2.onnx").write_bytes(written.SerializeToString())


def main() -> None:
    """Write all of them."""
    layers = init_network(KEY, features=2, hidden=[2, 2])
    plain = Checkpoint(layers, Readout(jnp.ones((2, 1)), jnp.zeros(1)))
    both = Checkpoint(init_network(KEY, features=1, hidden=[2], bidirectional=True))
    rich = init_network(KEY, features=2, hidden=[3], norm=True, peephole=True, projection=2, clip=Clip(cell=3.0))
    rich = jax.tree.map(lambda leaf: np.asarray(leaf, jnp.bfloat16), rich)
    for name in ("safetensors", "npz"):
        formats.write(SEEDS / f"{name}-0.{name}", plain._replace(metadata=METADATA))
        formats.write(SEEDS / f"{name}-1.{name}", Checkpoint(rich))
    for name in ("onnx", "pt", "keras", "h5"):
        formats.write(SEEDS / f"{name}-0.{name}", plain)
        formats.write(SEEDS / f"{name}-1.{name}", both)
    _write_fronts()
    small_model = _shrunk(forecast.calibrate([np.arange(40.0) % 7], 2, season=7))
    for number, half in ((0, False), (1, True)):
        path = SEEDS / f"model-{number}.safetensors"
        forecast.save(path, small_model._replace(horizon=2 + number), half=half)
        path.with_suffix(".safetensors.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    frame = pd.read_csv(SEEDS / "csv-0.csv", parse_dates=["ds"], thousands=",")
    small = frame[frame.unique_id == "north"][["ds", "y"]]
    frame.to_excel(SEEDS / "xlsx-0.xlsx", index=False)
    small.to_excel(SEEDS / "xlsx-1.xlsx", index=False)
    frame.to_parquet(SEEDS / "parquet-0.parquet")
    small.to_feather(SEEDS / "parquet-1.parquet")  # formats are recognized by their content
    frame.to_json(SEEDS / "json-0.json", orient="records", date_format="iso")
    small.to_json(SEEDS / "json-1.json", orient="records", lines=True, date_format="iso")
    for number in (0, 1):
        packed = gzip.compress((SEEDS / f"csv-{number}.csv").read_bytes(), mtime=0)
        (SEEDS / f"gz-{number}.csv.gz").write_bytes(packed)


if __name__ == "__main__":
    main()
