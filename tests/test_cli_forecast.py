"""`jax-lstm fit`, `forecast` and `explain`, from a CSV file to a picture; and what they refuse."""

import csv
import io
from contextlib import redirect_stdout

import numpy as np
import pytest

from jax_lstm import forecast
from jax_lstm.cli import main

pytestmark = pytest.mark.usefixtures("optimized")

pytest.importorskip("matplotlib")


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with 48 months of sales, and a forecaster of them."""
    folder = tmp_path_factory.mktemp("sales")
    months, noise = np.arange(48), np.random.default_rng(0).normal(size=48)
    sales = 50 + months + 20 * np.sin(2 * np.pi * months / 12) + noise
    dates = np.datetime64("2001-01", "M") + months
    (folder / "data.csv").write_text("month;sales\n" + "".join(f"{date};{value:.3f}\n" for date, value in zip(dates, sales, strict=True)))
    return folder


@pytest.fixture(scope="module")
def fitted(folder):
    """The forecaster; what `fit` printed is beside it, in fit.txt."""
    out = folder / "m.safetensors"
    with redirect_stdout(io.StringIO()) as said:
        assert main(["fit", f"{folder}/data.csv", "--column", "sales", "--time", "month", "--horizon", "4", "-o", str(out)]) == 0
    (folder / "fit.txt").write_text(said.getvalue())
    return out


def test_fit_prints_an_honest_comparison(folder, fitted):
    text = (folder / "fit.txt").read_text()
    lines = text.splitlines()
    assert lines[0] == "sales: 48 values from 2001-01 to 2004-12, season 12, 4 steps ahead"
    methods = [forecast.OURS, forecast.ALONE, *forecast.BASELINES]
    rows = {line[:24].strip(): [float(cell) for cell in line[24:].split()] for line in lines if line[:24].strip() in methods}
    assert list(rows) == methods
    kept = forecast.load(fitted).about["backtest"]
    for name, row in rows.items():
        np.testing.assert_allclose(row, list(kept[name].values()), rtol=1e-2)
    assert rows[forecast.OURS][0] < rows["naive"][0]
    best = min(forecast.BASELINES, key=lambda name: rows[name][0])
    better = rows[best][0] < rows[forecast.OURS][0]
    verdict = f"{best} is better here" if better else f"this is better than the best simple method, {best}"
    assert any(line.startswith(verdict) for line in lines)
    assert "the 80 % interval held" in text
    assert f"takes {forecast.load(fitted).share:.0%} of a forecast from the LSTMs" in text


def test_forecast_prints_and_keeps_the_same_numbers(folder, fitted, capsys):
    code, text, _ = run(
        capsys, "forecast", fitted, folder / "data.csv", "--steps", 3, "--csv", folder / "out.csv", "--plot", folder / "out.png"
    )
    assert code == 0
    with open(folder / "out.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["month", "forecast", "low 80 %", "high 80 %", "low 95 %", "high 95 %"]
    assert [row[0] for row in rows] == ["2005-01", "2005-02", "2005-03"]
    assert [line.split() for line in text.splitlines()[1:4]] == rows
    made = forecast.predict(forecast.load(fitted), forecast.read_csv(folder / "data.csv", "sales").values)
    np.testing.assert_allclose([float(row[1]) for row in rows], made.values[:3], rtol=1e-5)
    for _, centre, low, high, lower, higher in (map(float, row) for row in [["0", *row[1:]] for row in rows]):
        assert lower <= low <= centre <= high <= higher
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_data_cut_at_the_front_keep_their_season(folder, fitted, capsys):
    header, *lines = (folder / "data.csv").read_text().splitlines()
    (folder / "late.csv").write_text("\n".join([header, *lines[7:]]))
    texts = [run(capsys, "forecast", fitted, folder / name)[1].splitlines() for name in ("data.csv", "late.csv")]
    whole, late = ([line.split() for line in text[1:]] for text in texts)
    assert [row[0] for row in whole] == [row[0] for row in late]
    values = [np.array([float(row[1]) for row in rows]) for rows in (whole, late)]
    np.testing.assert_allclose(*values, atol=4)  # of a season from -20 to 20; smoothing has less to begin with


def test_explain_draws_the_gates(folder, fitted, capsys):
    code, text, _ = run(capsys, "explain", fitted, folder / "data.csv", "--plot", folder / "gates.png")
    assert (code, text) == (0, f"saved {folder / 'gates.png'}\n")
    assert (folder / "gates.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("t,a\n1,2\n2,x\n", (), "line 3: a is 'x'"),
        ("t,b\n1,2\n2,3\n", (), "has no column 'a', expected one of t, b"),
        ("t,a\n1,2\n1,3\n", ("--time", "t"), "line 3: t '1' is there twice"),
        ("a\n" + "5\n" * 60, (), "the series is 5 throughout"),
        ("a\n1\n2\n3\n", (), "the series has 3 values, expected at least"),
        ("a\n" + "".join(f"{n % 7}\n" for n in range(60)), ("--season", "0"), "season is 0, expected at least 1"),
        ("a\n1\n2\n", ("-o", "nowhere/m.safetensors"), "there is no folder nowhere"),
    ],
)
def test_fit_refuses_in_one_line(tmp_path, capsys, text, options, said):
    (tmp_path / "data.csv").write_text(text)
    code, _, err = run(capsys, "fit", tmp_path / "data.csv", "--column", "a", "-o", tmp_path / "m.safetensors", *options)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "m.safetensors").exists()


def test_forecast_refuses_in_one_line(folder, fitted, capsys):
    (folder / "years.csv").write_text("month;sales\n" + "".join(f"{1990 + n}-01;{n}\n" for n in range(40)))
    for arguments, said in (
        ((fitted, folder / "data.csv", "--steps", 9), "--steps is 9, but the model was fitted for 1 to 4: fit it again with --horizon 9"),
        ((fitted, folder / "years.csv"), "has other times than the model was fitted to"),
        ((fitted, folder / "absent.csv"), "No such file"),
        ((folder / "data.csv", folder / "data.csv"), "is not a whole safetensors file"),
    ):
        code, _, err = run(capsys, "forecast", *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert said in err
