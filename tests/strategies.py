"""Random calls of a layer: few shapes and sets of options, so that compiled code is used again, and any values, masks
and resets.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from hypothesis import strategies as st

from jax_lstm import Carry, Clip, Zoneout, init
from jax_lstm._types import is_exponential, memory

# the kernels, which are for some platforms, dtypes and variants alone, have tests of their own
SCHEDULES = ("scan", "unrolled", "deferred", "chunked", "checkpointed")
LONG = tuple(
    schedule for schedule in SCHEDULES if schedule != "unrolled"
)  # those fit to be compiled for a thousand steps
USUAL = ("chunked",)
"""What every law meets by default: the loop and the custom backward pass that `deferred` has with one chunk and
`checkpointed` runs again. `scan`, and `unrolled`, which is `scan` without its loop, are what it is compared with; all
meet every law with `--exhaustive`.
"""
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "peephole": {"peephole": True},
    "projection": {"projection": 2},
    "coupled": {"coupled": True},
    "norm": {"norm": True},
    "diagonal": {"diagonal": True},
    "heads": {"heads": 2},
    "exponential": {"heads": 2, "exponential": True},
    "clip": {"clip": Clip(cell=0.4, gates=0.9)},
    "all but diagonal": {
        "peephole": True,
        "projection": 2,
        "coupled": True,
        "norm": True,
        "clip": Clip(cell=0.6, gates=1.2),
    },
    "heads and all else": {"heads": 2, "peephole": True, "coupled": True, "norm": True, "clip": Clip(0.6, 1.2)},
    "all but projection": {"peephole": True, "diagonal": True, "norm": True, "clip": Clip(cell=0.6, gates=1.2)},
}


class Case(NamedTuple):
    """What decides the compiled program: a variant, the options that are given, and the sizes."""

    variant: str
    options: tuple[str, ...] = ()
    time: int = 5
    batch: tuple[int, ...] = (3,)
    features: int = 2
    hidden: int = 3

    def __str__(self) -> str:
        return f"{self.variant}, {' '.join(self.options) or 'no option'}, {self.time} x {self.batch}"


EVERYTHING = ("carry", "mask", "resets", "recurrent_mask", "zoneout")
# every variant, every option alone and with others, every number of batch axes, one step and many
CASES = (
    Case("plain"),
    Case("plain", ("carry", "lengths")),
    Case("plain", ("carry", "reverse", "lengths", "resets"), batch=(2, 2)),
    Case("plain", ("mask",), time=1, batch=()),
    Case("plain", ("resets", "shares"), features=1, hidden=1, batch=()),
    Case("plain", EVERYTHING, time=17),
    Case("no bias", ("reverse",), batch=(1,)),
    Case("peephole", ("carry", "resets", "recurrent_mask")),
    Case("projection", EVERYTHING),
    Case("coupled", (*EVERYTHING, "reverse")),
    Case("norm", ("carry", "lengths", "zoneout")),
    Case("diagonal", ("reverse", *EVERYTHING), batch=(2, 2)),
    Case("heads", ("reverse", *EVERYTHING), batch=(2, 2), hidden=4),
    Case("heads and all else", ("carry", "lengths", "shares"), hidden=4),
    Case("exponential", ("carry", "mask", "resets", "recurrent_mask", "reverse"), batch=(2, 2), hidden=4),
    Case("clip", ("carry", "mask")),
    Case("all but diagonal", (*EVERYTHING, "reverse")),
    Case("all but projection", ("carry", "lengths", "resets", "shares")),
)


# what runs by default: a plain case, one with everything, and one of each kind of validity, direction and recurrence
USUAL_CASES = (CASES[1], CASES[2], CASES[8], CASES[11])


def usually(values, usual):
    """Parameters for a test, those that are not usual marked as exhaustive."""
    return [value if value in usual else pytest.param(value, marks=pytest.mark.exhaustive) for value in values]


def usual_pairs(pairs, usual):
    """The same for pairs of values."""
    return [pytest.param(*pair, marks=() if pair in usual else pytest.mark.exhaustive) for pair in pairs]


every_schedule = pytest.mark.parametrize("schedule", usually(SCHEDULES, USUAL))
every_case = pytest.mark.parametrize("case", usually(CASES, USUAL_CASES), ids=str)


class Call(NamedTuple):
    """The arguments of one call, as NumPy arrays: those with a gradient, and the keyword options without one."""

    params: Any
    xs: np.ndarray
    carry: Carry | None
    recurrent_mask: np.ndarray | None
    options: dict[str, Any]


@cache
def structure(variant: str, features: int, hidden: int):
    return jax.eval_shape(partial(init, jax.random.key(0), features, hidden, **VARIANTS[variant]))


def make_params(generator, variant: str, features: int, hidden: int, scale: float = 0.7):
    """Parameters with every array drawn, so that no term of a variant is zero or one by its initialization."""
    return jax.tree.map(
        lambda leaf: scale * generator.standard_normal(leaf.shape), structure(variant, features, hidden)
    )


def make_carry(generator, params, batch: tuple[int, ...]) -> Carry:
    """A carry with every value drawn; the normalizer of exponential gates is positive."""
    h, c = (generator.standard_normal((*batch, size)) for size in (params.out, memory(params)))
    if is_exponential(params):
        c[..., params.hidden : 2 * params.hidden] = 1 + generator.random((*batch, params.hidden))
    return Carry(h, c)


@st.composite
def calls(draw, case: Case) -> Call:
    """A call of the case. Masks, lengths, resets and shares are drawn one by one, so that a failure shrinks; other
    values by a seed.
    """
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    params = make_params(generator, case.variant, case.features, case.hidden)
    out = case.hidden if params.projection is None else params.projection.shape[1]
    axes = (case.time, *case.batch)
    normal = generator.standard_normal

    def flags():
        return np.array(draw(st.lists(st.booleans(), min_size=math.prod(axes), max_size=math.prod(axes)))).reshape(axes)

    options: dict[str, Any] = {"reverse": "reverse" in case.options}
    if "lengths" in case.options:
        rows = math.prod(case.batch)
        lengths = draw(st.lists(st.integers(0, case.time), min_size=rows, max_size=rows))
        options["lengths"] = np.array(lengths, np.int32).reshape(case.batch)
    if "mask" in case.options:
        options["mask"] = flags()
    if "resets" in case.options:
        options["resets"] = flags()
    if "zoneout" in case.options:
        options["zoneout"] = Zoneout(generator.random((*axes, out)) < 0.3, generator.random((*axes, case.hidden)) < 0.3)
    if "shares" in case.options:
        options["zoneout"] = Zoneout(0.25, 0.5)
    carry = make_carry(generator, params, case.batch) if "carry" in case.options else None
    recurrent_mask = 2.0 * (generator.random((*case.batch, out)) < 0.5) if "recurrent_mask" in case.options else None
    return Call(params, poison(draw, options, 1.5 * normal((*axes, case.features))), carry, recurrent_mask, options)


def poison(draw, options, xs):
    """The inputs with NaN, infinity or a huge number wherever a step is not valid."""
    return np.where(valid(options, xs)[..., None], xs, draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e30])))


def valid(options, xs) -> np.ndarray:
    """True where a step is valid, `(time, *batch)`."""
    if "mask" in options:
        return options["mask"]
    time = np.arange(xs.shape[0]).reshape(-1, *(1,) * (xs.ndim - 2))
    return np.broadcast_to(time < options.get("lengths", xs.shape[0]), xs.shape[:-1])


def by_oracle(call: Call) -> oracle.Result:
    h, c = (None, None) if call.carry is None else call.carry
    keeps = {"zoneout": tuple(call.options["zoneout"])} if "zoneout" in call.options else {}
    return oracle.lstm(call.params, call.xs, h, c, recurrent_mask=call.recurrent_mask, **(call.options | keeps))


def as_jax(tree, dtype=jnp.float64):
    """The arrays of a call on the device, its floats in `dtype`."""

    def convert(leaf):
        return jnp.asarray(leaf, dtype) if isinstance(leaf, np.ndarray) and leaf.dtype == float else leaf

    return jax.tree.map(convert, tree)
