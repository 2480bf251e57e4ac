"""`jax-lstm forecast`, `fit`, `evaluate`, `explain` and `show`: from a table to numbers, pictures and refusals."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

from jax_lstm import forecast
from jax_lstm.cli import main, reports
from jax_lstm.cli.progress import over_series

HEADER = ["month", "forecast", "low 80 %", "high 80 %", "low 95 %", "high 95 %"]


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def cells(text):
    return list(csv.reader(io.StringIO(text)))


def months(scale=1.0, count=48, seed=0):
    steps, noise = np.arange(count), np.random.default_rng(seed).normal(size=count)
    dates = np.datetime64("2001-01", "M") + steps
    values = scale * (50 + steps + 20 * np.sin(2 * np.pi * steps / 12) + noise)
    return [str(date) for date in dates], values


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """48 months of sales in two columns, of five shops in the long format and of two in the wide one."""
    folder = tmp_path_factory.mktemp("sales")
    dates, values = months()
    (folder / "data.csv").write_text(
        "month;sales\n" + "".join(f"{d};{v:.3f}\n" for d, v in zip(dates, values, strict=True))
    )
    shops = {f"shop {number}": months(10.0**number, seed=number)[1] for number in range(5)}
    rows = [
        f"{shop},{d},{v!r}\n" for shop, values in shops.items() for d, v in zip(dates, values.tolist(), strict=True)
    ]
    (folder / "long.csv").write_text("unique_id,ds,y\n" + "".join(rows))
    wide = zip(dates, shops["shop 0"].tolist(), shops["shop 1"].tolist(), strict=True)
    (folder / "wide.csv").write_text("month,a,b\n" + "".join(f"{d},{a},{b}\n" for d, a, b in wide))
    return folder


@pytest.fixture(scope="module")
def fitted(folder):
    """A forecaster of `data.csv`."""
    out = folder / "m.safetensors"
    assert main(["fit", f"{folder}/data.csv", "--effort", "quick", "--horizon", "4", "--quiet", "-o", str(out)]) == 0
    return out


def test_forecast_needs_no_option_and_no_fitting(folder, capsys):
    code, out, err = run(capsys, "forecast", folder / "data.csv", "--horizon", 4)
    assert code == 0
    first, *others = err.splitlines()
    assert first == "sales: 48 values from 2001-01 to 2004-12; monthly, season 12 (as the times are monthly)"
    assert others == ["50.126 is read with a decimal point: give --decimal comma for 50126"]
    header, *rows = out.splitlines()
    assert header.split("  ")[0] == "month"
    assert [row.split()[0] for row in rows] == ["2005-01", "2005-02", "2005-03", "2005-04"]
    made = forecast.predict(forecast.read_table(folder / "data.csv"), 4)
    np.testing.assert_allclose([float(row.split()[1]) for row in rows], made.forecast[0], atol=0.01)


def test_csv_and_json_have_every_digit(folder, capsys):
    targets = folder / "out.csv", folder / "out.json"
    code, _, err = run(
        capsys, "forecast", folder / "data.csv", "--horizon", 4, "--csv", targets[0], "--json", targets[1]
    )
    assert code == 0
    assert f"saved {targets[0]}" in err
    made = forecast.predict(forecast.read_table(folder / "data.csv"), 4)
    header, *rows = cells(targets[0].read_text())
    assert header == HEADER
    assert [float(row[1]) for row in rows] == made.forecast[0].tolist()
    assert [float(row[5]) for row in rows] == made.upper[0.95][0].tolist()
    for _, center, low, high, lower, higher in (map(float, ["0", *row[1:]]) for row in rows):
        assert lower <= low <= center <= high <= higher
    content = json.loads(targets[1].read_text())
    [series] = content["series"]
    assert (content["season"], series["time"][0], series["forecast"]) == ([12], "2005-01", made.forecast[0].tolist())
    assert series["intervals"]["80"]["low"] == made.lower[0.8][0].tolist()


def test_standard_input_and_output(folder, capsys, monkeypatch):
    data = (folder / "data.csv").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, out, err = run(capsys, "forecast", "-", "--horizon", 4, "--csv", "-", "--quiet", "--level", 50)
    assert (code, err) == (0, "")
    assert cells(out)[0] == ["month", "forecast", "low 50 %", "high 50 %"]
    assert len(cells(out)) == 5


def test_one_method_alone(folder, capsys):
    code, out, _ = run(
        capsys, "forecast", folder / "data.csv", "--horizon", 4, "--method", "seasonal naive", "--csv", "-"
    )
    values = forecast.read_table(folder / "data.csv").series[0]
    assert code == 0
    np.testing.assert_allclose([float(row[1]) for row in cells(out)[1:]], values[-12:-8], rtol=1e-6)


def test_many_series_are_summed_up_and_saved_in_the_long_format(folder, capsys):
    code, out, err = run(capsys, "forecast", folder / "long.csv", "--horizon", 4, "--csv", folder / "long_out.csv")
    assert (code, err.splitlines()[0].split(";")[0]) == (0, "5 series of 48 values")
    assert [line.split("  ")[0] for line in out.splitlines()[1:6]] == [f"shop {number}" for number in range(5)]
    header, *rows = cells((folder / "long_out.csv").read_text())
    assert header == ["unique_id", "ds", *HEADER[1:]]
    assert [row[0] for row in rows] == [f"shop {number}" for number in range(5) for _ in range(4)]


def test_a_wide_table_and_its_picture(folder, capsys):
    code, out, _ = run(capsys, "forecast", folder / "wide.csv", "--wide", "--horizon", 4, "--plot", folder / "wide.png")
    assert code == 0
    assert [line for line in out.splitlines() if line in ("a", "b")] == ["a", "b"]
    assert (folder / "wide.png").read_bytes().startswith(b"\x89PNG")


def test_a_fitted_model_forecasts_the_same_table_and_another(folder, fitted, capsys):
    code, out, _ = run(capsys, "forecast", folder / "data.csv", "--model", fitted, "--csv", "-")
    assert code == 0
    made = forecast.predict(forecast.read_table(folder / "data.csv"), 4, model=forecast.load(fitted))
    assert [float(row[1]) for row in cells(out)[1:]] == made.forecast[0].tolist()
    code, out, _ = run(capsys, "forecast", folder / "long.csv", "--model", fitted, "--csv", "-")
    assert (code, len(cells(out))) == (0, 21)


def test_a_model_saved_from_python_serves_the_command_line(folder, fitted, capsys):
    model = forecast.load(fitted)
    forecast.save(folder / "python.safetensors", model._replace(about={}))
    assert run(capsys, "forecast", folder / "data.csv", "--model", folder / "python.safetensors")[0] == 0
    assert run(capsys, "show", folder / "python.safetensors")[0] == 0


def test_show_tells_what_a_forecaster_is(folder, fitted, capsys):
    code, out, _ = run(capsys, "show", fitted)
    assert code == 0
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    assert lines["fitted to"].strip().startswith("sales: 48 values from 2001-01 to 2004-12; monthly")
    assert lines["effort"].strip() == "quick"
    assert "LSTMs of" in lines["short seasons"]
    assert forecast.load(fitted).report in out


def test_evaluate(folder, capsys):
    targets = folder / "e.csv", folder / "e.json", folder / "e.png"
    options = ("--csv", targets[0], "--json", targets[1], "--plot", targets[2])
    code, out, _ = run(capsys, "evaluate", folder / "data.csv", "--horizon", 4, "--cutoffs", 3, *options)
    assert code == 0
    content = json.loads(targets[1].read_text())
    assert content["verdict"] in out
    assert set(content["scores"]) == set(forecast.METHODS)
    header, *rows = cells(targets[0].read_text())
    assert header[:5] == ["cutoff", "month", "actual", *list(forecast.METHODS)[:2]]
    assert [row[:2] for row in rows[-4:]] == [["2004-08", f"2004-{month:02}"] for month in (9, 10, 11, 12)]
    errors = [abs(float(row[header.index("combined")]) - float(row[2])) for row in rows]
    assert np.mean(errors) == pytest.approx(content["scores"]["combined"]["MAE"])
    assert "80 % intervals covered" in out
    assert targets[2].read_bytes().startswith(b"\x89PNG")


def test_explain(folder, capsys):
    code, out, err = run(capsys, "explain", folder / "data.csv", "--horizon", 4, "--plot", folder / "x.svg", "--quiet")
    assert (code, out, err) == (0, "", f"saved {folder / 'x.svg'}\n")
    assert b"<svg" in (folder / "x.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("forecast", "data.csv", "--csv", "nowhere/o.csv"),
            "--csv is nowhere/o.csv, but there is no folder nowhere: make it first",
        ),
        (("forecast", "data.csv", "--csv", "data.csv/o.csv"), "data.csv is not a folder"),
        (("forecast", "data.csv", "--csv", "."), "which is a folder: add the name of a file"),
        (
            ("forecast", "data.csv", "--csv", "data.csv"),
            "--csv is data.csv, which is the data already: choose another file",
        ),
        (("forecast", "data.csv", "--csv", "o", "--json", "o"), "--json is o, which is what --csv names already"),
        (("forecast", "data.csv", "--plot", "o.txt"), "--plot is o.txt, expected a file that ends in .png"),
        (("forecast", "data.csv", "--plot", "-"), "--plot is -, expected a file"),
        (
            ("fit", "data.csv", "-o", "nowhere/m.safetensors"),
            "--out is nowhere/m.safetensors, but there is no folder nowhere",
        ),
        (
            ("forecast", "absent.csv", "--horizon", "0"),
            "--horizon is 0, expected a whole number of steps from 1 to 10,000",
        ),
        (("forecast", "data.csv", "--season", "0"), "--season is 0, expected at least 1"),
        (("forecast", "data.csv", "--level", "0.8"), "--level is 0.8, expected per cent from 1 to below 100"),
        (
            ("forecast", "data.csv", "--future", "sales", "--value", "sales"),
            "--future names 'sales', which has another role",
        ),
        (
            ("forecast", "data.csv", "--value", "rain"),
            "has no column 'rain', which --value names: expected one of month, sales",
        ),
        (("forecast", "absent.csv"), "jax-lstm: absent.csv: No such file or directory"),
        (("forecast", "."), "Is a directory"),
        (("forecast", "empty.csv"), "has no rows"),
        (("forecast", "data.csv", "--model", "data.csv"), "data.csv is not a complete safetensors file"),
        (("forecast", "data.csv", "--model", "absent.safetensors"), "No such file"),
        (("evaluate", "data.csv", "--cutoffs", "0"), "--cutoffs is 0, expected 1 to 1,000"),
        (("explain", "data.csv", "--series", "x", "--plot", "o.png"), "--series is 'x', expected one of sales"),
        (("forecast",), "the following arguments are required: DATA: see jax-lstm forecast --help"),
        (("forecast", "data.csv", "--method", "guess"), "invalid choice: 'guess'"),
        (("guess",), "invalid choice: 'guess'"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(folder, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(folder)
    (folder / "empty.csv").touch()
    before = sorted(folder.iterdir())
    try:
        code = main(list(arguments))
    except SystemExit as end:
        code = end.code
    err = capsys.readouterr().err.splitlines()
    assert code == 2
    assert said in err[-1]
    assert len([line for line in err if line.startswith("jax-lstm")]) == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("series", "quiet", "terminal", "shown"),
    [(50, False, True, True), (49, False, True, False), (50, True, True, False), (50, False, False, False)],
)
def test_progress_over_many_series_on_a_terminal(monkeypatch, series, quiet, terminal, shown):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    shops = forecast.panel([months(count=20, seed=seed)[1] for seed in range(3)], season=12)
    with over_series(series, "forecasts", quiet=quiet) as progress:
        forecast.evaluate(shops, 4, cutoffs=2, progress=progress)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())  # without colors
    assert ("6/6 forecasts, left 0:00:00" in text) == shown == bool(text)


def test_inputs_that_have_no_effect_are_told(folder, capsys, recwarn):
    dates, values = months()
    known = [f"{value:.2f}" for value in values[:45]] + [""] * 3  # the last rows are ahead
    rows = "".join(f"{d},{v},{k % 5},1\n" for k, (d, v) in enumerate(zip(dates, known, strict=True)))
    (folder / "promoted.csv").write_text("month,y,東,市\n" + rows)
    table = ["forecast", folder / "promoted.csv", "--future", "東"]
    _, _, err = run(capsys, *table, "--static", "市", "--plot", folder / "promoted.png")
    assert "covariates have no effect on the forecasts of this model: 市\n" in err
    model = folder / "promoted.safetensors"
    panel = forecast.read_table(folder / "promoted.csv", future=["東"])
    panel = panel._replace(series=(panel.series[0][-12:],), future=(panel.future[0][-15:],))  # too short to train on
    forecast.save(model, forecast.fit(panel, 3, key=jax.random.key(0), progress=False))
    for options in ((), ("--model", model)):
        _, out, _ = run(capsys, *table, *options, "--csv", "-")
        assert len(out.splitlines()) == 1 + 3  # up to the last row whose inputs are known


def test_short_and_flat_series_are_forecast(folder, capsys):
    for name, text in {"two": "1,5\n2,7\n", "flat": "".join(f"{n},3\n" for n in range(1, 30))}.items():
        (folder / f"{name}.csv").write_text("t,a\n" + text)
        code, out, _ = run(capsys, "forecast", folder / f"{name}.csv", "--horizon", 2)
        assert code == 0
        assert "held" in out.splitlines()[-1]


def interrupted(folder, command, wait):
    """The exit code of `jax-lstm` where Ctrl-C follows on `wait(process)`."""
    # shells start background jobs with interrupts ignored, which children inherit
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); print(); import jax_lstm_command as m"
    )
    given = [sys.executable, "-c", f"{program}; raise SystemExit(m.main())", *command]
    given = {"args": given, "cwd": folder, "env": {**os.environ, "PYTHONUNBUFFERED": "1"}}
    with subprocess.Popen(**given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        wait(process)
        process.send_signal(signal.SIGINT)
        return process.wait()


def test_ctrl_c_ends_a_fit_at_once_and_leaves_nothing(folder):
    def training(process):
        assert process.stderr.readline().startswith("5 series")  # the table is read: what follows is training
        time.sleep(1)

    before = sorted(folder.iterdir())
    command = ["fit", "long.csv", "--horizon", "6", "--effort", "normal", "-o", "stopped.safetensors"]
    assert interrupted(folder, command, training) == -signal.SIGINT
    assert sorted(folder.iterdir()) == before


def test_ctrl_c_ends_the_start_at_once(folder):
    # until the package is loaded a handler of our own ends it, after that the default one of the system
    assert interrupted(folder, ["forecast", "long.csv"], lambda process: time.sleep(0.15)) in (130, -signal.SIGINT)


def test_completion_has_commands_options_and_choices(capsys):
    pytest.importorskip("shtab")
    for shell in ("bash", "zsh", "tcsh"):
        code, out, _ = run(capsys, "completion", shell)
        assert code == 0
        for word in ("forecast", "evaluate", "horizon", "static", "seasonal naive", "theta"):
            assert word in out
    script = run(capsys, "completion", "bash")[1]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_without_arguments_it_prints_its_help(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert "commands:" in out


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["forcast", "data.csv"], "forecast"),
        (["forecast", "data.csv", "--horizn", "3"], "--horizon"),
        (["forecast", "data.csv", "--method", "thta"], "theta"),
        (["forecast", "data.csv", "--valeu=sales"], "--value"),
    ],
)
def test_misspelt_words_have_a_hint(capsys, arguments, meant):
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_options_of_the_table(folder, capsys):
    rows = [
        f"{region},{shop},{month},{value}\n"
        for region in "NS"
        for shop in "12"
        for month, value in zip(*months(), strict=True)
    ]
    (folder / "shops.csv").write_text("region,shop,month,sales\n" + "".join(rows))
    given = ["forecast", folder / "shops.csv", "--id", "region,shop", "--method", "naive", "--horizon", 2]
    code, out, err = run(capsys, *given, "--start", "2002-01", "--end", "2004-06", "--season", "6,12", "--csv", "-")
    assert code == 0
    assert "4 series of 30 values; monthly, season 6 and 12 (as asked for)" in err
    assert cells(out)[:2] == [["region", "shop", "month", *HEADER[1:]], ["N", "1", "2004-07", *cells(out)[1][3:]]]


def test_refusals_name_options_of_the_command_line(folder, capsys):
    days = [f"{day:02}/{month:02}/2020" for month in range(1, 3) for day in range(1, 10)]
    (folder / "days.csv").write_text("day;sales\n" + "".join(f"{day};1\n" for day in days))
    code, _, err = run(capsys, "forecast", folder / "days.csv")
    assert code == 2
    assert "give --dates day-first (2020-01-02) or --dates month-first" in err


def test_holidays_are_a_covariate(folder, capsys):
    pytest.importorskip("holidays")
    days = np.datetime64("2022-01-01") + np.arange(120)
    (folder / "daily.csv").write_text("day;sales\n" + "".join(f"{day};{5 + k % 7}\n" for k, day in enumerate(days)))
    code, out, _ = run(capsys, "forecast", folder / "daily.csv", "--holidays", "DE-BY", "--horizon", 3, "--csv", "-")
    assert (code, len(cells(out))) == (0, 4)
    code, _, err = run(capsys, "forecast", folder / "daily.csv", "--holidays", "XX")
    assert code == 2
    assert "--holidays is 'XX'" in err


def test_control_characters_never_reach_the_terminal(folder, capsys):
    (folder / "evil.csv").write_text("id,t,y\n" + "".join(f"a\x1b[2J{s},{n},{n}\n" for s in "12345" for n in range(30)))
    code, out, err = run(capsys, "forecast", folder / "evil.csv", "--id", "id", "--horizon", 2)
    assert code == 0
    assert "\x1b" not in out + err
    assert "a\\x1b[2J1" in out


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("jax-lstm ")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1.23456e12, 1.23457e12], ["1,234,560,000,000", "1,234,570,000,000"]),
        ([0.00123, 0.00124], ["0.00123000", "0.00124000"]),
        ([3.0, 3.0], ["3.000", "3.000"]),
        ([1e300, 2e300], ["1e+300", "2e+300"]),
        ([0.0, 0.0], ["0", "0"]),
        ([1.0, float("nan")], ["1.000", ""]),
    ],
)
def test_numbers_in_a_terminal(values, texts):
    assert reports.numbers_alike(values) == [texts]


def test_the_default_horizon_is_about_a_season():
    seasons = (1, 4, 12, 24, 52, 168)
    panels = [forecast.panel(np.arange(400.0), season=season) for season in seasons]
    assert [forecast.default_horizon(panel) for panel in panels] == [6, 8, 12, 24, 52, 48]
