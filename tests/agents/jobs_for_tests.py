"""Small jobs of every kind."""

from protocol.jobs import (
    AdapterRef,
    AdaptJob,
    CreditGroup,
    CreditJob,
    EvaluateJob,
    LoraSpec,
    OptimSpec,
    PolicyRef,
    ProposeJob,
    Question,
    SamplingSpec,
    ScoredEdit,
    TrainingSequence,
)
from seal_runtime.config.hyperparameters import OptimConfig

BASE = PolicyRef(version=0, chain=())
LORA = LoraSpec(rank=2, alpha=4.0, targets=("q_proj",))
OPTIM: OptimSpec = OptimConfig(epochs=3, batch_size=2).spec()
QUESTIONS = tuple(Question(question_id=f"q{index}", prompt=f"Question {index}?\n", answers=("gold",)) for index in range(3))


def propose_job(job_id: str = "round-1/c/propose", *seeds: int, policy: PolicyRef = BASE, prompt: str = "Some words here.") -> ProposeJob:
    """Return a job for a proposer."""
    sampling = SamplingSpec(temperature=1.0, top_p=1.0, max_new_tokens=64)
    return ProposeJob(job_id=job_id, policy=policy, prompt=prompt, sampling=sampling, seeds=seeds or (1, 2, 3))


def adapt_job(job_id: str = "round-1/c/e0/r0/adapt", *texts: str, policy: PolicyRef = BASE, seed: int = 1) -> AdaptJob:
    """Return a job for a trainer: three short texts in batches of two, three epochs, so six steps."""
    sequences = tuple(TrainingSequence(prompt="", completion=text, weight=1.0) for text in texts or ("one fact", "two facts", "three"))
    return AdaptJob(job_id=job_id, purpose="inner", policy=policy, sequences=sequences, lora=LORA, optim=OPTIM, seed=seed)


def evaluate_job(
    job_id: str = "round-1/c/e0/r0/evaluate",
    *,
    adapter: AdapterRef | None = None,
    policy: PolicyRef = BASE,
    questions: tuple[Question, ...] = QUESTIONS,
) -> EvaluateJob:
    """Return a job for an evaluator."""
    return EvaluateJob(job_id=job_id, policy=policy, adapter=adapter, questions=questions, max_new_tokens=4, stop="\n", scoring="mean")


def credit_job(job_id: str = "round-1/credit") -> CreditJob:
    """Return a job for a critic."""
    scored = ScoredEdit(edit_index=0, text="a fact", rewards=(0.5,), token_ids=(), behaviour_logprobs=())
    group = CreditGroup(context_id="c", prompt="p", baseline=None, edits=(scored,))
    return CreditJob(job_id=job_id, round=1, seed=1, groups=(group,))
