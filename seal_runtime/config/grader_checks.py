"""Check the grader of a topology: its name, and for a judge its address and key, as far as this machine knows."""

from seal_runtime.config.findings import Findings
from seal_runtime.config.machine import OPENAI_URL, openai_base_url, secret
from seal_runtime.config.problems import nearest
from seal_runtime.config.references import BUILTIN_GRADERS, task_function
from seal_runtime.config.topology import TaskConfig
from seal_runtime.errors import ConfigError


def check_grader(task: TaskConfig, findings: Findings) -> None:
    """Add an error for a grader that does not exist, and a warning for a judge whose key is not set here (evaluators may run elsewhere)."""
    if task.grader == "judge":
        _check_judge(task, findings)
    elif ":" in task.grader:
        try:
            task_function(task.grader)
        except ConfigError as error:
            findings.error("task.grader", str(error))
    elif task.grader not in BUILTIN_GRADERS:
        guess = nearest(task.grader, BUILTIN_GRADERS)
        hint = f"; did you mean {guess}?" if guess else ""
        findings.error("task.grader", f"expected {', '.join(BUILTIN_GRADERS)} or module:function, got {task.grader!r}{hint}")


def _check_judge(task: TaskConfig, findings: Findings) -> None:
    judge = task.judge
    address = judge.base_url or openai_base_url()
    if not address.startswith(("http://", "https://")):
        findings.error("task.judge.base_url", f"expected an address with http:// or https://, got {address!r} from OPENAI_BASE_URL")
    if address.rstrip("/") == OPENAI_URL and not secret(judge.api_key_env):
        findings.warn(
            "task.judge.api_key_env",
            f"{judge.api_key_env} is not set here, and {OPENAI_URL} wants a key; set it on every host with an evaluator, "
            "or name a server of your own in task.judge.base_url",
        )
