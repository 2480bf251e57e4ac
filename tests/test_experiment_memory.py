"""The memory task: the maze, recurrent learning that agrees with acting, and the quick form of the command."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_runs import quick_run

from experiments.memory_task import __main__, ppo
from experiments.memory_task.policy import POLICIES
from experiments.memory_task.task import DOWN, FORWARD, PATIENCE, UP, Mazes, observe, step

KEY = jax.random.key(0)


def mazes(up, position, clock):
    return Mazes(jnp.array([up]), jnp.array([position], jnp.int32), jnp.array([clock], jnp.int32))


@pytest.mark.parametrize(
    ("at", "action", "reward", "done", "success"),
    [
        (0, FORWARD, 0.0, False, False),
        (0, UP, -0.1, False, False),
        (3, FORWARD, -0.1, False, False),
        (3, UP, 1.0, True, True),
        (3, DOWN, -1.0, True, False),
    ],
)
def test_a_step_of_the_maze(at, action, reward, done, success):
    after, outcome = step(KEY, mazes(True, at, 1), jnp.array([action]), 3)
    assert (outcome.reward.item(), outcome.done.item(), outcome.success.item()) == (
        pytest.approx(reward),
        done,
        success,
    )
    assert after.clock.item() == (0 if done else 2)
    assert after.position.item() == (1 if (at, action) == (0, FORWARD) else 0 if done else at)


def test_an_episode_ends_when_its_time_is_over():
    _, outcome = step(KEY, mazes(True, 1, PATIENCE * 4 - 1), jnp.array([FORWARD]), 3)
    assert outcome.done.item()
    assert not outcome.success.item()


def test_the_cue_is_seen_at_the_start_alone():
    seen = [observe(mazes(up, at, 0), 3)[0].tolist() for up in (True, False) for at in (0, 1, 3)]
    assert seen[0] == [1, 0, 0, 0]
    assert seen[3] == [0, 1, 0, 0]
    assert seen[1] == seen[4] == [0, 0, 1, 0]
    assert seen[2] == seen[5] == [0, 0, 0, 1]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", POLICIES)
def test_learning_sees_what_acting_saw(name):
    """Log-probabilities and values of a second rollout: by steps, and over the sequence from where the first ended."""
    policy, length = POLICIES[name], 2
    params = policy.init(KEY, length)
    params = params._replace(actor=jax.tree.map(lambda leaf: 100 * leaf, params.actor))
    actor, _ = ppo.rollout(KEY, policy, params, ppo.new_actor(KEY, policy, params), length, 9)
    _, seen = ppo.rollout(jax.random.key(1), policy, params, actor, length, 9)
    assert seen.resets[1:].any()
    assert not seen.resets[0].all()
    logits, values = policy.sequence(params, seen.xs, actor.carries, seen.resets)
    np.testing.assert_allclose(values, seen.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ppo.log_prob(logits, seen.actions), seen.log_probs, rtol=1e-5, atol=1e-6)


def test_advantages_are_those_of_the_definition():
    shape = (5, 2)
    reward, values = jax.random.normal(KEY, shape), jax.random.normal(jax.random.key(1), shape)
    done = jnp.array([[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]], bool)
    outcomes = ppo.Outcome(reward, done, done)
    seen = ppo.Rollout(None, None, None, None, values, outcomes)
    last = jnp.array([0.5, -0.5])
    expected = np.zeros(shape)
    following = np.concatenate([values[1:], last[None]])
    for row in range(2):
        for start in range(5):
            factor = 1.0
            for t in range(start, 5):
                goes_on = 0.0 if done[t, row] else 1.0
                error = reward[t, row] + ppo.DISCOUNT * goes_on * following[t, row] - values[t, row]
                expected[start, row] += factor * error
                factor *= ppo.DISCOUNT * ppo.TRACE_DECAY * goes_on
    np.testing.assert_allclose(ppo.advantages(seen, last), expected, rtol=1e-5)


def test_a_policy_has_solved_the_task_when_its_mean_success_stays_high():
    assert np.isnan(__main__.solved(np.full(100, 0.5)))
    assert __main__.solved(np.where(np.arange(100) < 50, 0.4, 1.0)) == 69


def test_the_readme_has_the_committed_results():
    results = __main__.Path(__main__.__file__).with_name("results.md").read_text()
    assert results in __main__.Path(__main__.__file__).with_name("README.md").read_text()


@pytest.fixture
def standard_promotion():
    """For Optax, which mixes dtypes in its updates."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.exhaustive
@pytest.mark.usefixtures("standard_promotion")
def test_the_quick_form_writes_what_it_prints(tmp_path, capsys):
    results = quick_run(__main__.main, tmp_path)
    assert (results / "results.md").read_text() in capsys.readouterr().out
    assert (results / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.exhaustive
@pytest.mark.usefixtures("optimized", "standard_promotion")
def test_memory_solves_a_short_corridor_and_its_lack_does_not():
    recurrent, feed_forward = (__main__.run(KEY, name, 5, seeds=1, updates=80)[1] for name in ("LSTM", "feed-forward"))
    assert recurrent.min() > 0.95
    assert 0.4 < feed_forward.mean() < 0.6
