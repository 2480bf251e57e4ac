"""Large layers and single rows, stacks and both directions, float64, and every variant of the layer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark import ours, peers, timing
from experiments.benchmark.peers import Calls, Work, jax_calls
from experiments.benchmark.shapes import Shape
from jax_lstm import explain_schedule, init, init_network, interop, lstm, network


class Stack(NamedTuple):
    """Layers of one hidden size, in one or both directions."""

    shape: Shape
    layers: int
    bidirectional: bool


LAYERS = {
    "wide row": Shape(1, 100, 300, 512),
    "large": Shape(32, 50, 512, 1024),
    "one row": Shape(1, 700, 24, 160),
    "odd sizes": Shape(48, 90, 12, 96),
    "many rows": Shape(96, 200, 40, 200),
    "two inputs": Shape(200, 500, 2, 100),
}
STACKS = {
    "two layers, two directions, one row": Stack(Shape(1, 200, 40, 128), 2, True),
    "two layers, two directions": Stack(Shape(16, 100, 40, 128), 2, True),
    "two layers": Stack(Shape(32, 100, 32, 128), 2, False),
}
DOUBLE = {"float64": Shape(64, 128, 64, 128)}
OF_VARIANTS = Shape(64, 128, 64, 128)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "peepholes": {"peephole": True},
    "coupled gates": {"coupled": True},
    "layer normalization": {"norm": True},
    "projection to 64": {"projection": 64},
    "four heads": {"heads": 4},
    "sLSTM, four heads": {"heads": 4, "exponential": True},
    "diagonal": {"diagonal": True},
}


def measure_wide(part: str, names: list[str], seconds: float) -> dict[str, Any]:
    """Every system on layers, stacks and in float64; the names of the usual shapes play no part."""
    quick = seconds < 0.1
    rows = []
    for name, shape in LAYERS.items():
        work = ours.draw(shape.time, shape.batch, shape.features, shape.hidden)
        made = _made({"jax_lstm": ours.plain, **peers.PEERS}, work)
        rows.append(_row(name, shape, explain_schedule(work.params, work.xs).schedule, made, seconds))
        if quick:
            break
    for name, stack in STACKS.items():
        made = _made({"jax_lstm": _network, "torch": _torch, "ONNX Runtime": _onnxruntime}, _draw_stack(stack))
        rows.append(_row(name, stack.shape, "network", made, seconds))
        if quick:
            break
    with jax.enable_x64(True):
        for name, shape in DOUBLE.items():
            work = ours.draw(shape.time, shape.batch, shape.features, shape.hidden)
            params, xs = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (work.params, work.xs))
            work = Work(params, xs)
            makers = {"jax_lstm": ours.plain, "torch": peers.torch_calls, "Flax linen": peers.linen_calls}
            rows.append(_row(name, shape, explain_schedule(params, xs).schedule, _made(makers, work), seconds))
    return {"shapes": rows}


def measure_variants(part: str, names: list[str], seconds: float) -> dict[str, Any]:
    """Our own time of each variant, in turn with the plain layer, and its multiply-adds over those of the plain one."""
    batch, time, features, hidden = OF_VARIANTS
    xs = jax.random.normal(jax.random.key(1), (time, batch, features))
    plain = init(jax.random.key(0), features, hidden)
    rows = []
    for name, options in VARIANTS.items():
        params = init(jax.random.key(0), features, hidden, **options)
        row: dict[str, Any] = {"variant": name, "schedule": explain_schedule(params, xs).schedule}
        row["multiply-adds"] = _multiply_adds(params) / _multiply_adds(plain)
        calls = {which: jax_calls(_layer, layer, xs) for which, layer in (("plain", plain), ("variant", params))}
        for what in ("forward", "gradient"):
            times = timing.in_turn({which: passes[what] for which, passes in calls.items()}, seconds)
            row[what] = {which: 1e3 * best for which, best in times.items()}
        print(f"{name}: done", file=sys.stderr)
        rows.append(row)
    return {"sizes": list(OF_VARIANTS), "variants": rows}


def _multiply_adds(params: Any) -> int:
    """Those of one step of one row in matrix products; weights that act by element are not counted."""
    matrices = [params.w_x, params.w_h, getattr(params, "projection", None)]
    return sum(matrix.size for matrix in matrices if matrix is not None and matrix.ndim > 1)


def _layer(params: Any, xs: jax.Array) -> jax.Array:
    return lstm(params, xs)[1]


def _made(makers: dict[str, Callable[[Any], Calls]], work: Any) -> dict[str, Calls]:
    """The calls of every system that is installed."""
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make(work)
        except ImportError:
            print(f"{name}: not installed", file=sys.stderr)
    return found


def _row(name: str, shape: Shape, schedule: str, made: dict[str, Calls], seconds: float) -> dict[str, Any]:
    """The times of all systems on one piece of work, in milliseconds."""
    row: dict[str, Any] = {"shape": name, "sizes": list(shape), "schedule": schedule}
    for what in ("forward", "gradient"):
        calls = {system: passes[what] for system, passes in made.items() if what in passes}
        timing.refuse_unequal({system: call() for system, call in calls.items()})
        times = timing.in_turn(calls, seconds)
        row[what] = {"milliseconds": {system: 1e3 * best for system, best in times.items()}}
    print(f"{name}: done", file=sys.stderr)
    return row


def _draw_stack(stack: Stack) -> Work:
    """Drawn weights of a stack in the place of those of a layer, and inputs."""
    batch, time, features, hidden = stack.shape
    layers = init_network(jax.random.key(0), features, [hidden] * stack.layers, bidirectional=stack.bidirectional)
    return Work(layers, jax.random.normal(jax.random.key(1), (time, batch, features)))


def _network(work: Work) -> Calls:
    return jax_calls(lambda layers, xs: network(layers, xs)[1], work.params, work.xs)


def _torch(work: Work) -> Calls:
    """`torch.nn.LSTM` of several layers, in one or both directions."""
    import torch

    arrays = {key: torch.from_numpy(array.copy()) for key, array in interop.to_torch(work.params).items()}
    module = torch.nn.LSTM(
        work.xs.shape[2],
        arrays["weight_hh_l0"].shape[1],
        num_layers=len(work.params),
        bidirectional="weight_hh_l0_reverse" in arrays,
    )
    module.load_state_dict(arrays)
    return peers.passes_of_torch(module, work.xs)


def _onnxruntime(work: Work) -> Calls:
    """ONNX Runtime on one LSTM operator a layer: forward only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    model = interop.to_onnx(work.params).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.asarray(work.xs)}
    return {"forward": lambda: session.run(None, feed)[0]}
