"""Eight devices give what one gives, under both kinds of mesh axes; and no step of a loop waits for another device."""

import platform
import subprocess
import sys
from functools import partial

import comparisons
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P
from programs import COLLECTIVE, collectives_in_loops
from strategies import SCHEDULES, every_schedule, usually

from jax_lstm import Carry, cell, init, init_network, lstm, network, trace
from jax_lstm.parallel import BATCH, batch_mesh, keep_freed_memory, replicate, shard_batch

LOOPS = ["auto", *(schedule for schedule in SCHEDULES if schedule != "unrolled")]
TIME, ROWS, FEATURES, HIDDEN = 6, 16, 2, 3
LONGER = 40  # more than any schedule takes for one chunk

PARAMS = init(jax.random.key(0), FEATURES, HIDDEN, peephole=True)
XS = jax.random.normal(jax.random.key(1), (TIME, ROWS, FEATURES))
CARRY = Carry(*jax.random.normal(jax.random.key(2), (2, ROWS, HIDDEN)))
LENGTHS = jnp.arange(ROWS, dtype=jnp.int32) % (TIME + 1)
RESETS = jax.random.bernoulli(jax.random.key(3), 0.2, (TIME, ROWS))


def loss(params, xs, carry, lengths, resets, *, schedule):
    last, hs = lstm(params, xs, carry, lengths=lengths, resets=resets, schedule=schedule)
    return jnp.sum(hs * hs) + jnp.sum(last.h * last.c)


def value_and_gradient(schedule):
    return jax.value_and_grad(partial(loss, schedule=schedule), argnums=(0, 1, 2))


def spread(mesh):
    """The arguments of `loss`, the parameters on every device and the batch over all of them."""
    xs, resets = shard_batch((XS, RESETS), mesh)
    carry, lengths = shard_batch((CARRY, LENGTHS), mesh, axis=0)
    return replicate(PARAMS, mesh), xs, carry, lengths, resets


# the sum over the batch is taken in another order
same = partial(comparisons.same, rtol=1e-5, atol=1e-5, least=None)


def compiled(schedule, mesh) -> str:
    """The program of a value and its gradient, for a sequence of several chunks."""
    params, xs, carry, lengths, resets = spread(mesh)
    xs, resets = shard_batch((jnp.zeros((LONGER, ROWS, FEATURES)), jnp.zeros((LONGER, ROWS), bool)), mesh)
    with jax.set_mesh(mesh):
        return jax.jit(value_and_gradient(schedule)).lower(params, xs, carry, lengths, resets).compile().as_text()


@every_schedule
@pytest.mark.parametrize("explicit", [False, True], ids=["automatic axes", "explicit axes"])
def test_eight_devices_give_what_one_gives(schedule, explicit):
    run = value_and_gradient(schedule)
    expected = jax.jit(run)(PARAMS, XS, CARRY, LENGTHS, RESETS)
    mesh = batch_mesh(explicit=explicit)
    assert mesh.size == 8
    with jax.set_mesh(mesh):
        found = jax.jit(run)(*spread(mesh))
    same(found, expected)
    assert len(found[1][1].sharding.device_set) == 8


@pytest.mark.parametrize("schedule", usually(LOOPS, ("auto", "chunked")))
@pytest.mark.parametrize("explicit", [False, True], ids=["automatic axes", "explicit axes"])
def test_no_collective_inside_the_loop(schedule, explicit):
    program = compiled(schedule, batch_mesh(explicit=explicit))
    assert COLLECTIVE.search(program), "the gradients of the weights are not reduced at all"
    assert collectives_in_loops(program) == set()


def test_a_scan_by_hand_shows_what_is_looked_for():
    """The gradient of a scan over the cell, left to the compiler to shard, reduces at every step: the search finds
    it.
    """

    def by_hand(params, xs, carry):
        return jnp.sum(jax.lax.scan(partial(cell, params), carry, xs)[0].h)

    params, xs, carry, *_ = spread(batch_mesh())
    program = jax.jit(jax.grad(by_hand)).lower(params, xs, carry).compile().as_text()
    assert collectives_in_loops(program) == {"all-reduce"}


@every_schedule
def test_inside_shard_map(schedule):
    mesh = batch_mesh()
    over_rows, over_columns = P(BATCH), P(None, BATCH)

    def gradients(params, xs, carry, lengths, resets):
        of_params, of_xs = jax.grad(partial(loss, schedule=schedule), argnums=(0, 1))(
            params, xs, carry, lengths, resets
        )
        return of_params, of_xs

    mapped = jax.shard_map(
        gradients,
        mesh=mesh,
        in_specs=(P(), over_columns, over_rows, over_rows, over_columns),
        out_specs=(P(), over_columns),
    )
    # the parameters are the same on all devices, so their gradient is summed over them by the rules of shard_map itself
    found = jax.jit(mapped)(*spread(mesh))
    same(found, jax.jit(value_and_gradient(schedule))(PARAMS, XS, CARRY, LENGTHS, RESETS)[1][:2])


@pytest.mark.parametrize("explicit", [False, True], ids=["automatic axes", "explicit axes"])
def test_networks_and_traces(explicit):
    layers = init_network(jax.random.key(0), FEATURES, [HIDDEN, HIDDEN], bidirectional=True, norm=True)
    mesh = batch_mesh(explicit=explicit)
    xs, lengths = shard_batch(XS, mesh), shard_batch(LENGTHS, mesh, axis=0)
    with jax.set_mesh(mesh):
        found = jax.jit(network)(replicate(layers, mesh), xs, lengths=lengths)
        found_trace = jax.jit(trace)(replicate(PARAMS, mesh), xs, lengths=lengths)
    same(found, network(layers, XS, lengths=LENGTHS))
    same(found_trace, trace(PARAMS, XS, lengths=LENGTHS))


@pytest.mark.parametrize("explicit", [False, True], ids=["auto", "explicit"])
def test_a_batch_that_jit_closes_over(explicit):
    xs = shard_batch(XS, batch_mesh(explicit=explicit))
    layers = (PARAMS, init(jax.random.key(4), HIDDEN, HIDDEN))
    closed = jax.jit(lambda: (lstm(PARAMS, xs)[1], trace(PARAMS, xs)[1], network(layers, xs)[1]))()
    same(closed, (lstm(PARAMS, XS)[1], trace(PARAMS, XS)[1], network(layers, XS)[1]))


@every_schedule
@pytest.mark.parametrize("explicit", [False, True], ids=["automatic axes", "explicit axes"])
def test_vmap_whose_axis_lies_along_the_mesh(schedule, explicit):
    """The rows inside `jax.vmap` are then whole on each device."""
    if explicit and jax.__version_info__ < (0, 10):
        pytest.skip("JAX 0.9 loses an explicit mesh inside jax.vmap with spmd_axis_name")
    mesh = batch_mesh(explicit=explicit)
    xs = jnp.stack([XS, 2 * XS, 0 * XS, -XS] * 2, axis=1)

    def gradient(params, xs):
        return jax.grad(lambda params: jnp.square(lstm(params, xs, schedule=schedule)[1]).sum())(params)

    with jax.set_mesh(mesh):
        over_devices = jax.vmap(gradient, in_axes=(None, 1), spmd_axis_name=BATCH)
        found = jax.jit(over_devices)(replicate(PARAMS, mesh), shard_batch(xs, mesh))
    same(found, jax.vmap(gradient, in_axes=(None, 1))(PARAMS, xs))


MINOR_FAULTS = """
import resource, jax, jax.numpy as jnp
from jax_lstm import init, lstm
from jax_lstm.parallel import keep_freed_memory

{first}
# more than the 32 MiB that glibc may keep by itself
params, xs = init(jax.random.key(0), 1, 256), jnp.ones((200, 64, 1))
# the CPU kernel asks for large pages, of which a few hundred are faults enough
gradient = jax.jit(jax.grad(lambda params: lstm(params, xs, schedule="chunked")[1].sum()))

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    jax.block_until_ready(gradient(params))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(min(faults() for _ in range(6)))
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_kept_memory_is_used_again():
    programs = [MINOR_FAULTS.format(first=first) for first in ("", "keep_freed_memory()")]
    fresh, kept = (
        int(subprocess.run([sys.executable, "-c", one], capture_output=True, text=True, check=True).stdout)
        for one in programs
    )
    assert kept < fresh / 10


def test_where_memory_cannot_be_kept_it_says_so(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    with pytest.raises(RuntimeError, match="glibc"):
        keep_freed_memory()
