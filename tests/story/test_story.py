"""The story of a self-edit from a ledger of any state: complete, running, crashed; for people, for machines."""

import contextlib
import io
import json
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
from ledger_for_tests import CONTEXT, INSTANCE, SHAS, arrivals, credited, everything, graded, joined, proposal, proposal_again

from seal_runtime.cli.app import app
from seal_runtime.config.loading import dump_topology
from seal_runtime.config.topology import AlgorithmConfig, TaskConfig, Topology
from seal_runtime.errors import ConfigError
from seal_runtime.ledger import Ledger
from seal_runtime.ledger.records import Record
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.story.model import Story
from seal_runtime.story.render import show_story
from seal_runtime.story.tell import tell_story


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "runs" / "x")
    run.create()
    run.topology.write_text(dump_topology(Topology(algorithm=AlgorithmConfig(replicates=2))))
    return run


def commit(run: RunDirectory, records: list[Record]) -> None:
    ledger = Ledger(run.ledger)
    ledger.commit(arrivals(), now=990.0, meta={"run_id": "x", "phase": "running"})
    ledger.commit(records, now=1015.0)
    ledger.close()


def told(run: RunDirectory, edit: int, records: list[Record] | None = None) -> Story:
    commit(run, [*everything(), *credited()] if records is None else records)
    return tell_story(run, f"round-1/{CONTEXT}/e{edit}")


def shown(story: Story, width: int = 80) -> str:
    output = io.StringIO()
    show_story(story, Console(file=output, width=width, highlight=False, markup=False, emoji=False))
    return output.getvalue()


def test_a_measured_edit_has_everything(run: RunDirectory) -> None:
    story = told(run, 0)
    assert (story.state, story.reward, story.round, story.edit_index) == ("scored", 0.75, 1, 0)
    assert (story.context, story.title) == (INSTANCE.context, INSTANCE.title)
    assert story.proposal is not None
    assert (story.proposal.seed, story.proposal.mean_logprob, story.proposal.num_tokens) == (7, -1.5, 2)
    assert len(story.sequences) == 3, "two lines and the passage"
    assert [replicate.score for replicate in story.replicates] == [0.5, 1.0]
    trainings = [replicate.training for replicate in story.replicates]
    assert [training.adapter_sha256 for training in trainings if training is not None] == list(SHAS)
    losses = [(training.first_loss, training.final_loss, training.num_steps) for training in trainings if training is not None]
    assert losses == [(2.5, 0.25, 6)] * 2
    assert all(replicate.receipt is not None and replicate.receipt.matches for replicate in story.replicates)


def test_questions_stand_beside_the_answers_without_the_edit(run: RunDirectory) -> None:
    story = told(run, 0)
    who, where = story.questions
    assert story.base_study == "no-update"
    assert story.base_score == 0.5
    assert who.base is not None
    assert (who.base.text, who.base.score) == ("Bob", 0.0)
    assert [answer.text for answer in who.adapted if answer is not None] == ["Ada", "Ada Lovelace"]
    assert [answer.score for answer in where.adapted if answer is not None] == [0.0, 1.0]


def test_credit_has_rank_weight_rivals_and_the_policy_that_followed(run: RunDirectory) -> None:
    story = told(run, 0)
    credit = story.credit
    assert credit is not None
    assert (credit.rank, credit.num_ranked, credit.weight, credit.baseline, credit.num_selected) == (1, 3, 1.0, 0.125, 1)
    assert [(rival.edit_index, rival.reward) for rival in credit.rivals] == [(0, 0.75), (1, 0.25), (2, 0.0), (3, None), (4, None)]
    assert story.policy is not None
    assert story.next_policy is not None
    assert (story.policy.version, story.next_policy.version, story.next_policy.parent) == (0, 1, 0)


def test_every_attempt_is_told_with_who_and_where(run: RunDirectory) -> None:
    story = told(run, 0)
    second = [attempt for attempt in story.attempts if attempt.job_id.endswith("r1/adapt")]
    assert [(a.controller, a.number, a.outcome) for a in second] == [(0, 1, "failed"), (1, 1, "lost"), (1, 2, "lost"), (1, 3, "committed")]
    assert (second[0].error_type, second[0].reason) == ("AdaptError", "out of memory")
    assert (second[3].agent, second[3].hostname, second[3].gpus) == ("trainer-0", "far", (0, 1))
    assert [attempt.stage for attempt in story.attempts if attempt.outcome == "committed"] == [
        "propose", "adapt", "evaluate", "adapt", "evaluate", "credit", "policy",
    ]  # fmt: skip


def test_an_attempt_is_of_the_process_that_had_the_name_then(run: RunDirectory) -> None:
    commit(run, everything())
    ledger = Ledger(run.ledger)
    ledger.commit([joined("trainer-0", "trainer", "elsewhere")], now=5000.0)
    ledger.close()
    story = tell_story(run, f"{CONTEXT}/e0")
    assert {attempt.hostname for attempt in story.attempts if attempt.agent == "trainer-0"} == {"far"}


def test_a_receipt_of_other_bytes_does_not_match(run: RunDirectory) -> None:
    story = told(run, 1)
    receipt = story.replicates[0].receipt
    assert receipt is not None
    assert not receipt.matches
    assert (story.state, story.reward, story.state_reason) == ("unfinished", None, "replicate 1 waits for its training")
    assert f"receipt of {'d' * 12}, v0" in shown(story)


def test_an_edit_that_cannot_be_parsed_has_reward_zero_and_says_why(run: RunDirectory) -> None:
    story = told(run, 2)
    assert (story.state, story.reward, story.sequences) == ("unparsed", 0.0, ())
    assert "reward 0: it cannot be parsed" in shown(story)


def test_an_edit_that_is_drawn_again_is_told_by_its_last_draw(run: RunDirectory) -> None:
    run.topology.write_text(dump_topology(Topology.model_validate({"proposer": {"max_resamples": 2}})))
    commit(run, [*everything(), proposal_again(2, 1, " \x00 ")])
    story = tell_story(run, f"round-1/{CONTEXT}/e2")
    assert (story.state, story.reward) == ("unfinished", None)
    assert "it could not be parsed and is drawn again" in story.state_reason
    assert story.proposal is not None
    assert story.proposal.seed == 91
    ledger = Ledger(run.ledger)
    ledger.commit([proposal_again(2, 2, " \x00 ")], now=1020.0)
    ledger.close()
    last = tell_story(run, f"round-1/{CONTEXT}/e2/s2/propose")
    assert (last.state, last.reward) == ("unparsed", 0.0)
    text = shown(last)
    assert "propose s1" in text
    assert "propose s2" in text


def test_an_edit_that_trains_nothing_is_told_so_and_scored(run: RunDirectory) -> None:
    story = told(run, 3, [*everything(), graded(3, 0, ("Ada", "London"), sha=""), graded(3, 1, ("Ada", "Rome"), sha="")])
    assert (story.state, story.reward) == ("scored", 0.75)
    assert all(replicate.training is None and replicate.receipt is not None and replicate.receipt.matches for replicate in story.replicates)
    assert "no adapter: its settings train nothing, the policy alone was examined" in " ".join(shown(story).split())


@pytest.mark.parametrize(
    ("edit", "state", "expected"),
    [(3, "unfinished", "replicate 0 waits for its training"), (4, "invalid", "three agents died on it")],
)
def test_what_has_no_reward_says_why(run: RunDirectory, edit: int, state: str, expected: str) -> None:
    story = told(run, edit, everything())
    assert (story.state, story.reward, story.credit) == (state, None, None)
    text = shown(story)
    assert expected in " ".join(text.split())
    assert "none yet: the round is not complete" in text


def test_a_run_that_has_just_begun_has_stories_too(run: RunDirectory) -> None:
    story = told(run, 0, [proposal()])
    assert (story.state, story.questions, story.policy) == ("unfinished", (), None)
    assert [attempt.stage for attempt in story.attempts] == ["propose"]


def test_a_task_that_cannot_be_loaded_costs_only_the_passage(run: RunDirectory) -> None:
    run.topology.write_text(dump_topology(Topology(task=TaskConfig(name="squad", data="/nowhere.json"))))
    story = told(run, 0)
    assert story.context is None
    assert "the passage is not shown" in story.notes[0]
    assert INSTANCE.context[:30] in " ".join(shown(story).split()), "the prompt has it"


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("edit", range(5))
def test_no_line_is_wider_than_the_terminal_or_steers_it(run: RunDirectory, edit: int, width: int) -> None:
    lines = shown(told(run, edit), width).splitlines()
    assert "\x1b" not in "".join(lines)
    assert all(line == line.rstrip() for line in lines)
    assert [line for line in lines[1:] if len(line) > width] == [], "the first line is the name, to be copied whole"


def test_the_page_shows_it_all(run: RunDirectory) -> None:
    text = " ".join(shown(told(run, 0)).split())
    for part in (
        "reward 0.750 · replicates 0.500, 1.000 · without the edit 0.500",
        "rank 1 of 3",
        "the policy learned from it",
        "loss 2.500 → 0.250",
        "1 sequences cut",
        "base ✗ Bob r0 ✓ Ada r1 ✓ Ada Lovelace",
        "Who? → Ada / Ada Lovelace",
        "e0 0.750 ███████████████ selected, weight 1, this edit",
        "e3 — not measured",
        "round 1 led to v1 (adapter cccccccccccc on v0, after round 1)",
        "AdaptError: out of memory",
        "on far, GPU 0,1 try 3 after restart 1",
        "The first fact. The second \ufffd[31mfact.",
    ):
        assert part in text, part


def seal(run: RunDirectory, *arguments: str) -> str:
    with contextlib.chdir(run.root.parents[1]):
        result = CliRunner().invoke(app, ["story", *arguments])
    if isinstance(result.exception, ConfigError):
        return f"error: {result.exception}"
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_the_command_takes_a_part_of_a_name_and_the_newest_run(run: RunDirectory) -> None:
    commit(run, everything())
    assert seal(run, f"{CONTEXT}/e0").startswith(f"round-1/{CONTEXT}/e0  run x, running\n")
    assert seal(run, f"round-1/{CONTEXT}/e0/r1/adapt", "x").startswith(f"round-1/{CONTEXT}/e0 ")


def test_the_command_gives_json_to_machines(run: RunDirectory) -> None:
    commit(run, [*everything(), *credited()])
    story = json.loads(seal(run, f"{CONTEXT}/e0", "x", "--json"))
    assert (story["reward"], story["credit"]["rank"], story["questions"][0]["base"]["text"]) == (0.75, 1, "Bob")
    assert len(story["attempts"]) == 10


def test_an_unclear_or_unknown_name_is_answered_with_names(run: RunDirectory) -> None:
    commit(run, everything())
    assert "could be 5 self-edits" in seal(run, CONTEXT)
    wrong = seal(run, f"round-1/{CONTEXT[:-2]}xx/e1")
    assert re.search(rf"did you mean .*round-1/{CONTEXT}/e1", wrong)
    assert f"did you mean round-1/{CONTEXT}/e" in seal(run, f"round-1/{CONTEXT}/e9")


def test_a_run_without_edits_says_so(run: RunDirectory) -> None:
    commit(run, [])
    assert "no self-edit yet" in seal(run, "e0")
