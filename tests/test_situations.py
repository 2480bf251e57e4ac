"""The situations: what they are, the simple forecasts next to them, and the table."""

import numpy as np
import pytest

from experiments.situations import __main__ as command
from experiments.situations import situations
from experiments.situations.situations import SITUATIONS, Case


@pytest.mark.parametrize("make", SITUATIONS, ids=lambda make: make.__name__)
def test_a_situation_depends_on_its_seed_alone_and_has_simple_forecasts(make):
    one, again, other = (make(np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.past, again.past)
    assert not np.array_equal(one.past, other.past, equal_nan=True)
    assert one.future is None or len(one.future) >= len(one.past) + len(one.actuals)
    for name, made in situations.simple_forecasts(one).items():
        assert made.shape == one.actuals.shape, name
        assert np.isfinite(made).all(), name


def test_the_mean_of_a_season_is_over_four_cycles_and_skips_gaps():
    past = np.array([9.0, 9, 1, 2, 3, np.nan, 5, np.nan, 7, np.nan])
    np.testing.assert_allclose(situations.seasonal_mean(past, 3, 2), [4, 2, 4])
    past[3] = np.nan  # the second phase has no value in the last four cycles
    np.testing.assert_allclose(situations.seasonal_mean(past, 2, 2), [4, np.nanmean(past)])


def test_least_squares_finds_a_driver():
    x = np.random.default_rng(0).standard_normal((30, 1))
    given = Case(5 + 2 * x[:24, 0], 5 + 2 * x[24:, 0], (1,), x)
    np.testing.assert_allclose(situations.least_squares(given), given.actuals)


def test_an_error_next_to_one_of_zero():
    found = [command.Found("one", 0.0, 0.0, "mean", 1.0, ""), command.Found("two", 3.0, 2.0, "drift", 0.5, "a note")]
    lines = command.report(found).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:4]]
    assert rows == [["one", "0", "mean", "0", "1.00", "100"], ["two", "3", "drift", "2", "1.50", "50"]]
    assert lines[-1] == "- two: a note"
    assert "inf" in command.report([found[0]._replace(ours=0.1)])


@pytest.mark.exhaustive
def test_the_command_of_some_situations(tmp_path, capsys):
    command.main(["closed_weekends", "--quick", "--out", str(tmp_path)])
    assert "closed weekends" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())  # a part is not kept as the results of all
    with pytest.raises(SystemExit):
        command.main(["open_weekends"])
