"""What people do with an LSTM: the notebook's sequences, an ensemble, a training step, long sequences, wide batches."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmark import timing
from experiments.benchmark.ours import draw
from experiments.benchmark.peers import haiku_calls, torch_calls
from jax_lstm import Carry, from_gates, interop, lstm

GATES = {"forget": (0.5, 0.1, 0), "input": (0.6, 0.2, 0), "cell": (0.7, 0.3, 0), "output": (0.8, 0.4, 0)}


def measure(part: str, names: list[str], seconds: float) -> dict[str, Any]:
    """All of it; the shapes are those of the uses themselves."""
    return {
        "times": {
            "training step on small, milliseconds": training_step(seconds),
            "gradients of 32 parameter sets on small, milliseconds": ensemble(seconds),
            "three scalars, microseconds": three_scalars(seconds),
            "100,000 sequences of 64 scalars, milliseconds": many_scalars(seconds),
        },
        "scaling": scaling(seconds),
        "memory": memory(seconds),
    }


def notebook_in_numpy(xs: np.ndarray) -> np.ndarray:
    """The notebook's loop, its scalars replaced by arrays over sequences: the last states of `xs (time, batch)`."""
    w, u, b = (np.array([GATES[gate][k] for gate in ("forget", "input", "cell", "output")], xs.dtype) for k in range(3))
    h = c = np.zeros_like(xs[0])
    for x in xs:
        f, i, g, o = (w[k] * x + u[k] * h + b[k] for k in range(4))
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
    return h


def three_scalars(seconds: float) -> dict[str, float]:
    """One compiled call on the notebook's `[1, 2, 3]`, in microseconds, next to the fastest compiled call."""
    params, xs = from_gates(GATES), jnp.array([[1.0], [2.0], [3.0]])
    compiled, nothing = jax.jit(lambda params, xs: lstm(params, xs)[0].h), jax.jit(lambda scalar: scalar + 1)
    calls = {"jax_lstm": lambda: compiled(params, xs), "1 + 1 in JAX": lambda: nothing(1.0)}
    return {name: 1e6 * t for name, t in timing.in_turn(calls, seconds).items()}


def many_scalars(seconds: float, sequences: int = 100_000, steps: int = 64) -> dict[str, float]:
    """Many sequences of scalars, in milliseconds, next to the notebook's code on NumPy arrays."""
    xs = np.random.default_rng(0).normal(size=(steps, sequences)).astype("float32")
    params = from_gates(GATES)
    compiled = jax.jit(lambda params, xs: lstm(params, xs[..., None])[0].h[..., 0])
    here = jnp.asarray(xs)
    doubles = xs.astype("float64")  # what NumPy makes of the notebook's numbers
    calls = {
        "NumPy, float64": lambda: notebook_in_numpy(doubles),
        "NumPy, float32": lambda: notebook_in_numpy(xs),
        "jax_lstm, float32": lambda: compiled(params, here),
    }
    timing.refuse_unequal({name: call() for name, call in calls.items()})
    return {name: 1e3 * t for name, t in timing.in_turn(calls, seconds).items()}


def ensemble(seconds: float, members: int = 32) -> dict[str, float]:
    """The gradients of an ensemble on the small shape, in milliseconds: `vmap` over stacked parameters, or a loop."""
    works = [draw(100, 32, 8, 64, seed=seed) for seed in range(members)]
    xs = works[0].xs
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(work.params for work in works))

    def loss(params, xs):
        return jnp.sum(jnp.square(lstm(params, xs)[1]))

    together = jax.jit(jax.vmap(jax.grad(loss), in_axes=(0, None)))
    apart = jax.jit(jax.grad(loss))
    calls = {
        "jax_lstm, vmap": lambda: together(stacked, xs),
        "jax_lstm, loop": lambda: [apart(work.params, xs) for work in works],
    }
    for name, make in {"Haiku, loop": haiku_calls, "torch, loop": torch_calls}.items():
        try:
            passes = [make(work)["gradient"] for work in works]
        except ImportError:
            continue
        calls[name] = lambda passes=passes: [one() for one in passes]
    return {name: 1e3 * t for name, t in timing.in_turn(calls, seconds).items()}


def training_step(seconds: float, steps: int = 64) -> dict[str, float]:
    """One step of Adam on the small shape, in milliseconds: 64 steps inside one `jit`, next to torch's loop."""
    work = draw(100, 32, 8, 64)
    targets = jnp.sin(work.xs.sum(axis=2, keepdims=True))
    optimizer = optax.adam(1e-3)

    def train(params, xs, targets):
        def step(state, _):
            params, momenta = state
            gradient = jax.grad(lambda params: jnp.mean(jnp.square(lstm(params, xs)[1] - targets)))(params)
            updates, momenta = optimizer.update(gradient, momenta)
            return (optax.apply_updates(params, updates), momenta), None

        return jax.lax.scan(step, (params, optimizer.init(params)), None, length=steps)[0][0]

    compiled = jax.jit(train)
    calls = {"jax_lstm": lambda: compiled(work.params, work.xs, targets)}
    try:
        import torch
    except ImportError:
        pass
    else:
        module = torch.nn.LSTM(8, 64)
        module.load_state_dict(
            {key: torch.from_numpy(array.copy()) for key, array in interop.to_torch((work.params,)).items()}
        )
        adam = torch.optim.Adam(module.parameters(), 1e-3)
        xs, wanted = torch.tensor(np.array(work.xs)), torch.tensor(np.array(targets))

        def loop():
            for _ in range(steps):
                adam.zero_grad(set_to_none=True)
                (module(xs)[0] - wanted).square().mean().backward()
                adam.step()
            return xs.numpy()

        calls["torch"] = loop
    return {name: 1e3 * t / steps for name, t in timing.in_turn(calls, seconds).items()}


def scaling(seconds: float) -> dict[str, Any]:
    """Gradients against length (one row) and against the batch (ten steps), in milliseconds, with log-log slopes."""
    gradient = jax.jit(jax.grad(lambda params, xs: jnp.sum(jnp.square(lstm(params, xs)[1]))))

    def times(works):
        calls = {str(key): partial(gradient, work.params, work.xs) for key, work in works.items()}
        return {int(key): 1e3 * t for key, t in timing.in_turn(calls, seconds).items()}

    length = times({steps: draw(steps, 1, 8, 32) for steps in (100, 1_000, 10_000, 100_000)})
    batch = times({rows: draw(10, rows, 8, 32) for rows in (1, 10, 100, 1_000, 10_000, 100_000)})

    def slope(times, low, high):
        return float(np.log(times[high] / times[low]) / np.log(high / low))

    return {
        "length": length,
        "batch": batch,
        "slope, length 1e3 to 1e5": slope(length, 1_000, 100_000),
        "slope, batch 1e3 to 1e5": slope(batch, 1_000, 100_000),
    }


def memory(seconds: float, steps: int = 10_000) -> dict[str, dict[str, float]]:
    """The temporary memory (MiB) and the time (ms) of the gradient of a loss on the last state at length 10,000."""
    work = draw(steps, 8, 8, 64)
    calls, sizes = {}, {}
    for name in ("auto", "scan", "deferred", "chunked", "checkpointed"):

        def loss(params, xs, name=name):
            carry: Carry = lstm(params, xs, schedule=name)[0]
            return jnp.sum(jnp.square(carry.h))

        compiled = jax.jit(jax.grad(loss)).lower(work.params, work.xs).compile()
        sizes[name] = compiled.memory_analysis().temp_size_in_bytes / 2**20
        calls[name] = partial(compiled, work.params, work.xs)
    begin = timing.in_turn(calls, seconds)
    return {name: {"MiB": sizes[name], "milliseconds": 1e3 * begin[name]} for name in calls}
