"""Every variant with every option, by every schedule, against the oracle: values in float64, and the trace."""

from functools import partial

import comparisons
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import CASES, VARIANTS, as_jax, by_oracle, calls, every_case, every_schedule

from jax_lstm import Trace, lstm, trace

pytestmark = pytest.mark.usefixtures("x64")
same = partial(comparisons.same, rtol=1e-12, atol=1e-12, least=None)


@every_schedule
@every_case
@given(st.data())
def test_values(schedule, case, data):
    call = data.draw(calls(case))
    params, xs, carry, recurrent_mask, options = as_jax(call)
    last, hs = lstm(params, xs, carry, recurrent_mask=recurrent_mask, schedule=schedule, **options)
    expected = by_oracle(call)
    same(hs, expected.hs)
    same(last.h, expected.h)
    same(last.c, expected.c)


@every_case
@given(st.data())
def test_traces(case, data):
    call = data.draw(calls(case))
    params, xs, carry, recurrent_mask, options = as_jax(call)
    last, values = trace(params, xs, carry, recurrent_mask=recurrent_mask, **options)
    expected = by_oracle(call)
    for name in Trace._fields:
        same(getattr(values, name), expected.values[name])
    same(last.h, expected.h)
    same(last.c, expected.c)


def test_the_cases_leave_nothing_out():
    assert {case.variant for case in CASES} == set(VARIANTS)
    options = {option for case in CASES for option in case.options}
    assert options == {"carry", "lengths", "mask", "resets", "reverse", "recurrent_mask", "zoneout", "shares"}
    assert {len(case.batch) for case in CASES} == {0, 1, 2}
