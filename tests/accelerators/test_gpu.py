"""Programs for an H100, compiled without one: every schedule compiles, cuDNN is called, and loops are in command
buffers."""

import jax.numpy as jnp
import pytest
from compilers import Shape, compile_gradient, custom_calls, loops, thunks
from jax.experimental import rnn

from jax_lstm.parallel import GPU_COMPILER_OPTIONS
from jax_lstm.schedules.deferred import UNROLL

DTYPES = [jnp.float32, jnp.bfloat16]
SMALL = Shape(time=20, batch=16, features=8, hidden=128)
SHAPE = Shape(time=64, batch=64, features=128, hidden=256)
# one kernel of a step's pointwise part and one of its product, and in a pass of several steps what it launches once:
# its loop counter, the outputs of its steps side by side, and what of the flags and the carry is made apart
MOST_IN_A_STEP = 3
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@both_dtypes
@pytest.mark.parametrize("schedule", ["auto", "scan", "unrolled", "deferred", "chunked", "checkpointed"])
def test_every_portable_schedule_compiles(dtype, schedule):
    program = compile_gradient("h100", schedule, SMALL, dtype, ("lengths", "resets")).as_text()
    assert ("while(" in program) == (schedule != "unrolled")
    assert not any("rnn" in name for name in custom_calls(program)), (
        "a path that was not timed is never what auto takes"
    )


@both_dtypes
@pytest.mark.parametrize("options", [(), ("lengths",), ("resets",), ("mask", "resets")], ids=str)
def test_both_loops_are_in_command_buffers_and_launch_little(dtype, options):
    compile_gradient("h100", "deferred", SHAPE, dtype, options, compiler_options=GPU_COMPILER_OPTIONS)
    found = loops(thunks())
    assert len(found) == 2
    for loop in found:
        assert loop.captured
        assert len(loop.launches) <= MOST_IN_A_STEP * UNROLL


def test_without_the_options_the_host_runs_the_loops():
    compile_gradient("h100", "deferred", SHAPE, jnp.float32)
    assert not any(loop.captured for loop in loops(thunks()))


@pytest.fixture
def workspace(monkeypatch):
    """An answer to the one question that cuDNN itself has to be asked when its calls are traced."""
    monkeypatch.setattr(rnn.gpu_rnn, "compute_rnn_workspace_reserve_space_sizes", lambda *sizes: (1024, 1024))


@pytest.mark.parametrize("options", [(), ("lengths",)], ids=str)
@pytest.mark.parametrize("shape", [SHAPE, Shape(50, 1, 7, 200)], ids=str)
def test_cudnn_is_called_forward_and_backward(workspace, options, shape):
    program = compile_gradient("h100", "cudnn", shape, jnp.float32, options).as_text()
    calls = [name for name in custom_calls(program) if "rnn" in name]
    assert sorted(calls) == ["cudnn_rnn_bwd_ffi", "cudnn_rnn_ffi"]
    assert "while(" not in program


@pytest.mark.parametrize("both", [False, True], ids=["one direction", "both directions"])
def test_cudnn_is_called_once_for_a_whole_stack(workspace, both):
    program = compile_gradient("h100", "cudnn", SMALL, jnp.float32, ("lengths",), stack=(3, both)).as_text()
    calls = [name for name in custom_calls(program) if "rnn" in name]
    assert sorted(calls) == ["cudnn_rnn_bwd_ffi", "cudnn_rnn_ffi"]
    assert "while(" not in program


def test_what_cudnn_cannot_do_is_refused_by_name(workspace):
    with pytest.raises(ValueError, match='schedule="cudnn" computes in float32, not in bfloat16'):
        compile_gradient("h100", "cudnn", SHAPE, jnp.bfloat16)
    with pytest.raises(ValueError, match='schedule="cudnn" supports the plain LSTM with lengths, but not resets'):
        compile_gradient("h100", "cudnn", SHAPE, jnp.float32, ("resets",))


def test_the_reserve_space_is_asked_for_with_the_sizes_of_the_layer(monkeypatch):
    asked = []
    monkeypatch.setattr(
        rnn.gpu_rnn, "compute_rnn_workspace_reserve_space_sizes", lambda *sizes: (asked.append(sizes), (1024, 1024))[1]
    )
    compile_gradient("h100", "cudnn", Shape(50, 6, 7, 200), jnp.float32)
    assert asked[0][:5] == (7, 200, 1, 6, 50)
