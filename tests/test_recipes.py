"""The synthetic series: each kind follows its law, whatever the seed."""

import numpy as np
import pytest
from strategies import usually

from experiments.pretrain import gallery, gaussian, kinds, parts, shapes, zeros
from experiments.pretrain.kinds import KINDS, sample

NAMES = sorted({kind.name for kind in KINDS})
FIRST = {kind.name: kind for kind in reversed(KINDS)}
HOURS, DAYS, MONTHS = (24.0,), (7.0,), (12.0,)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def by_phase(values: np.ndarray, period: int) -> np.ndarray:
    """Whole seasons as `(seasons, period, series)`."""
    whole = len(values) // period
    return values[: whole * period].reshape(whole, period, -1)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_depends_on_its_seed_alone_and_ends_with_actuals(name):
    kind = FIRST[name]
    one, again, other = (sample(kind, 12, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other, equal_nan=True)
    assert one.shape[1] == 12
    assert not np.isinf(one).any()
    coming = one[-kind.horizon :]
    assert np.isfinite(coming).all() or name == "closed_days"
    assert (~np.isnan(one[: -kind.horizon])).any(axis=0).all()


@pytest.mark.parametrize("place", usually(range(len(kinds.SHAPES)), range(0, len(kinds.SHAPES), 9)))
def test_series_have_lengths_within_those_of_their_kind(place):
    kind = kinds.SHAPES[place]
    values = sample(kind, 40, seed=1)
    shortest, longest = kind.lengths
    assert len(values) == longest + kind.horizon
    begun = (~np.isnan(values)).argmax(axis=0)
    lengths = longest - begun
    assert (lengths <= longest).all()
    # a run of missing values hides the beginning of a few
    assert np.mean(lengths >= shortest - 7) > 0.9
    assert len(np.unique(lengths)) > 5


def test_the_nights_are_at_the_same_hours_every_day():
    days = by_phase(zeros.nights(generator(), 24 * 20, 30, HOURS), 24)
    dark = (days == 0).all(axis=0)
    assert (dark.sum(axis=0) >= 6).all()
    assert (dark[0] & dark[23]).all()
    assert (days[:, 11:13] > 0).all()
    assert (days >= 0).all()


def test_a_closed_day_is_closed_in_every_week_and_no_other_day_is():
    weeks = by_phase(zeros.closed_days(generator(), 7 * 30, 60, DAYS), 7)
    shut = (weeks == 0) | np.isnan(weeks)
    assert np.array_equal(shut.all(axis=0), shut.any(axis=0))
    assert set(shut[0].sum(axis=0).tolist()) == {1, 2}
    assert np.isnan(weeks).any(axis=(0, 1)).mean() == pytest.approx(0.5, abs=0.3)


def test_visits_are_counted_while_it_is_open():
    days = by_phase(zeros.opening_hours(generator(), 24 * 28, 30, HOURS), 24)
    np.testing.assert_array_equal(days, np.round(days))
    assert (days[:, :4] == 0).all()
    assert (days.sum(axis=(0, 1)) > 0).all()


def test_out_of_season_nothing_is_sold():
    years = by_phase(zeros.selling_season(generator(), 12 * 10, 40, MONTHS), 12)
    sold = years > 0
    assert np.array_equal(sold.all(axis=0), sold.any(axis=0))
    assert (sold[0].sum(axis=0) <= 9).all()
    assert (sold[0].sum(axis=0) >= 2).all()


@pytest.mark.parametrize("make", [zeros.demand, zeros.small_counts])
def test_counts_are_whole_and_not_negative(make):
    values = make(generator(), 400, 60, DAYS)
    np.testing.assert_array_equal(values, np.round(values))
    assert (values >= 0).all()
    if make is zeros.demand:
        shares = (values == 0).mean(axis=0)
        assert shares.min() < 0.3
        assert shares.max() > 0.8


def test_what_has_ended_stays_at_zero():
    values = zeros.end_of_life(generator(), 300, 60, MONTHS)
    assert (values[-1] == 0).all()
    assert (values[:20].max(axis=0) > 0).all()
    last = len(values) - 1 - (values[::-1] > 0).argmax(axis=0)
    assert (last >= 140).all()
    assert (last <= 298).all()


def test_an_interruption_ends():
    values = zeros.interrupted(generator(), 400, 100, DAYS)
    stopped = values == 0
    assert np.mean(stopped.any(axis=0)) > 0.5
    assert stopped.mean() < 0.12
    assert np.mean(values[-1] > 0) > 0.85


def test_growth_continues():
    values = shapes.growth(generator(), 400, 200, (1.0,))
    assert (values > 0).all()
    half = np.log(values[300:].mean(axis=0) / values[:100].mean(axis=0))
    assert np.mean(half > 0) > 0.6
    assert np.mean(half < 0) > 0.1


def test_what_saturates_grows_less_at_the_end():
    values = shapes.saturating(generator(), 600, 100, (1.0,))
    smooth = values.reshape(6, 100, -1).mean(axis=1)
    rises = np.diff(smooth, axis=0)
    assert np.mean(rises[-1] < 0.5 * rises.max(axis=0)) > 0.6  # the others are on their way, or are noise


def test_bounded_series_stay_within_bounds_and_move():
    values = shapes.bounded(generator(), 300, 100, DAYS)
    upper = np.where(values.max(axis=0) <= 1, 1.0, 100.0)
    assert (values >= 0).all()
    assert (values <= upper).all()
    assert set(upper) == {1.0, 100.0}
    assert np.mean(values.std(axis=0) > 0) > 0.95


def test_a_counter_never_falls():
    assert (np.diff(shapes.cumulative(generator(), 300, 100, HOURS), axis=0) >= 0).all()


def test_the_level_is_large_next_to_the_changes():
    values = shapes.large_level(generator(), 200, 100, MONTHS)
    ratio = np.abs(values.mean(axis=0)) / np.abs(np.diff(values, axis=0)).mean(axis=0)
    assert np.median(ratio) > 30
    assert ratio.max() > 1e3


def test_between_jumps_the_level_is_constant():
    values = shapes.steps(generator(), 300, 150, (1.0,))
    same = (np.diff(values, axis=0) == 0).mean(axis=0)
    assert 0.2 < np.mean(same > 0.8) < 0.5  # the third without noise


def test_spikes_are_short():
    values = shapes.spikes(generator(), 300, 60, (1.0,))
    about = np.abs(values - np.median(values, axis=0))
    assert np.median(about.max(axis=0) / np.median(about, axis=0)) > 3


@pytest.mark.parametrize("make", [shapes.sawtooth, shapes.sines])
def test_the_period_is_the_season_in_most_series(make):
    values = make(generator(), 240, 100, MONTHS)
    about = values - values.mean(axis=0)
    again = (about[12:] * about[:-12]).sum(axis=0) / (about**2).sum(axis=0)
    assert np.mean(again > 0.4) > 0.5


@pytest.mark.parametrize("periods", [(24.0, 168.0), (7.0, 365.25)])
def test_every_season_is_in_the_spectrum(periods):
    rows = round(max(periods) * 8)
    values = np.log(np.abs(shapes.many_seasons(generator(), rows, 40, periods)))
    power = np.abs(np.fft.rfft(values - values.mean(axis=0), axis=0)) ** 2
    for period in periods:
        at = round(rows / period)
        near = power[at - 1 : at + 2].max(axis=0)
        others = np.median(power[max(1, at - 6) : at + 7], axis=0)
        assert np.mean(near > 5 * others) > 0.6


def test_an_hour_is_like_the_same_hour_of_earlier_weeks():
    values = np.log1p(shapes.weeks_of_days(generator(), 168 * 12, 60, (24.0, 168.0)))
    weeks = by_phase(values, 168)
    about = values[168:] - values[:-168]
    yesterday = values[168:] - values[144:-24]
    assert np.mean(np.abs(about).mean(axis=0) < np.abs(yesterday).mean(axis=0)) > 0.75
    error = np.abs(weeks[-1] - weeks[:-1].mean(axis=0)).mean(axis=0)
    assert np.mean(error < np.abs(weeks[-1] - weeks[-2]).mean(axis=0)) > 0.6  # the mean is better than the last week


def test_the_mean_of_all_seasons_is_best_for_regular_ones():
    years = by_phase(shapes.regular_seasons(generator(), 12 * 12, 100, MONTHS), 12)
    flat = np.abs(years[-1] - years[0]).mean(axis=0) < 3 * np.abs(years[-1] - years[-2]).mean(axis=0)  # no line
    mean, last = (np.abs(years[-1] - one).mean(axis=0) for one in (years[:-1].mean(axis=0), years[-2]))
    assert np.mean(mean[flat] < last[flat]) > 0.7


def test_a_pattern_repeats_after_a_period_that_is_not_whole():
    values = parts.pattern(generator(), 2 * 1461, 20, 365.25)
    np.testing.assert_allclose(values[:1461], values[1461:], atol=1e-9)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-9)


def test_kernels_are_symmetric_and_positive_definite():
    rng = generator()
    for _ in range(20):
        kernel = gaussian.random_kernel(rng, 60, DAYS)
        np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
        assert np.linalg.eigvalsh(kernel).min() > 0


def test_regimes_differ_and_a_regime_lasts():
    values = gaussian.regime_switching(generator(), 2000, 200, (1.0,))
    changes = np.abs(np.diff(values[:1981], axis=0)).reshape(-1, 20, 200).mean(axis=1)  # by 20 rows
    size = np.log(changes[:, changes.min(axis=0) > 0])
    spread = size.std(axis=0)
    lasting = np.array([np.corrcoef(one[1:], one[:-1])[0, 1] for one in size.T])
    assert np.median(spread) > 0.25
    assert np.median(lasting) > 0.2


def test_typing_errors_are_single_values_at_the_end_or_before():
    values = np.ones((50, 4000))
    changed = kinds.typing_errors(generator(), values, 40) != 1
    assert changed.sum(axis=0).max() == 1
    assert changed.any(axis=0).mean() == pytest.approx(0.05, abs=0.02)
    assert changed[39].sum() / changed.sum() == pytest.approx(0.5, abs=0.12)
    assert not changed[40:].any()


def test_the_gallery_draws_what_was_asked_for(tmp_path):
    gallery.main(["steps", "--out", str(tmp_path / "one.png")])
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    figure = gallery.gallery([FIRST["steps"], FIRST["nights"]], 0)
    assert len(figure.axes) == 2 * gallery.COLUMNS
    with pytest.raises(SystemExit):
        gallery.main(["stairs"])
