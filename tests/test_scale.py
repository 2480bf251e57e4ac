"""Many series in a stream: the numbers do not depend on how the work is divided, and memory is bounded."""

import numpy as np
import pytest

from experiments.scale import __main__ as scale

WORK = scale.Work(first=0, batches=3, batch=4, length=30, horizon=3)


def test_batches_are_made_when_they_are_asked_for_and_differ():
    stream = scale.batches(WORK)
    first, second, third = stream
    assert first.shape == (30, 4)
    assert (first > 0).all()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(next(scale.batches(WORK._replace(first=2, batches=1))), third)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_divided_work_is_the_whole(processes):
    parts = scale.divided(WORK, processes)
    assert [number for part in parts for number in range(part.first, part.first + part.batches)] == [0, 1, 2]
    assert len(parts) == min(processes, 3)


def test_a_stream_forecasts_every_series():
    found = scale.run(WORK)
    assert found.series == 12
    assert np.isfinite(found.total)
    parts = [scale.run(part) for part in scale.divided(WORK, 3)]
    assert sum(part.series for part in parts) == 12
    assert sum(part.total for part in parts) == pytest.approx(found.total, rel=1e-12)


def test_the_report_has_one_row():
    found = [scale.Found(600, 2.0, 3.0, 400.0, 1.0), scale.Found(400, 1.5, 2.5, 300.0, 1.0)]
    row = scale.report(found, 2.5, WORK).splitlines()[2]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["1,000", "30", "3", "2", "2", "400", "6", "700"]


@pytest.mark.exhaustive
def test_the_command_with_two_processes(tmp_path, capsys):
    scale.main(
        [
            "--series",
            "64",
            "--batch",
            "16",
            "--length",
            "24",
            "--horizon",
            "2",
            "--processes",
            "2",
            "--out",
            str(tmp_path),
        ]
    )
    assert (tmp_path / "results.md").read_text() in capsys.readouterr().out
