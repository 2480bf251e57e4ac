"""One compilation for each shape and set of options; values, keys and carries are arguments and never compile again."""

import jax
import jax.numpy as jnp
import pytest
from strategies import SCHEDULES, usually

from jax_lstm import (
    Readout,
    Zoneout,
    cell,
    chrono,
    drop_connect,
    dropout_mask,
    fit_readout,
    from_gates,
    init,
    init_network,
    lstm,
    network,
    network_step,
    readout,
    trace,
    trace_network,
    uniform,
    zero_carries,
    zero_carry,
    zoneout_masks,
)

COMPILED: list[str] = []


def _listen(event, duration, **about):
    if event == "/jax/core/compile/backend_compile_duration":
        COMPILED.append(event)


jax.monitoring.register_event_duration_secs_listener(_listen)


def compilations(function, *arguments) -> int:
    before = len(COMPILED)
    jax.block_until_ready(function(*arguments))
    return len(COMPILED) - before


def values(seed: int):
    """Arguments that differ in value alone."""
    keys = jax.random.split(jax.random.key(seed), 4)
    params = init(keys[0], 2, 3)
    xs = jax.random.normal(keys[1], (5, 4, 2))
    carry = jax.tree.map(lambda leaf: leaf + seed, zero_carry(params, (4,)))
    return {
        "key": keys[2],
        "params": params,
        "layers": init_network(keys[0], 2, [3, 3]),
        "both ways": init_network(keys[0], 2, [3], bidirectional=True),
        "xs": xs,
        "carry": carry,
        "lengths": jnp.array([5, 2, seed, 0]),
        "mask": xs[..., 0] > 0,
        "resets": xs[..., 1] > 1,
        "noise": zoneout_masks(keys[3], params, xs, hidden=0.1, cell=0.1),
        "readout": Readout(jnp.full((3, 1), 1.0 + seed)),
        "hs": jax.random.normal(keys[3], (20, 3)),
        "targets": jax.random.normal(keys[2], (20, 1)),
        "gates": {name: (0.5 + seed, 0.1, 0.0) for name in ("forget", "input", "cell", "output")},
    }


def gradient(params, xs, carry, lengths, *, schedule):
    return jax.grad(lambda params: lstm(params, xs, carry, lengths=lengths, schedule=schedule)[1].sum())(params)


ENTRIES = {
    "cell": lambda v: cell(v["params"], v["carry"], v["xs"][0]),
    "lstm": lambda v: lstm(v["params"], v["xs"]),
    "lstm with a carry": lambda v: lstm(v["params"], v["xs"], v["carry"]),
    "lstm with lengths": lambda v: lstm(
        v["params"], v["xs"], v["carry"], lengths=v["lengths"], resets=v["resets"], reverse=True
    ),
    "lstm with a mask": lambda v: lstm(v["params"], v["xs"], v["carry"], mask=v["mask"], zoneout=v["noise"]),
    "trace": lambda v: trace(v["params"], v["xs"], v["carry"], lengths=v["lengths"]),
    "network_step": lambda v: network_step(v["layers"], (v["carry"],) * 2, v["xs"][0]),
    "zero_carries": lambda v: zero_carries(v["both ways"], (4,)),
    "network": lambda v: network(v["layers"], v["xs"], (v["carry"],) * 2, lengths=v["lengths"]),
    "network with dropout": lambda v: network(
        v["layers"], v["xs"], dropout=0.5, recurrent_dropout=0.5, zoneout=Zoneout(0.1, 0.1), key=v["key"]
    ),
    "network in both directions": lambda v: network(v["both ways"], v["xs"], mask=v["mask"]),
    "trace_network": lambda v: trace_network(v["layers"], v["xs"], (v["carry"],) * 2),
    "init": lambda v: init(v["key"], 2, 3, peephole=True, projection=2, norm=True),
    "init_network": lambda v: init_network(v["key"], 2, [3, 3]),
    "chrono": lambda v: chrono(v["key"], v["params"], 10),
    "uniform": lambda v: init(v["key"], 2, 3, input_init=uniform(3), recurrent_init=uniform(3)),
    "zero_carry": lambda v: zero_carry(v["params"], (4,)),
    "dropout_mask": lambda v: dropout_mask(v["key"], 0.5, (4, 3)),
    "zoneout_masks": lambda v: zoneout_masks(v["key"], v["params"], v["xs"], hidden=0.1, cell=0.1),
    "drop_connect": lambda v: drop_connect(v["key"], v["params"], 0.5),
    "from_gates": lambda v: from_gates(v["gates"]),
    "readout": lambda v: readout(v["readout"], v["hs"]),
    "fit_readout": lambda v: fit_readout(v["hs"], v["targets"]),
}
ENTRIES |= {
    f"gradient by {schedule}": lambda v, schedule=schedule: gradient(
        v["params"], v["xs"], v["carry"], v["lengths"], schedule=schedule
    )
    for schedule in ("auto", *SCHEDULES)
}


USUAL = (
    "lstm with lengths",
    "trace",
    "network_step",
    "network with dropout",
    "network in both directions",
    "init_network",
    "gradient by auto",
)


@pytest.mark.parametrize("name", usually(ENTRIES, USUAL))
def test_one_compilation(name):
    entry = ENTRIES[name]
    first, *others = (values(seed) for seed in range(3))
    jitted = jax.jit(entry)
    assert compilations(jitted, first) == 1
    assert sum(compilations(jitted, other) for other in others) == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ENTRIES)
def test_no_second_compilation_outside_jit(name):
    """What is not under `jit` compiles its parts in the first call, and nothing after it."""
    entry = ENTRIES[name]
    first, *others = (values(seed) for seed in range(3))
    entry(first)
    assert sum(compilations(entry, other) for other in others) == 0
