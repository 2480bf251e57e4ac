"""A variant that the guide's steps add, a field and its term in `update`, is right in every schedule, in value and
gradient.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jax_lstm

FIELD = "    clip: Clip | None = None\n\n"
LAST = "    m = o * jnp.tanh(shown)\n"
FIRST = "    z_i, *z_f, z_g, z_o = _gate_blocks(params, z)\n"
# where the term is written, and the term
TERMS = {
    "a vector added to the output": (
        LAST,
        LAST + "    if params.extra is not None:\n        m = m + _rows(params.extra, c) * c\n",
    ),
    "a factor of a pre-activation": (
        FIRST,
        FIRST + "    if params.extra is not None:\n        z_i = z_i * (1 + _rows(params.extra, z_i))\n",
    ),
    "a scalar": (LAST, LAST + "    if params.extra is not None:\n        m = m * (1 + params.extra[0])\n"),
    "a matrix over units": (
        LAST,
        LAST + "    if params.extra is not None:\n        m = m + jnp.dot(c, params.extra)\n",
    ),
    "a readout of all units": (
        LAST,
        LAST + "    if params.extra is not None:\n        m = m + jnp.tanh(jnp.dot(c, params.extra))[..., None]\n",
    ),
}
SHAPES = {"a scalar": (1,), "a matrix over units": (4, 4)}

CHECK = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax_lstm import init, lstm, explain_schedule
from jax_lstm.schedules import SCHEDULES

shape = eval(sys.argv[1])
keys = jax.random.split(jax.random.key(0), 3)
params = init(keys[0], 3, 4)._replace(extra=jax.random.normal(keys[1], shape))
xs = jax.random.normal(keys[2], (9, 5, 3))
mask = jnp.arange(9)[:, None] < jnp.array([9, 4, 0, 7, 8])
assert "extra" in explain_schedule(params, xs).passed_over["native"], explain_schedule(params, xs)

def run(schedule):
    def loss(params, xs):
        carry, hs = lstm(params, xs, mask=mask, schedule=schedule)
        return jnp.sum(jnp.sin(hs)) + jnp.sum(carry.c ** 2)

    return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, xs)

def by_hand(params, xs):
    from jax_lstm import Carry, cell, zero_carry
    carry, total = zero_carry(params, (5,)), 0.0
    for x, valid in zip(xs, mask):
        after, trace = cell(params, carry, x)
        carry = jax.tree.map(lambda new, old: jnp.where(valid[:, None], new, old), after, carry)
        total = total + jnp.sum(jnp.sin(jnp.where(valid[:, None], trace.hidden_state, 0.0)))
    return total + jnp.sum(carry.c ** 2)

expected = jax.jit(jax.value_and_grad(by_hand, (0, 1)))(params, xs)
assert jnp.abs(expected[1][0].extra).max() > 1e-3
for schedule in sys.argv[2].split():
    for found, exact in zip(jax.tree.leaves(run(schedule)), jax.tree.leaves(expected)):
        np.testing.assert_allclose(found, exact, rtol=2e-4, atol=2e-5, err_msg=schedule)
for schedule in ("native", "cudnn", "pallas"):
    try:
        lstm(params, xs, schedule=schedule)
    except ValueError as error:
        assert "schedule=" in str(error)
    else:
        raise AssertionError(f"{schedule} ran a layer that it does not know")
"""


@pytest.mark.parametrize(
    "term", [pytest.param(term, marks=[] if "pre-activation" in term else pytest.mark.exhaustive) for term in TERMS]
)
def test_every_schedule_is_right_for_a_field_that_was_added(tmp_path, term, request):
    schedules = "auto scan unrolled deferred chunked checkpointed"
    if not request.config.getoption("--exhaustive"):
        schedules = "auto scan"
    package = tmp_path / "jax_lstm"
    shutil.copytree(Path(jax_lstm.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    types, equations = package / "_types.py", package / "_cell.py"
    text = types.read_text("utf-8")
    assert text.count(FIELD) >= 1
    first = text.index(FIELD)  # of LSTMParams, which come first
    text = text[:first] + FIELD.replace("\n\n", "\n    extra: Any = None\n\n", 1) + text[first + len(FIELD) :]
    types.write_text(text, "utf-8")
    before, after = TERMS[term]
    text = equations.read_text("utf-8")
    assert text.count(before) == 1
    equations.write_text(text.replace(before, after), "utf-8")
    (tmp_path / "check.py").write_text(CHECK, "utf-8")
    shape = SHAPES.get(term, (4,))
    done = subprocess.run(
        [sys.executable, "check.py", str(shape), schedules], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
