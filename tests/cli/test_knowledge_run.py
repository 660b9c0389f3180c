"""The toy twin of the paper's knowledge run: real text, a real model, a judge over HTTP, and the reference's files out of it."""

import json
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tasks" / "judge"))
from chat_server import chat_server, refuses, says
from live_runs import ROOT, launched, seal

SMALL = {
    "algorithm.contexts_per_round": 2,
    "algorithm.edits_per_context": 2,
    "algorithm.replicates": 2,
    "algorithm.select": "improved",
    "evaluation.num_contexts": 0,
    "evaluation.retention": "false",
    "proposer.sampling.max_new_tokens": 24,
    "trainer.count": 1,
    "trainer.optim.epochs": 1,
    "trainer.optim.max_length": 128,
    "algorithm.optim.max_length": 256,
    "evaluator.max_new_tokens": 6,
    "run.seed": 3,
    "task.grader": "judge",
    "task.judge.backoff_seconds": 0.01,
    "task.judge.usd_per_million_input_tokens": 2.0,
}


def test_the_toy_twin_runs_and_its_results_have_the_references_form(tmp_path: Path) -> None:
    def verdict(handler: BaseHTTPRequestHandler) -> None:
        said = str(server.requests[-1]["messages"])
        says("yes" if len(said) % 3 == 0 else "no")(handler)

    with chat_server(refuses(503), refuses(429), verdict) as server:
        settings = SMALL | {
            "task.data": ROOT / "examples" / "data" / "passages.json",
            "task.judge.base_url": server.url,
            "task.judge.cache_dir": tmp_path / "judge",
        }
        options = [option for key, value in settings.items() for option in ("--set", f"{key}={value}")]
        result = launched("launch", str(ROOT / "examples" / "squad-cpu.yaml"), "--name", "twin", "--no-live", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert all("Question: Topic: " in str(request["messages"]) for request in server.requests)

    exported = seal("seal", "export", "twin", "--out", "results.json", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    value = json.loads((tmp_path / "results.json").read_text())
    assert (value["n_articles"], value["k_completions"], value["eval_times"]) == (2, 2, 2)
    assert value["overall"]["baseline_mean_accuracy"] is not None
    assert value["articles"][0]["prompt"].endswith("\n\nImplications:\n")
    assert seal("seal", "stats", "results.json", "--from-answers", cwd=tmp_path).returncode == 0
    best = [json.loads(line) for line in seal("seal", "select", "results.json", cwd=tmp_path).stdout.splitlines()]
    winners = [max(article["completions"], key=lambda edit: edit["stats"]["adapter_mean"])["text"].strip() for article in value["articles"]]
    assert [row["completion"] for row in best] == [text for text in winners if text]
    lines = (tmp_path / "runs" / "twin" / "logs" / "evaluator-0.jsonl").read_text().splitlines()
    usage = [event for line in lines if (event := json.loads(line))["event"] == "judge_usage"]
    assert usage[-1]["answered"] == len(server.requests) - 2
    assert usage[-1]["failed"] == 2
    assert usage[-1]["usd"] > 0
