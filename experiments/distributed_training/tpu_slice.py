"""Compile a step of the training for a slice of four TPUs that are not there, and count what they say to each other."""

import importlib.util
import os
import re

CHIPS = "v5e:2x2"
LENGTH = 64
COLLECTIVE = re.compile(r"\b(?:all-reduce|all-gather|reduce-scatter|all-to-all|collective-\w+)(?=(?:-start)?\()")


def compile_step() -> str:
    """The program of one training step on sequences of `LENGTH`, as each chip of the slice runs it."""
    if importlib.util.find_spec("libtpu") is None:
        raise ModuleNotFoundError('compiling for TPUs needs libtpu, which is not installed: pip install "jax[tpu]"')
    # there is no TPU to ask, and another process may compile at the same time
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    import jax
    from jax.experimental import topologies

    from experiments.distributed_training.train import task, train
    from jax_lstm.parallel import batch_mesh

    jax.config.update("jax_platforms", "cpu")
    mesh = batch_mesh(topologies.get_topology_desc(platform="tpu", topology_name=CHIPS).devices)
    everywhere = jax.NamedSharding(mesh, jax.P())
    arrays = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=everywhere), task(LENGTH))
    with jax.set_mesh(mesh):
        step = jax.jit(lambda params, data: train(params, data, 1, mesh).params)
        return step.trace(*arrays).lower().compile().as_text()


def main() -> int:
    program = compile_step()
    found = COLLECTIVE.findall(program)
    outside = COLLECTIVE.findall(program[program.index("\nENTRY ") :])
    loops = len(re.findall(r" while\(", program))
    print(f"a training step on {CHIPS}, {loops} loops: {outside} outside of them, {len(found) - len(outside)} inside")
    return 0 if found == outside == ["all-reduce"] and loops else 1
