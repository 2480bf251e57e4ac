"""How the loops of `deferred` and `chunked` are arranged, for the sizes and the platform that they are lowered for."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from jax_lstm._cell import wide_dtype
from jax_lstm.schedules._products import Layout
from jax_lstm.schedules.problem import Problem

CHUNK = 16
"""How many steps `chunked` gathers before it makes products of their gradients; 8, 32 and 64 were no faster."""
FEW_ROWS = 16
"""Fewer rows than these make the products over `CHUNK` steps too small."""
LARGE_BYTES = 2**18
"""Weights of this size and more are multiplied in halves, which fit a core's cache."""
MANY_BYTES, LEFT_ROWS = 2**21, range(4, 65)
"""Weights of this size and more are the left factor of the product, for these numbers of rows."""


class Plan(NamedTuple):
    """Static configuration of the loops.

    Args:
        chunk: the number of steps whose gradients are gathered before large products are made of them; None for all.
        layout: how the loops arrange their products.
        hoisted: whether the product with the input is made before the forward loop, and the gates that are kept after
            it, for all steps at once. This leaves little for each step, as every launch counts on an accelerator.
    """

    chunk: int | None = None
    layout: Layout = "plain"
    hoisted: bool = False


def plan(problem: Problem, in_chunks: bool | None = None) -> Plan:
    """The plan for a problem: with chunks, without, or as the platform and the number of rows decide where None."""
    if in_chunks is None:
        in_chunks = makes_chunks(problem)
    # a symbolic number of steps has no known number of chunks
    chunk = CHUNK if in_chunks and isinstance(problem.time, int) else None
    return Plan(chunk, layout(problem), problem.platform != "cpu")


def makes_chunks(problem: Problem) -> bool:
    """Whether products over a few steps are large enough: on a CPU, for many rows; a symbolic number counts as many."""
    return problem.platform == "cpu" and (problem.rows is None or problem.rows >= FEW_ROWS)


def layout(problem: Problem) -> Layout:
    """How the loop of a custom backward pass arranges its products.

    A CPU's product packs its right factor into blocks at every step. Where that is many weights for few rows, the
    weights are the left factor, as they are: up to 2.7 times as fast. Else large ones come in halves: up to 1.7 times.
    """
    if problem.platform == "gpu":
        return "one kernel"
    # only layers with one matrix for all units have it in their loop
    if problem.platform != "cpu" or problem.kind != "LSTMParams" or problem.rows is None:
        return "plain"
    size = bytes_of_weights(problem)
    if problem.rows < LEFT_ROWS.start or size < LARGE_BYTES:
        return "plain"
    if problem.rows in LEFT_ROWS and size >= MANY_BYTES:
        return "weights left"
    return "halves"


def bytes_of_weights(problem: Problem) -> int:
    """The size of the matrices that the loop multiplies by, in the dtype that sums are made in."""
    itemsize = jnp.dtype(wide_dtype(problem.dtype)).itemsize
    return (problem.features + problem.out) * 4 * problem.hidden * itemsize
