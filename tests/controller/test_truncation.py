"""Texts that did not fit are cut by rule, counted and told; the run goes on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.jobs import AdaptJob, ProposeJob
from seal_runtime.controller.commands import LogEvent


def test_cut_prompts_and_sequences_are_warned_of_and_shown_in_the_status(make_world: Callable[..., Any]) -> None:
    world = make_world()
    honest = world.answer

    def answer(agent: Any, job: Any) -> Any:
        result = honest(agent, job)
        if isinstance(job, ProposeJob):
            return replace(result, prompt_truncated=7)
        return replace(result, num_truncated=2) if isinstance(job, AdaptJob) else result

    world.answer = answer
    world.join_all()
    assert world.run_calmly().phase == "done"
    warnings = [c for c in world.commands if isinstance(c, LogEvent) and c.level == "warning"]
    assert {w.name for w in warnings} >= {"prompt_truncated", "training_sequences_truncated"}
    assert next(w for w in warnings if w.name == "prompt_truncated").fields["cut"] == 7
    problems = " ".join(world.state.status(world.now).problems)
    assert "their beginning was cut" in problems
    assert "their end was cut" in problems


def test_texts_that_fit_are_no_problem(calm_world: Any) -> None:
    assert not any("was cut" in problem for problem in calm_world.state.status(calm_world.now).problems)
