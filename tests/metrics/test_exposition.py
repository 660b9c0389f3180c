from prometheus_client.parser import text_string_to_metric_families

from protocol.status import RunStatus
from seal_runtime.metrics.exposition import exposition


def samples(status: RunStatus) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, content_type = exposition(status)
    assert content_type.startswith("text/plain")
    families = text_string_to_metric_families(body.decode())
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def test_prometheus_own_parser_reads_the_figures(status: RunStatus) -> None:
    found = samples(status)
    assert found["seal_round", ()] == 2
    assert found["seal_edits_per_hour", ()] == 2880.0
    assert found["seal_jobs_waiting", (("role", "trainer"),)] == 5
    assert found["seal_busy_agent_seconds_total", (("role", "trainer"),)] == 3.0
    assert found["seal_agent_jobs_total", (("agent", 'trainer-"0"'), ("role", "trainer"))] == 7
    assert found["seal_agent_gpu_busy_ratio", (("agent", 'trainer-"0"'), ("role", "trainer"))] == 0.5
    assert found["seal_alarm", (("kind", "plateau"), ("subject", "policy v1"))] == 1
    assert found["seal_run_info", (("phase", "running"), ("run", "r"))] == 1


def test_the_newest_study_with_a_score_stands_for_its_kind(status: RunStatus) -> None:
    found = samples(status)
    assert found["seal_score_ratio", (("kind", "reward"),)] == 0.5
    assert ("seal_score_ratio", (("kind", "heldout"),)) not in found


def test_what_is_not_known_is_left_out(status: RunStatus) -> None:
    assert ("seal_eta_seconds", ()) not in samples(status)
