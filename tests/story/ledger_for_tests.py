"""A ledger in which everything has happened to the self-edits of one context, with the records a controller would write."""

from protocol.jobs import (
    AdapterRef,
    AdaptJob,
    AdaptResult,
    CreditGroup,
    CreditJob,
    CreditResult,
    EditCredit,
    EvaluateJob,
    EvaluateResult,
    GeneratedEdit,
    GradedAnswer,
    Job,
    JobResult,
    LoraSpec,
    OptimSpec,
    PolicyRef,
    ProposeJob,
    ProposeResult,
    Question,
    Receipt,
    Role,
    SamplingSpec,
    ScoredEdit,
    TrainingSequence,
)
from seal_runtime.controller.dispatch import ATTEMPTS_PER_EPOCH
from seal_runtime.ledger.records import (
    AgentJoined,
    FailureRecord,
    JobKey,
    PolicyRecord,
    Record,
    ResultRecord,
    SetAsideRecord,
    Stage,
)
from seal_runtime.tasks.fictional.task import FictionalWorldTask

INSTANCE = FictionalWorldTask().instances("reward")[0]
CONTEXT = INSTANCE.instance_id
TEXTS = ("The first fact.\nThe second \x1b[31mfact.", "Another edit.", " \x00 ", "Waits.", "Was given up.")
SHAS = ("a" * 64, "b" * 64)
POLICY = PolicyRef(version=0, chain=())
LORA = LoraSpec(rank=4, alpha=8.0, targets=())
OPTIM = OptimSpec(
    learning_rate=1e-3,
    epochs=2,
    batch_size=1,
    schedule="linear",
    warmup_steps=0,
    weight_decay=0.0,
    max_grad_norm=1.0,
    max_length=64,
    num_steps=0,
    pad_loss="none",
)
QUESTIONS = (
    Question(question_id="q0", prompt="Answer.\nQuestion: Who?\nAnswer:", answers=("Ada", "Ada Lovelace")),
    Question(question_id="q1", prompt="Answer.\nQuestion: Where?\nAnswer:", answers=("London",)),
)


def key(stage: Stage, edit: int = -1, replicate: int = -1, study: str = "round-1") -> JobKey:
    return JobKey(
        stage=stage, study=study, context_id="" if stage in ("credit", "policy") else CONTEXT, edit_index=edit, replicate=replicate
    )


def result(key: JobKey, job: Job, result: JobResult, agent: str, at: float, *, attempt: int = 1, score: float | None = None) -> Record:
    return ResultRecord(
        key=key,
        policy_version=0,
        attempt=attempt,
        agent=agent,
        started_at=at,
        duration_seconds=2.5,
        score=score,
        job=job,
        result=result,
    )


def proposal() -> Record:
    place = key("propose")
    sampling = SamplingSpec(temperature=1.0, top_p=0.9, max_new_tokens=50)
    edits = tuple(GeneratedEdit(text=text, token_ids=(1, 2), logprobs=(-1.0, -2.0), finish_reason="stop") for text in TEXTS)
    job = ProposeJob(
        job_id=place.job_id, policy=POLICY, prompt=f"Write.\n{INSTANCE.context}\nNow:", sampling=sampling, seeds=tuple(range(7, 12))
    )
    return result(place, job, ProposeResult(edits=edits, prompt_tokens=30, prompt_truncated=0), "proposer-0", 1000.0)


def proposal_again(edit: int, number: int, text: str) -> Record:
    """Return another draw of one edit."""
    place = key("propose", edit, number)
    sampling = SamplingSpec(temperature=1.0, top_p=0.9, max_new_tokens=50)
    drawn = GeneratedEdit(text=text, token_ids=(3,), logprobs=(-0.5,), finish_reason="stop")
    job = ProposeJob(job_id=place.job_id, policy=POLICY, prompt="Write.", sampling=sampling, seeds=(90 + number,))
    return result(place, job, ProposeResult(edits=(drawn,), prompt_tokens=30, prompt_truncated=0), "proposer-0", 1003.0)


def adapted(edit: int, replicate: int, *, attempt: int = 1, agent: str = "trainer-0") -> Record:
    place = key("adapt", edit, replicate)
    sequences = FictionalWorldTask().training_sequences(INSTANCE, TEXTS[edit])
    job = AdaptJob(job_id=place.job_id, purpose="inner", policy=POLICY, sequences=sequences, lora=LORA, optim=OPTIM, seed=5)
    answer = AdaptResult(
        adapter=AdapterRef(sha256=SHAS[replicate], rank=4, num_bytes=2048),
        num_steps=6,
        num_tokens=40,
        num_truncated=replicate,
        first_loss=2.5,
        final_loss=0.25,
    )
    return result(place, job, answer, agent, 1010.0, attempt=attempt)


def graded(edit: int, replicate: int, answers: tuple[str, ...], *, study: str = "round-1", sha: str | None = None) -> Record:
    place = key("evaluate", edit, replicate, study)
    is_base = study != "round-1" or sha == ""
    adapter = None if is_base else AdapterRef(sha256=SHAS[replicate], rank=4, num_bytes=2048)
    job = EvaluateJob(job_id=place.job_id, policy=POLICY, adapter=adapter, questions=QUESTIONS, max_new_tokens=8, stop="\n", scoring="mean")
    grades = tuple(
        GradedAnswer(question_id=question.question_id, text=text, score=float(text in question.answers))
        for question, text in zip(QUESTIONS, answers, strict=True)
    )
    shown = "" if is_base else SHAS[replicate] if sha is None else sha
    receipt = Receipt(adapter_sha256=shown, policy_version=0, policy_sha256s=(), probe_delta=0.0 if is_base else 3.5)
    score = sum(grade.score for grade in grades) / len(grades)
    return result(place, job, EvaluateResult(answers=grades, score=score, receipt=receipt), "evaluator-0", 1020.0, score=score)


def credited() -> list[Record]:
    place = key("credit")
    rewards = {0: (0.5, 1.0), 1: (0.0, 0.5), 2: (0.0, 0.0), 3: (), 4: ()}
    edits = tuple(
        ScoredEdit(edit_index=index, text=TEXTS[index], rewards=rewards[index], token_ids=(1,), behaviour_logprobs=(-1.0,))
        for index in rewards
    )
    group = CreditGroup(context_id=CONTEXT, prompt="p", baseline=0.125, edits=edits)
    credits = tuple(
        EditCredit(context_id=CONTEXT, edit_index=index, reward=reward, weight=weight)
        for index, reward, weight in ((0, 0.75, 1.0), (1, 0.25, 0.0), (2, 0.0, 0.0))
    )
    job = CreditJob(job_id=place.job_id, round=1, seed=0, groups=(group,))
    update = key("policy")
    policy_job = AdaptJob(
        job_id=update.job_id,
        purpose="policy",
        policy=POLICY,
        sequences=(TrainingSequence(prompt="p", completion="c", weight=1.0),),
        lora=LORA,
        optim=OPTIM,
        seed=1,
    )
    policy = AdaptResult(
        adapter=AdapterRef(sha256="c" * 64, rank=4, num_bytes=4096),
        num_steps=2,
        num_tokens=9,
        num_truncated=0,
        first_loss=1.0,
        final_loss=0.5,
    )
    return [
        result(place, job, CreditResult(credits=credits, update=None), "critic-0", 1030.0),
        result(update, policy_job, policy, "trainer-0", 1032.0),
        PolicyRecord(version=1, parent=0, round=1, adapter_sha256="c" * 64, rank=4, num_bytes=4096),
    ]


def joined(agent: str, role: Role, host: str, gpus: tuple[int, ...] = ()) -> Record:
    return AgentJoined(agent=agent, incarnation=f"{agent}-{host}", role=role, hostname=host, pid=1, gpus=gpus)


def arrivals() -> list[Record]:
    roles: tuple[Role, ...] = ("proposer", "evaluator", "critic")
    return [joined(f"{role}-0", role, "near") for role in roles] + [joined("trainer-0", "trainer", "far", gpus=(0, 1))]


def everything() -> list[Record]:
    """Return the records of a round: e0 measured twice, e1 once its second training failed, e2 unparsable, e3 waits, e4 was given up."""
    first = PolicyRecord(version=0, parent=-1, round=0, adapter_sha256="", rank=0, num_bytes=0)
    diverged = FailureRecord(
        job_id=key("adapt", 0, 1).job_id, attempt=1, agent="trainer-0", error_type="AdaptError", reason="out of memory", retryable=True
    )
    return [
        first,
        proposal(),
        graded(0, 0, ("Bob", "London"), study="no-update"),
        adapted(0, 0),
        graded(0, 0, ("Ada", "Paris")),
        diverged,
        adapted(0, 1, attempt=ATTEMPTS_PER_EPOCH + 3),
        graded(0, 1, ("Ada Lovelace", "London")),
        adapted(1, 0),
        graded(1, 0, ("Ada", "Rome"), sha="d" * 64),
        SetAsideRecord(job_id=key("adapt", 4, 0).job_id, reason="three agents died on it"),
    ]
