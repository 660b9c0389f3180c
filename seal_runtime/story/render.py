"""A story for people: sections of indented text, coloured on a terminal and plain in a pipe. Needs rich; nothing here decides anything."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from protocol.prompts import plain_prompt
from seal_runtime.report.plain_text import format_bytes, printable, short_question
from seal_runtime.story.layout import HASH_CHARS, INDENT, body, heading, numbered, packed
from seal_runtime.story.model import Answer, Proposal, QuestionStory, Replicate, Story
from seal_runtime.story.render_history import show_attempts, show_credit, show_policies


def show_story(story: Story, console: Console) -> None:
    """Print a story."""
    _show_head(story, console)
    _show_context(story, console)
    if story.proposal is not None:
        _show_proposal(story.proposal, story.context, console)
    _show_sequences(story, console)
    is_trained = any(replicate.training is not None for replicate in story.replicates)
    if is_trained or (story.proposal is not None and any(replicate.score is not None for replicate in story.replicates)):
        note = "its adapter, merged with those before" if story.has_rows else "one fresh adapter a replicate"
        heading(console, "Training", f"{note}; losses are nats a token")
        for replicate in story.replicates:
            if replicate.training is None and story.has_rows:
                continue
            _show_replicate(replicate, story, console)
    if story.questions:
        _show_questions(story, console)
    show_credit(story, console)
    show_policies(story, console)
    show_attempts(story, console)
    for note in story.notes:
        console.print()
        body(console, Text(f"note: {printable(note)}", style="yellow"), indent=0)


def _show_head(story: Story, console: Console) -> None:
    console.print(Text.assemble((story.edit_id, "bold"), (f"  run {story.run}, {story.run_phase}", "dim")), soft_wrap=True)
    written = f", written by policy v{story.policy.version}" if story.policy is not None and story.round is not None else ""
    body(console, Text(f"{story.kind}{written}"), indent=0)
    for line in packed(_verdict(story), console.width, gap=" · "):
        body(console, line, indent=0)


def _verdict(story: Story) -> list[Text]:
    if story.state == "unparsed":
        return [Text(f"reward 0: it cannot be parsed ({printable(story.parse_error)})", style="yellow")]
    if story.state == "invalid":
        return [Text(f"no reward: it was set aside and counts nowhere ({printable(story.state_reason)})", style="yellow")]
    if story.state == "unfinished":
        return [Text(f"not finished: {story.state_reason}", style="yellow")]
    assert story.reward is not None
    scores = [replicate.score for replicate in story.replicates if replicate.score is not None]
    parts = [f"{'reward' if story.round is not None else 'score'} {story.reward:.3f}"]
    if len(scores) > 1:
        parts.append(f"{'after each edit' if story.has_rows else 'replicates'} {', '.join(f'{score:.3f}' for score in scores)}")
    if story.base_score is not None:
        parts.append(f"without the edit {story.base_score:.3f}")
    if story.credit is not None and story.credit.rank is not None:
        parts.append(f"rank {story.credit.rank} of {story.credit.num_ranked}")
        parts.append("the policy learned from it" if story.credit.weight else "not selected")
    return [Text(part, style="bold green" if story.credit is not None and story.credit.weight else "bold") for part in parts]


def _show_context(story: Story, console: Console) -> None:
    if story.context is not None:
        heading(console, "Context", printable(story.title))
        body(console, Text(printable(story.context)))


def _show_proposal(proposal: Proposal, context: str | None, console: Console) -> None:
    limits = f"temperature {proposal.temperature:g}, top-p {proposal.top_p:g}, at most {proposal.max_new_tokens} tokens"
    cut = f", {proposal.prompt_truncated} cut away" if proposal.prompt_truncated else ""
    heading(console, "Prompt", f"{proposal.prompt_tokens} tokens{cut}; {limits}")
    prompt = plain_prompt(proposal.prompt)
    prompt = prompt.replace(context, "[the context above]") if context else prompt
    body(console, Text(printable(prompt).strip()))
    if proposal.text is None:
        return
    end = "ended by itself" if proposal.finish_reason == "stop" else "cut off at the limit"
    likely = f", mean log-probability {proposal.mean_logprob:.2f}" if proposal.mean_logprob is not None else ""
    heading(console, "Text", f"{proposal.num_tokens} tokens, {end}{likely}")
    body(console, Text(printable(proposal.text).strip() or "(empty)", style="bold"))


def _show_sequences(story: Story, console: Console) -> None:
    if story.parse_error:
        heading(console, "Training sequences", "none")
        body(console, Text(printable(story.parse_error), style="yellow"))
        return
    if not story.sequences:
        return
    heading(console, "Training sequences", f"{len(story.sequences)}, lines of one sequence joined by |")
    width = len(str(len(story.sequences)))
    for number, (prompt, completion) in enumerate(story.sequences, 1):
        text = " | ".join(line for line in printable(f"{plain_prompt(prompt)}{completion}").splitlines() if line.strip())
        numbered(console, f"{number:>{width}}", Text(text))


def _show_replicate(replicate: Replicate, story: Story, console: Console) -> None:
    label = f"r{replicate.number}" if story.num_replicates > 1 else "  "
    training = replicate.training
    if training is None:
        examined = "no adapter: its settings train nothing, the policy alone was examined"
        body(console, Text(f"{label}  {'not trained yet' if replicate.score is None else examined}", style="dim"))
        return
    cut = f"{training.num_truncated} sequences cut" if training.num_truncated else "nothing cut"
    facts = [
        Text(f"{label}  adapter {training.adapter_sha256[:HASH_CHARS]}"),
        Text(f"rank {training.rank}, {format_bytes(training.num_bytes)}", style="dim"),
        Text(f"loss {training.first_loss:.3f} → {training.final_loss:.3f}", style="bold"),
        Text(f"{training.num_steps} steps, {training.num_tokens} tokens an epoch", style="dim"),
        Text(cut, style="yellow" if training.num_truncated else "dim"),
        *_receipt(replicate),
    ]
    for number, line in enumerate(packed(facts, console.width - INDENT - 4)):
        body(console, line, indent=INDENT if number == 0 else INDENT + 4)


def _receipt(replicate: Replicate) -> list[Text]:
    receipt = replicate.receipt
    if receipt is None:
        return [Text("not examined yet", style="dim")]
    if not receipt.matches:
        return [Text(f"receipt of {receipt.adapter_sha256[:HASH_CHARS] or 'no adapter'}, v{receipt.policy_version}", style="bold red")]
    return [Text(f"receipt: these bytes on v{receipt.policy_version}, effect {receipt.probe_delta:.3g} nats", style="green")]


def _show_questions(story: Story, console: Console) -> None:
    is_adapted = any(replicate.training is not None for replicate in story.replicates)
    unasked = "; r0: before the first edit" if story.has_rows else "; this run did not ask without the edit"
    base = f"; base: {story.base_study}" if story.base_study else unasked if is_adapted else ""
    heading(console, "Questions", f"{len(story.questions)}, asked without the context{base}")
    for question in story.questions:
        _show_question(question, story, console)


def _show_question(question: QuestionStory, story: Story, console: Console) -> None:
    gold = printable(" / ".join(question.gold))
    body(console, Text.assemble(short_question(question.prompt), ("  → ", "dim"), (gold, "bold")))
    answers = [_answer("base", question.base)] if question.base is not None else []
    is_adapted = any(replicate.training is not None for replicate in story.replicates)
    labels: Sequence[str] = (
        [f"r{number}" for number in range(len(question.adapted))] if len(question.adapted) > 1 else ["adapted" if is_adapted else "answer"]
    )
    answers += [_answer(label, answer) for label, answer in zip(labels, question.adapted, strict=True)]
    for line in packed(answers, console.width - INDENT - 2):
        body(console, line, indent=INDENT + 2)


def _answer(label: str, answer: Answer | None) -> Text:
    if answer is None:
        return Text(f"{label} (not asked yet)", style="dim")
    text = " | ".join(printable(answer.text).split("\n")).strip() or "(no answer)"
    mark, style = ("✓", "green") if answer.score >= 1 else ("✗", "red") if answer.score <= 0 else (f"{answer.score:.2g}", "yellow")
    return Text.assemble((f"{label} ", "dim"), (f"{mark} ", style), text)
