"""The experiments that reproduce published results: their data, their tasks, and the quick form of their commands."""

import importlib
import subprocess
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from quick_runs import quick_run

import experiments.benchmark.__main__ as benchmark
from experiments import report
from experiments.adding_problem import task as adding
from experiments.adding_problem.__main__ import first_learned
from experiments.japanese_vowels import task as vowels
from experiments.results import results_folder


def test_the_utterances_are_those_that_were_published():
    train, test = (vowels.load(vowels.DATA / f"JapaneseVowels_{name}.ts") for name in ("TRAIN", "TEST"))
    assert train.xs.shape[1:] == (270, 12)
    assert test.xs.shape == (29, 370, 12)
    assert (test.lengths.min(), test.lengths.max()) == (7, 29)
    assert np.bincount(train.speakers).tolist() == [30] * 9
    assert np.bincount(test.speakers).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    np.testing.assert_allclose(train.xs[:2, 0, 0], [1.860936, 1.891651])
    for data in (train, test):
        after = np.arange(len(data.xs))[:, None] >= data.lengths
        assert (data.xs[after] == 0).all()
        assert (data.xs[~after] != 0).any(axis=-1).all()


def test_scaling_sees_the_training_split_alone():
    train, test = vowels.splits()
    steps = train.xs[np.arange(len(train.xs))[:, None] < train.lengths]
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(steps.std(axis=0), 1, rtol=1e-4)
    raw = vowels.load(vowels.DATA / "JapaneseVowels_TEST.ts")
    first = vowels.load(vowels.DATA / "JapaneseVowels_TRAIN.ts")
    valid = np.arange(len(first.xs))[:, None] < first.lengths
    np.testing.assert_allclose(
        test.xs[0], (raw.xs[0] - first.xs[valid].mean(axis=0)) / first.xs[valid].std(axis=0), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("line", ["1,2:3:1", "1,x:3,4:1", "1,2:3,4:speaker"])
def test_a_broken_line_is_named(tmp_path, line):
    path = tmp_path / "broken.ts"
    path.write_text(f"@data\n1,2:3,4:2\n{line}\n")
    with pytest.raises(ValueError, match=r"broken\.ts, line 3"):
        vowels.load(path)


def test_what_stands_in_the_padding_says_nothing_about_the_speaker():
    train, _ = vowels.splits()
    few = vowels.take(train, np.arange(4))
    model = vowels.initialize(jax.random.key(0), 12)
    after = np.arange(len(few.xs))[:, None] >= few.lengths
    spoilt = np.where(after[..., None], np.float32(np.nan), few.xs)
    clean, other = (vowels.logits(model, jnp.asarray(xs), jnp.asarray(few.lengths)) for xs in (few.xs, spoilt))
    np.testing.assert_array_equal(clean, other)


def test_the_sums_are_of_two_numbers_marked_one_in_each_half():
    xs, sums = (np.asarray(one) for one in adding.sequences(jax.random.key(0), 4000, 21))
    values, marks = xs[..., 0], xs[..., 1]
    assert (marks[:10].sum(axis=0) == 1).all()
    assert (marks[10:].sum(axis=0) == 1).all()
    assert (marks.sum(axis=1) > 0).all()
    np.testing.assert_allclose((values * marks).sum(axis=0), sums, rtol=1e-6)
    assert np.mean((sums - 1) ** 2) == pytest.approx(adding.GUESS, rel=0.05)


def test_a_network_has_learned_when_the_smoothed_error_stays_small():
    assert np.isnan(first_learned(np.ones(100)))
    assert first_learned(np.where(np.arange(100) < 50, 1.0, 0.0)) == 70
    assert np.isnan(first_learned(np.where(np.arange(100) % 2, 1.0, 0.0)))


EXPERIMENTS = ["japanese_vowels", "adding_problem", "variants"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_readme_has_the_committed_results(name):
    folder = Path(importlib.import_module(f"experiments.{name}").__file__).parent
    assert (folder / "results.md").read_text() in (folder / "README.md").read_text()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_quick_form_writes_what_it_prints(name, tmp_path, capsys):
    module = importlib.import_module(f"experiments.{name}.__main__")
    results = quick_run(module.main, tmp_path)
    assert (results / "results.md").read_text() in capsys.readouterr().out
    assert (results / "figure.png").read_bytes().startswith(b"\x89PNG")
    committed = Path(module.__file__).parent / "results.md"
    assert committed.read_text().splitlines()[0] == (results / "results.md").read_text().splitlines()[0]


def test_a_quick_run_leaves_the_published_results(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    published, given = tmp_path / "published", tmp_path / "given"
    assert results_folder(None, published, quick=False) == published
    assert results_folder(given, published, quick=True) == given
    assert results_folder(None, published, quick=True).parent == tmp_path


def test_the_parts_of_a_quick_benchmark_share_a_temporary_folder(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert benchmark.main(["--quick"]) == 0
    assert len(commands) == len(benchmark.PARTS)
    assert {Path(command[command.index("--out") + 1]).parent for command in commands} == {tmp_path}
    assert len({command[-1] for command in commands}) == 1


def test_results_replace_those_between_the_marks_of_the_readme(tmp_path):
    readme = tmp_path / "README.md"
    for text in (f"before\n{report.BEGIN}old\n{report.END}after\n", "no marks\n"):
        readme.write_text(text)
        report.save(tmp_path, "new\n", Figure())
        assert readme.read_text() == text.replace("old\n", "\nnew\n\n")
