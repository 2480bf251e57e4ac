"""What every test runs under: strict types and ranks, eight simulated CPU devices, random cases whose seed is printed on failure."""

from functools import partial

import jax
import pytest
from hypothesis import Phase, settings

from jax_lstm.schedules import SCHEDULES
from jax_lstm.schedules.fused import fused

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# the tests run each program a few times: what LLVM's costly passes save in them is less than what the passes take
jax.config.update("jax_disable_most_optimizations", True)
# before JAX starts, so for all tests; an array lives on one device unless a test spreads it, so the others see no difference
jax.config.update("jax_num_cpu_devices", 8)

collect_ignore = ["fixtures"]  # its script needs every framework, and is no test

# sixteen steps a chunk would make one chunk of most tests' sequences: with two they have several, and a rest
SCHEDULES["fused"] = partial(fused, chunk=2)

# the first example of a test compiles, hence no deadline; no database, so that a run leaves no files and depends on none
phases = [phase for phase in Phase if phase is not Phase.explain]  # explaining a failure runs it hundreds of times
settings.register_profile("suite", max_examples=25, deadline=None, database=None, derandomize=False, print_blob=True, phases=phases)
settings.load_profile("suite")


@pytest.fixture(scope="module")
def optimized():
    """All of LLVM's passes, for the tests of a module that train for long: `jax-lstm fit` takes a third of the time."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module")
def x64():
    """64-bit types for the tests of a module, by `pytestmark = pytest.mark.usefixtures("x64")`."""
    with jax.enable_x64(True):
        yield
