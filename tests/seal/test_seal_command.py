"""`seal-runtime seal` on files and on a run made by hand."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
from result_files import answer, article, completion, results

from protocol.jobs import (
    AdapterRef,
    EvaluateJob,
    EvaluateResult,
    GeneratedEdit,
    GradedAnswer,
    PolicyRef,
    ProposeJob,
    ProposeResult,
    Receipt,
    SamplingSpec,
)
from seal_runtime.cli.app import app
from seal_runtime.config.loading import dump_topology
from seal_runtime.config.topology import Topology
from seal_runtime.ledger import Ledger
from seal_runtime.ledger.records import JobKey, PolicyRecord, Record, ResultRecord
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.tasks.base import Instance
from seal_runtime.tasks.registry import make_task

SHA = "a" * 64
PASSAGES = [
    {"title": f"Town {number}", "context": f"Town {number} lies by the sea.", "questions": [
        {"question": "Where does it lie?", "answer": "by the sea"}, {"question": "What is it?", "answer": "a town"}]}
    for number in range(8)
]  # fmt: skip


def seal(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["seal", *arguments])
    failed = result.exception is not None and not isinstance(result.exception, SystemExit)
    return result.exit_code, repr(result.exception) if failed else result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    edits = [completion("first\n", 0.5), completion("second", 0.75)]
    edits[0]["questions"] = [answer(0, "a", False, True), answer(0, "b", False, False)]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(results([article("A", edits), article("B", [completion("third", 0.25)])])))
    return path


def test_select_prints_or_writes_the_set(file: Path, tmp_path: Path) -> None:
    code, printed = seal("select", str(file))
    assert code == 0
    assert [json.loads(line)["completion"] for line in printed.splitlines()] == ["second", "third"]
    assert seal("select", str(file), "--k", "2", "--out", str(tmp_path))[0] == 0
    written = (tmp_path / "sft_best2of2_0508_015401.jsonl").read_text()
    assert [json.loads(line)["completion"] for line in written.splitlines()] == ["second", "first", "third"]
    assert seal("select", str(file), "--out", str(tmp_path / "mine.jsonl"))[0] == 0
    assert (tmp_path / "mine.jsonl").read_text() == printed


def test_stats_says_where_the_file_differs(file: Path) -> None:
    code, printed = seal("stats", str(file))
    assert code == 1
    assert "adapter_mean_accuracy                      0.4375   (the file says 0.0)" in printed
    code, printed = seal("stats", str(file), "--json")
    value = json.loads(file.read_text()) | {"overall": json.loads(printed)}
    file.write_text(json.dumps(value))
    assert seal("stats", str(file))[0] == 0


class Run:
    """A run directory with rows of the task's own instances."""

    def __init__(self, root: Path, **algorithm: object) -> None:
        (root / "passages.json").write_text(json.dumps(PASSAGES))
        self.directory = RunDirectory(root / "run")
        self.directory.root.mkdir()
        task = {"name": "squad", "data": str(root / "passages.json")}
        self.topology = Topology.model_validate({"run": {"name": "mine"}, "task": task})
        self.directory.topology.write_text(dump_topology(self.topology))
        self.instances = make_task(self.topology.task).instances("reward")
        self.records: list[Record] = [PolicyRecord(version=0, parent=-1, round=0, adapter_sha256="", rank=0, num_bytes=0)]

    def propose(self, study: str, instance: Instance, texts: Sequence[str]) -> None:
        key = JobKey(stage="propose", study=study, context_id=instance.instance_id, edit_index=-1, replicate=-1)
        sampling = SamplingSpec(temperature=1.0, top_p=1.0, max_new_tokens=8)
        job = ProposeJob(job_id=key.job_id, policy=_base(), prompt=instance.prompt, sampling=sampling, seeds=(1,) * len(texts))
        edits = tuple(GeneratedEdit(text=text, token_ids=(1,), logprobs=(-1.0,), finish_reason="stop") for text in texts)
        self._add(key, job, ProposeResult(edits=edits, prompt_tokens=1, prompt_truncated=0))

    def grade(self, study: str, instance: Instance, edit: int, replicate: int, scores: Sequence[float], *, adapted: bool = True) -> None:
        key = JobKey(stage="evaluate", study=study, context_id=instance.instance_id, edit_index=edit, replicate=replicate)
        adapter = AdapterRef(sha256=SHA, rank=4, num_bytes=9) if adapted else None
        job = EvaluateJob(
            job_id=key.job_id, policy=_base(), adapter=adapter, questions=instance.questions, max_new_tokens=8, stop="\n", scoring="mean"
        )
        answers = tuple(
            GradedAnswer(question_id=question.question_id, text=f"says {score}", score=score)
            for question, score in zip(instance.questions, scores, strict=True)
        )
        receipt = Receipt(adapter_sha256=SHA if adapted else "", policy_version=0, policy_sha256s=(), probe_delta=0.5 if adapted else 0.0)
        self._add(key, job, EvaluateResult(answers=answers, score=sum(scores) / len(scores), receipt=receipt))

    def write(self) -> str:
        ledger = Ledger(self.directory.ledger)
        ledger.commit(self.records, now=2000.0, meta={"run_id": "x", "phase": "done", "started_at": "86400.0"})
        ledger.close()
        return str(self.directory.root)

    def _add(self, key: JobKey, job: ProposeJob | EvaluateJob, result: ProposeResult | EvaluateResult) -> None:
        self.records.append(
            ResultRecord(
                key=key, policy_version=0, attempt=1, agent="x-0", started_at=1.0, duration_seconds=1.0, score=None, job=job, result=result
            )
        )


def _base() -> PolicyRef:
    return PolicyRef(version=0, chain=())


def test_a_run_is_exported_and_its_set_selected(tmp_path: Path) -> None:
    run = Run(tmp_path)
    first, second = run.instances[:2]
    for instance in (second, first):  # the order of commits does not count
        run.propose("round-1", instance, ["one", "two", "\x00", "four"])
        run.grade("baseline-v0", instance, 0, 0, (0.0, 1.0), adapted=False)
        for replicate in (1, 0):
            run.grade("round-1", instance, 0, replicate, (1.0, 0.0))
            run.grade("round-1", instance, 1, replicate, (1.0, float(replicate)))
    root = run.write()
    out = tmp_path / "results.json"
    code, printed = seal("export", root, "--out", str(out))
    assert code == 0, printed
    assert "round-1: 2 articles" in printed
    assert "2 self-edits without a score are left out" in printed
    value = json.loads(out.read_text())
    assert [item["title"] for item in value["articles"]] == [first.title, second.title]
    assert value["timestamp"] == "0102_000000"
    assert value["eval_times"] == 2
    one, two, broken = value["articles"][0]["completions"]
    assert one["stats"] == {"baseline_mean": 0.5, "baseline_std": 0.0, "adapter_mean": 0.5, "adapter_std": 0.0, "gain_mean": 0.0}
    assert two["stats"]["adapter_mean"] == 0.75
    assert broken == {
        "text": "\x00",
        "stats": {"baseline_mean": 0.5, "baseline_std": 0.0, "adapter_mean": 0.0, "adapter_std": 0.0, "gain_mean": -0.5},
        "questions": [],
    }
    assert one["questions"][0] == {
        "rep": 0, "question": "Where does it lie?", "answer": "by the sea", "baseline_answer": "says 0.0", "adapter_answer": "says 1.0",
        "baseline_correct": False, "adapter_correct": True,
    }  # fmt: skip
    assert seal("stats", str(out))[0] == 0
    assert [json.loads(line)["completion"] for line in seal("select", str(out))[1].splitlines()] == ["two", "two"]
    assert "which exists" in seal("export", root, "--out", str(out))[1]


def test_a_baseline_that_was_not_measured_is_null(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.propose("round-1", run.instances[0], ["old"])
    run.grade("round-1", run.instances[0], 0, 0, (1.0, 1.0))
    run.propose("round-2", run.instances[0], ["new"])
    run.grade("round-2", run.instances[0], 0, 0, (0.5, 1.0))
    root = run.write()
    code, printed = seal("export", root, "--out", str(tmp_path / "results.json"))
    assert code == 0
    assert printed.startswith("round-2: 1 articles")
    assert "baselines are null" in printed
    value = json.loads((tmp_path / "results.json").read_text())
    assert value["overall"]["baseline_mean_accuracy"] is None
    assert value["articles"][0]["completions"][0]["questions"][0]["adapter_correct"] == 0.5
    assert "not measured" in seal("stats", str(tmp_path / "results.json"), "--from-answers")[1]
    assert "round-1, round-2" in seal("export", root, "--study", "round-9", "--out", str(tmp_path / "other.json"))[1]
