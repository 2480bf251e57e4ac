"""What every test runs under: strict types and ranks, eight simulated CPU devices, random cases whose seed is printed
on failure.
"""

import os

import jaxlib.version
import pytest
from hypothesis import Phase, settings

# read once, when JAX starts: XLA's emitters of fusions take two thirds of what is left of compiling, and newer versions
# have no others; test_as_shipped.py asks for them
if jaxlib.version.__version_info__ < (0, 11):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_use_fusion_emitters=false"

import jax

from jax_lstm.schedules import _plan

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# the tests run each program a few times: what LLVM's costly passes save in them is less than what the passes take;
# test_as_shipped.py has them
jax.config.update("jax_disable_most_optimizations", True)
# before JAX starts, so for all tests; an array lives on one device unless a test shards it, so the others see no
# difference
jax.config.update("jax_num_cpu_devices", 8)

# a script that needs every framework, and what needs the compilers of accelerators, which .ci/accelerators runs
collect_ignore = ["fixtures", "accelerators"]

SHIPPED_CHUNK = _plan.CHUNK
# sixteen steps per chunk would make one chunk of most tests' sequences: with two they have several, and a rest
_plan.CHUNK = 2

# the first example of a test compiles, hence no deadline; no database, so that a run leaves no files and depends on
# none
phases = [phase for phase in Phase if phase is not Phase.explain]  # explaining a failure runs it hundreds of times
common = {"deadline": None, "database": None, "derandomize": False, "print_blob": True, "phases": phases}
settings.register_profile("quick", max_examples=5, **common)
settings.register_profile("exhaustive", max_examples=25, **common)


def pytest_addoption(parser):
    parser.addoption(
        "--exhaustive", action="store_true", help="every schedule under every law, and more random cases of each"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "exhaustive: runs with --exhaustive alone, as the gate does")
    settings.load_profile("exhaustive" if config.getoption("--exhaustive") else "quick")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--exhaustive"):
        left_out = [item for item in items if "exhaustive" in item.keywords]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if "exhaustive" not in item.keywords]


@pytest.fixture(scope="module")
def optimized():
    """All of LLVM's passes, for the tests of a module that train for long: a third of the time."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module")
def as_shipped():
    """The settings that a user has: the real size of a chunk, and all of LLVM's passes."""
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    _plan.CHUNK = SHIPPED_CHUNK
    yield
    _plan.CHUNK = 2
    jax.config.update("jax_disable_most_optimizations", True)
    jax.clear_caches()


@pytest.fixture(scope="module")
def x64():
    """64-bit types for the tests of a module, by `pytestmark = pytest.mark.usefixtures("x64")`."""
    with jax.enable_x64(True):
        yield
