"""The log fields of a job, so that a person can follow one edit, one study or one round through the logs of all agents."""

import re

_ROUND = re.compile(r"round-(\d+)")


def job_fields(job_id: str, attempt: int) -> dict[str, str | int]:
    """Return job, attempt and study, and the round when the job belongs to one (job ids begin with their study's name)."""
    study = job_id.partition("/")[0]
    fields: dict[str, str | int] = {"job": job_id, "attempt": attempt, "study": study}
    match = _ROUND.fullmatch(study)
    if match is not None:
        fields["round"] = int(match[1])
    return fields
