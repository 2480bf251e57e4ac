"""The forecast experiment: its command, and that its forecasts do not look ahead."""

import numpy as np
import pytest

from experiments.forecast import __main__ as experiment
from jax_lstm import forecast


@pytest.fixture(scope="module")
def values():
    return forecast.read_csv(experiment.DATA / "airline.csv", "Passengers").values[:, 0]


def test_no_forecast_looks_ahead(values):
    changed = values.copy()
    changed[-10:] = 5000 - changed[-10:]
    before, after = (experiment.study(one, 12, seeds=5, steps=20, progress=False) for one in (values, changed))
    for horizon in experiment.HORIZONS:
        # the forecast of value t is made from the values up to t - horizon
        same = experiment.HELD_OUT - 10 + horizon
        assert before[horizon].scale == after[horizon].scale
        for one, other in (
            (before[horizon].seeds, after[horizon].seeds),
            *zip(before[horizon].interval, after[horizon].interval, strict=True),
        ):
            np.testing.assert_array_equal(one[..., :same], other[..., :same])
        if horizon == 1:
            assert np.all(before[horizon].seeds[:, same:] != after[horizon].seeds[:, same:])


def test_the_command_writes_its_table_and_figure(tmp_path, capsys):
    experiment.main(["--quick", "--out", str(tmp_path)])
    table = (tmp_path / "airline.md").read_text()
    assert table.splitlines()[:3] == capsys.readouterr().out.splitlines()[:3]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")][2:]
    assert {row[0] for row in rows} == {"1", "12"}
    # the scores of the seasonal naive forecast, reckoned here by themselves
    values = forecast.read_csv(experiment.DATA / "airline.csv", "Passengers").values[:, 0]
    errors, before = values[-24:] - values[-36:-12], values[: len(values) - 24]
    expected = np.abs(errors).mean(), np.sqrt(np.mean(errors**2)), np.abs(errors).mean() / np.abs(before[12:] - before[:-12]).mean()
    found = next(row for row in rows if row[:2] == ["1", "seasonal naive"])
    np.testing.assert_allclose([float(cell) for cell in found[2:]], expected, rtol=5e-3)
    assert (tmp_path / "airline.png").read_bytes().startswith(b"\x89PNG")


def test_rolling_origins_are_judged_by_what_followed_them(tmp_path, values):
    experiment.main(["--rolling", "--quick", "--out", str(tmp_path)])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (tmp_path / "airline_rolling.md").read_text().splitlines()]
    found = {row[0]: row[1:] for row in rows[2:] if row}
    assert set(found) == {forecast.OURS, forecast.ALONE, *forecast.BASELINES}
    origins = range(72, 133, 20)
    errors = np.array([np.abs(values[origin : origin + 12] - values[origin - 12 : origin]) for origin in origins])
    units = np.array([np.abs(values[12:origin] - values[: origin - 12]).mean() for origin in origins])
    expected = errors.mean(), np.sqrt(np.mean(errors**2)), np.mean(errors / units[:, None])
    np.testing.assert_allclose([float(cell) for cell in found["seasonal naive"]], expected, rtol=5e-3)
