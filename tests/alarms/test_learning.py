from seal_runtime.alarms.find import find_alarms
from seal_runtime.alarms.learning import diversity_collapse, parse_failures, plateau, reward_hacking
from seal_runtime.alarms.points import RoundPoint


def point(
    version: int, reward: float | None = 0.5, heldout: float | None = 0.5, *, stderr: float = 0.01, unparsed: int = 0, unique: float = 1.0
) -> RoundPoint:
    return RoundPoint(
        policy_version=version,
        reward=reward,
        reward_stderr=stderr,
        heldout=heldout,
        heldout_stderr=stderr,
        num_edits=100,
        num_unparsed=unparsed,
        unique_share=unique,
    )


def series(rewards: list[float], heldout: list[float], stderr: float = 0.01) -> list[RoundPoint]:
    return [point(version, *pair, stderr=stderr) for version, pair in enumerate(zip(rewards, heldout, strict=True))]


def test_a_reward_that_rises_while_the_held_out_score_falls_twice_is_named() -> None:
    text = reward_hacking(series([0.3, 0.4, 0.5], [0.5, 0.45, 0.4]))
    assert text is not None
    assert "from 30.0 % to 50.0 %" in text
    assert "from 50.0 % to 40.0 %" in text


def test_one_bad_step_is_not_reward_hacking() -> None:
    assert reward_hacking(series([0.3, 0.4, 0.5], [0.5, 0.55, 0.4])) is None
    assert reward_hacking(series([0.3, 0.5], [0.5, 0.3])) is None


def test_changes_within_the_standard_error_are_not_reward_hacking() -> None:
    # The held-out score falls by 0.02; the standard error of the difference is sqrt(2) * 0.02 = 0.028.
    assert reward_hacking(series([0.3, 0.4, 0.5], [0.50, 0.49, 0.48], stderr=0.02)) is None


def test_only_the_last_steps_count_for_reward_hacking() -> None:
    assert reward_hacking(series([0.3, 0.4, 0.5, 0.6, 0.7], [0.5, 0.4, 0.3, 0.4, 0.5])) is None


def test_versions_without_a_held_out_score_are_passed_over() -> None:
    points = [point(0, 0.3, 0.5), point(1, 0.35, None), point(2, 0.4, 0.45), point(3, 0.5, 0.4)]
    assert reward_hacking(points) is not None


def test_self_edits_that_become_alike_are_named() -> None:
    assert diversity_collapse([point(0, unique=1.0), point(1, unique=0.61)]) is None
    text = diversity_collapse([point(0, unique=1.0), point(1, unique=0.9), point(2, unique=0.3)])
    assert text is not None
    assert "30.0 %" in text


def test_low_diversity_from_the_beginning_is_no_collapse() -> None:
    assert diversity_collapse([point(0, unique=0.3), point(1, unique=0.28)]) is None


def test_more_parse_failures_than_in_an_earlier_round_are_named() -> None:
    text = parse_failures([point(0, unparsed=10), point(1, unparsed=2), point(2, unparsed=20)])
    assert text is not None
    assert "20.0 %" in text
    assert "2.0 %" in text


def test_a_small_rise_or_a_small_round_is_no_alarm() -> None:
    assert parse_failures([point(0, unparsed=2), point(1, unparsed=11)]) is None, "9 points are less than 10"
    # 0.40 and 0.52 of 100: the difference 0.12 is less than two standard errors, 2 * sqrt(0.24 / 100 + 0.2496 / 100) = 0.14.
    assert parse_failures([point(0, unparsed=40), point(1, unparsed=52)]) is None


def test_falling_parse_failures_are_no_alarm() -> None:
    assert parse_failures([point(0, unparsed=60), point(1, unparsed=5)]) is None


def test_a_score_that_stays_is_a_plateau_after_five_points() -> None:
    flat = [0.3, 0.5, 0.505, 0.5, 0.502]
    assert plateau(series(flat, flat)[:4]) is None
    text = plateau(series(flat, flat))
    assert text is not None
    assert text.startswith("the held-out score has not risen for 3 policy versions")


def test_a_rising_or_a_perfect_score_is_no_plateau() -> None:
    rising = [0.3, 0.4, 0.5, 0.55, 0.6]
    assert plateau(series(rising, rising)) is None
    assert plateau(series([0.97] * 6, [0.97] * 6)) is None


def test_without_held_out_scores_the_reward_is_looked_at() -> None:
    text = plateau([point(version, 0.4, None) for version in range(5)])
    assert text is not None
    assert text.startswith("the reward has not risen")


def test_a_healthy_run_raises_nothing() -> None:
    # The figures of a real quickstart run of three rounds.
    points = [
        RoundPoint(
            policy_version=version, reward=reward, reward_stderr=0.02, heldout=heldout, heldout_stderr=0.03,
            num_edits=160 if reward is not None else 0, num_unparsed=0, unique_share=unique,
        )
        for version, (reward, heldout, unique) in enumerate(
            [(0.369, 0.2875, 0.994), (0.648, 0.623, 1.0), (0.759, 0.757, 1.0), (None, 0.7375, None)]
        )
    ]  # fmt: skip
    assert find_alarms(points, []) == ()


def test_no_points_give_no_alarm() -> None:
    assert find_alarms([], []) == ()
