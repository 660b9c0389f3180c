import pytest

from seal_runtime.chaos.schedule import DEFAULT_KINDS, EVERYTHING, Injection, make_schedule, parse_kinds
from seal_runtime.errors import ConfigError

AGENTS = ("proposer-0", "trainer-0", "trainer-1", "evaluator-0", "critic-0")


def schedule(seed: int, number: int) -> list[Injection]:
    return make_schedule(seed=seed, num_injections=number, kinds=DEFAULT_KINDS, agents=AGENTS, agent_timeout_seconds=10.0)


def test_the_seed_alone_decides() -> None:
    assert schedule(3, 50) == schedule(3, 50)
    assert schedule(3, 50) != schedule(4, 50)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_comes_before_any_comes_again(seed: int) -> None:
    assert {injection.kind for injection in schedule(seed, len(DEFAULT_KINDS))} == set(DEFAULT_KINDS)
    variants = {(injection.kind, injection.variant) for injection in schedule(seed, 9)}
    assert len(variants) == 9


def test_moments_rise_and_lie_within_the_run() -> None:
    shares = [injection.share for injection in schedule(0, 200)]
    assert shares == sorted(shares)
    assert shares[0] > 0.0
    assert shares[-1] < 0.95


def test_short_is_shorter_and_long_is_longer_than_the_agent_timeout() -> None:
    injections = schedule(0, 300)
    assert all(injection.seconds < 10.0 for injection in injections if injection.variant == "short")
    assert all(injection.seconds > 10.0 for injection in injections if injection.variant in ("long", "late"))
    assert {injection.seconds > 10.0 for injection in injections if injection.variant == "held"} == {True, False}
    assert all(injection.seconds == 0.0 for injection in injections if injection.kind in ("kill", "term", "power"))


def test_every_process_is_somebodys_first_choice() -> None:
    injections = schedule(1, 300)
    first = {injection.targets[0] for injection in injections if injection.kind != "power"}
    assert first == {"controller", *AGENTS}
    assert all(injection.targets == (EVERYTHING,) for injection in injections if injection.kind == "power")


def test_kinds_are_parsed_and_unknown_ones_refused() -> None:
    assert parse_kinds("stop, kill") == ("kill", "stop")
    for text in ("kill,fire", "", ","):
        with pytest.raises(ConfigError, match="--kinds"):
            parse_kinds(text)
