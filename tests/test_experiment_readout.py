"""The readout experiment: four where it was four, least squares elsewhere, and the printed tables in the README."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import jax
import numpy as np
import oracle
import pytest
from quick_runs import quick_run

from experiments.readout_scale import __main__, study
from experiments.readout_scale.__main__ import difference
from jax_lstm import Readout, from_gates

FOLDER = Path(study.__file__).parent


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The quick form of the command, once: what it printed, its folder, and its fits with their data."""
    folder, seen = tmp_path_factory.mktemp("out"), []

    def recorded(hs, targets, key, **options):
        seen.append((study.study(hs, targets, key, **options), hs, targets))
        return seen[-1][0]

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(__main__, "study", recorded)
        folder = quick_run(__main__.main, folder, "--seed", "1")
    return printed.getvalue(), folder, jax.tree.map(np.asarray, seen[0])


@pytest.fixture(scope="module")
def found(command):
    return command[2]


def test_the_features_are_the_notebooks_last_hidden_state(found):
    windows = study.sequences(seed=1, count=40)
    with jax.enable_x64(True):
        params = jax.tree.map(np.asarray, from_gates(study.GATES))
    _, hs, targets = found
    for source in range(4):
        xs = windows[source, :, :3].T[..., None]
        np.testing.assert_allclose(hs[source, 0], oracle.lstm(params, xs).h, rtol=1e-12)
    np.testing.assert_allclose(targets[0], 4 * hs[0], rtol=1e-12)
    np.testing.assert_array_equal(targets[1:, 0, :, 0], windows[1:, :, 3])


def test_what_comes_next_is_what_comes_next():
    arithmetic, airline, sunspots = study.sequences(seed=0, count=141)[1:]
    np.testing.assert_allclose(np.diff(arithmetic, axis=1, n=2), 0, atol=1e-12)
    for windows, last in ((airline, [461, 390, 432]), (sunspots, [15.2, 7.5, 2.9])):
        np.testing.assert_array_equal(windows[1:, :-1], windows[:-1, 1:])
        np.testing.assert_allclose(windows[-1, 1:] / windows[-1, -1], np.array(last) / last[-1], rtol=1e-12)


def test_scale_four_is_found_again(found):
    fits, *_ = found
    np.testing.assert_allclose(fits.scale.w[0], 4, atol=1e-3)
    np.testing.assert_allclose(fits.line.w[0], 4, atol=1e-3)
    np.testing.assert_allclose(fits.line.b[0], 0, atol=1e-3)


def test_optax_finds_least_squares(found):
    """Against NumPy's own least squares, every source, resample and restart, to 1e-4 relative."""
    fits, hs, targets = found
    for place in np.ndindex(hs.shape[:2]):
        h, y = hs[place], targets[place]
        scale = np.linalg.lstsq(h, y)[0]
        line = np.linalg.lstsq(np.concatenate([h, np.ones_like(h)], axis=1), y)[0]
        for restart in range(2):
            np.testing.assert_allclose(fits.scale.w[place][restart], scale, rtol=1e-4)
            got = np.array([fits.line.w[place][restart].item(), fits.line.b[place][restart].item()])
            assert np.linalg.norm(got - line[:, 0]) <= 1e-4 * np.linalg.norm(line)
    assert difference(fits.scale, fits.best_scale).max() < 1e-4
    assert difference(fits.line, fits.best_line).max() < 1e-4


def test_the_difference_is_the_largest_one():
    best = Readout(np.full((1, 2, 1, 1), 3.0), np.full((1, 2, 1), 4.0))
    found = Readout(np.full((1, 2, 3, 1, 1), 3.0), np.full((1, 2, 3, 1), 4.0))
    found.b[0, 1, 2] = 4.5
    np.testing.assert_allclose(difference(found, best), [0.1])


def test_the_restarts_start_apart_and_end_together(found):
    fits, *_ = found
    assert np.all(np.ptp(fits.losses[..., 0], axis=-1) > 1e-3)
    np.testing.assert_allclose(fits.losses[..., 0, -1], fits.losses[..., 1, -1], atol=1e-12)


def test_the_command_prints_and_draws(command):
    printed, folder, _ = command
    assert printed.startswith("24 fits at once")
    assert (folder / "results.md").read_text() in printed
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"\| made with scale 4 \| +4\.0000 \| +4\.0000 \|", printed)


def test_the_readme_has_the_committed_tables():
    readme, results = ((FOLDER / name).read_text() for name in ("README.md", "results.md"))
    for table in results.split("\n\n"):
        assert table.strip() in readme
    assert "python -m experiments.readout_scale\n" in readme
    assert (FOLDER / "figure.png").exists()
