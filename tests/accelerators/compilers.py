"""Compilers of accelerators that are not there: libtpu compiles for any TPU, and the CUDA plugin for an H100 that a
file describes."""

from __future__ import annotations

import os
import re
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jax_lstm import init, init_network, lstm, network, zero_carries, zero_carry

TPUS = {"v5e": "v5e:2x2", "v6e": "v6e:2x2", "v5p": "v5p:2x2x1", "tpu7x": "tpu7x:2x2x1"}
H100 = Path(__file__).with_name("h100.txtpb")


class Shape(NamedTuple):
    """Of a layer and its input."""

    time: int
    batch: int
    features: int
    hidden: int


@cache
def mesh(chip: str, count: int = 1):
    """A mesh of one axis, `batch`, over a number of chips; while it is set, JAX compiles for them."""
    if chip == "h100":
        topology = topologies.get_topology_desc(platform="cuda", target_config=H100.read_text(), topology="1x1x1")
    else:
        topology = topologies.get_topology_desc(platform="tpu", topology_name=TPUS[chip])
    return jax.make_mesh((count,), ("batch",), axis_types=(AxisType.Auto,), devices=topology.devices[:count])


def compile_gradient(
    chip: str, schedule: str, shape: Shape, dtype, options=(), *, chips: int = 1, compiler_options=None, stack=None
):
    """The program of a layer's values and gradients with respect to weights, input and carry, compiled for a chip.

    With `stack`, the number of layers and whether they have both directions, that of a network.
    """
    on = mesh(chip, chips)

    def array(*sizes, batch_axis, dtype=dtype):
        spec = PartitionSpec(*("batch" if axis == batch_axis else None for axis in range(len(sizes))))
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=NamedSharding(on, spec))

    time, batch, features, hidden = shape
    if stack is None:
        run, make, zeros = lstm, partial(init, features=features, hidden=hidden), zero_carry
    else:
        layers, both = stack
        make = partial(init_network, features=features, hidden=[hidden] * layers, bidirectional=both)
        run, zeros = network, zero_carries
    params = jax.eval_shape(make, jax.random.key(0))
    carry = jax.eval_shape(partial(zeros, batch_shape=(batch,)), params)
    carry = jax.tree.map(lambda leaf: array(*leaf.shape, batch_axis=0), carry)
    params = jax.tree.map(lambda leaf: array(*leaf.shape, batch_axis=None), params)
    given = {
        "lengths": array(batch, batch_axis=0, dtype=jnp.int32),
        "mask": array(time, batch, batch_axis=1, dtype=bool),
        "resets": array(time, batch, batch_axis=1, dtype=bool),
    }

    def loss(arrays, given):
        params, xs, carry = arrays
        values = jax.tree.leaves(run(params, xs, carry, schedule=schedule, **given))
        return sum(jnp.sum(jnp.sin(value.astype(jnp.float32))) for value in values)

    arguments = (params, array(time, batch, features, batch_axis=1), carry), {name: given[name] for name in options}
    with jax.set_mesh(on):
        traced = jax.jit(jax.value_and_grad(loss)).trace(*arguments)
        return traced.lower().compile(compiler_options=compiler_options)


def custom_calls(program: str) -> list[str]:
    return re.findall(r'custom_call_target="([^"]*)"', program)


class Loop(NamedTuple):
    """A loop of an H100's program: whether a command buffer holds it, and what it launches in one pass."""

    captured: bool
    launches: list[str]


def loops(thunks: str) -> list[Loop]:
    """The loops in a dump of thunks: one per line, `number: kind …`, each indented below the one that holds it."""
    rows = []
    for line in thunks.splitlines():
        if line.strip() == "body:":
            rows.append((None, "body"))
        elif match := re.match(r"( *)\d+: (k\w+)", line):
            rows.append((len(match[1]), match[2]))
    found, buffers = [], []
    for position, (indent, kind) in enumerate(rows):
        if indent is None:
            continue
        buffers = [outer for outer in buffers if outer < indent]
        if kind == "kCommandBuffer":
            buffers.append(indent)
        if kind == "kWhile":
            inside = []
            for deeper, launched in rows[position + 1 :]:
                if deeper is not None and deeper <= indent:
                    break
                inside.append(launched)
            found.append(Loop(bool(buffers), inside[inside.index("body") + 1 :]))
    return found


def thunks() -> str:
    """The thunks of the last program that was compiled for a GPU, from where XLA_FLAGS tells XLA to dump them."""
    folder = Path(re.search(r"--xla_dump_to=(\S+)", os.environ["XLA_FLAGS"])[1])
    return max(
        folder.glob("*thunk_sequence_after_thunk_passes.txt"), key=lambda path: path.stat().st_mtime_ns
    ).read_text()
