"""Programs for TPUs, compiled without one: every schedule compiles, and the kernel's programs hold what was won."""

import jax.numpy as jnp
import pytest
from compilers import TPUS, Shape, compile_gradient, custom_calls
from programs import COLLECTIVE, collectives_in_loops

from experiments.distributed_training import tpu_slice

pytest.importorskip("libtpu", reason='libtpu is not installed: pip install "jax[tpu]"')

DTYPES = [jnp.float32, jnp.bfloat16]
SMALL = Shape(time=20, batch=16, features=8, hidden=128)
# hidden sizes of whole lanes, and sizes of rows, features and units that are not
SHAPES = [
    *(Shape(128, 64, 128, hidden) for hidden in (128, 256, 512, 1024)),
    Shape(100, 10, 1, 32),
    Shape(101, 3, 7, 160),
    Shape(50, 1, 32, 200),
    Shape(37, 300, 128, 256),
]
every_chip = pytest.mark.parametrize("chip", TPUS)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@pytest.mark.parametrize("chip", ["v5e", "v6e", "v5p"])
@both_dtypes
@pytest.mark.parametrize("schedule", ["auto", "scan", "unrolled", "deferred", "chunked", "checkpointed"])
def test_every_portable_schedule_compiles(chip, dtype, schedule):
    program = compile_gradient(chip, schedule, SMALL, dtype, ("lengths", "resets")).as_text()
    assert ("while(" in program) == (schedule != "unrolled")
    assert "tpu_custom_call" not in custom_calls(program), "a path that was not timed is never what auto takes"


@every_chip
@both_dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_kernels_program_is_two_kernels_and_no_loop(chip, dtype, shape):
    # lengths and flags are two ways into the kernel: each size takes one, and the two dtypes both
    options = ("lengths",) if (dtype == jnp.float32) == (shape.hidden % 256 == 0) else ("mask", "resets")
    program = compile_gradient(chip, "pallas", shape, dtype, options).as_text()
    assert custom_calls(program).count("tpu_custom_call") == 2
    assert "lstm_forward" in program
    assert "lstm_backward" in program
    assert "while(" not in program


def test_a_kernel_for_all_steps_valid():
    program = compile_gradient("v5e", "pallas", SHAPES[1], jnp.bfloat16).as_text()
    assert custom_calls(program).count("tpu_custom_call") == 2


@pytest.mark.parametrize("chip", ["v5p", "tpu7x"])
def test_weights_that_leave_no_room_are_refused_by_name(chip):
    with pytest.raises(
        ValueError, match=r'schedule="pallas" needs \d+ MiB of VMEM for its weights and one step, and may use 40 MiB'
    ):
        compile_gradient(chip, "pallas", Shape(16, 8, 128, 3072), jnp.float32)


@every_chip
def test_the_plain_loop_keeps_the_recurrent_weights_in_vmem(chip):
    program = compile_gradient(chip, "deferred", Shape(128, 64, 128, 256), jnp.bfloat16).as_text()
    # memory space 1 is VMEM: the weights as the forward loop holds them
    assert any("bf16[256,1024]" in line and "S(1)" in line for line in program.splitlines())


@pytest.mark.parametrize("schedule", ["auto", "pallas"])
def test_no_step_waits_for_another_of_four_chips(schedule):
    shape = Shape(40, 32, 8, 128)
    program = compile_gradient("v5e", schedule, shape, jnp.float32, ("lengths",), chips=4).as_text()
    assert COLLECTIVE.search(program)
    if schedule == "pallas":
        assert "while(" not in program
    else:
        assert not collectives_in_loops(program)


def test_a_training_step_on_a_slice_has_one_all_reduce_and_none_in_a_loop():
    program = tpu_slice.compile_step()
    assert [name for name, _ in COLLECTIVE.findall(program)] == ["all-reduce"]
    assert not collectives_in_loops(program)
