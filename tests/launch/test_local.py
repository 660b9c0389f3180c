import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launch.child import EXIT_DISMISSED, describe_exit
from launch.local import EXIT_FAILED, EXIT_STOPPED, Grace
from seal_runtime.errors import LaunchError

sys.path.insert(0, str(Path(__file__).parent))
from launch_dummies import DEAF, FOREVER, POLITE, SERVE, backend, environment, is_alive, lives, pid_in, pids_of, poll_until, until


def test_agents_start_only_when_the_controller_serves(tmp_path: Path) -> None:
    late = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n" + SERVE + FOREVER
    back = backend(tmp_path, late, {"trainer-0": FOREVER})
    try:
        back.start()
        poll_until(back, lambda: lives(tmp_path, "controller"), "the controller is up")
        for _ in range(5):
            back.poll()
        assert back.agents[0].pid is None
        (tmp_path / "go").touch()
        poll_until(back, lambda: lives(tmp_path, "trainer-0"), "the trainer is up")
    finally:
        back.close()


def test_the_exit_code_of_the_controller_is_that_of_the_run(tmp_path: Path) -> None:
    back = backend(
        tmp_path, SERVE + "while not pathlib.Path('go').exists():\n    time.sleep(0.01)\nraise SystemExit(4)", {"trainer-0": FOREVER}
    )
    try:
        back.start()
        poll_until(back, lambda: lives(tmp_path, "trainer-0"), "the trainer is up")
        (tmp_path / "go").touch()
        poll_until(back, lambda: back.exit_code is not None, "the run is over")
        assert back.exit_code == EXIT_FAILED
        assert "ended the run as failed" in back.problems[0]
    finally:
        back.close()
    assert pids_of(back) == []


def test_a_dead_agent_is_started_again_until_its_budget_is_spent(tmp_path: Path) -> None:
    back = backend(tmp_path, SERVE + FOREVER, {"trainer-0": "print('no memory left')\nraise SystemExit(1)"}, max_restarts=2)
    try:
        back.start()
        poll_until(back, lambda: back.agents[0].state == "given_up", "the trainer is given up")
        assert len(lives(tmp_path, "trainer-0")) == 3
        assert back.given_up_roles() == ["trainer"]
        assert "exit code 1" in back.problems[0]
        assert "no memory left" in back.problems[0]
        assert back.exit_code is None
    finally:
        back.close()


def test_a_killed_agent_comes_back(tmp_path: Path) -> None:
    back = backend(tmp_path, SERVE + FOREVER, {"trainer-0": FOREVER})
    try:
        back.start()
        poll_until(back, lambda: lives(tmp_path, "trainer-0"), "the trainer is up")
        back.agents[0].send_signal(signal.SIGKILL)
        poll_until(back, lambda: len(lives(tmp_path, "trainer-0")) == 2, "the trainer is back")
        assert back.given_up_roles() == []
    finally:
        back.close()


def test_an_agent_that_somebody_stopped_is_not_started_again(tmp_path: Path) -> None:
    back = backend(tmp_path, SERVE + FOREVER, {"trainer-0": FOREVER})
    try:
        back.start()
        poll_until(back, lambda: lives(tmp_path, "trainer-0"), "the trainer is up")
        back.agents[0].send_signal(signal.SIGTERM)  # as early as this it has no handler yet
        poll_until(back, lambda: back.agents[0].state == "left", "the trainer is stopped")
        for _ in range(10):
            back.poll()
        assert len(lives(tmp_path, "trainer-0")) == 1
        assert back.agents[0].budget.deaths == 0
    finally:
        back.close()


def test_an_agent_that_left_in_good_order_is_not_started_again(tmp_path: Path) -> None:
    back = backend(tmp_path, SERVE + FOREVER, {"trainer-0": "pass"})
    try:
        back.start()
        poll_until(back, lambda: back.agents[0].state == "left", "the trainer left")
        for _ in range(10):
            back.poll()
        assert len(lives(tmp_path, "trainer-0")) == 1
        assert back.problems == []
    finally:
        back.close()


def test_a_dismissed_agent_is_started_again_when_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.local.RECALL_SECONDS", 0.1)
    dismissed = f"import pathlib\nif not pathlib.Path('again').exists():\n    open('again', 'w')\n    raise SystemExit({EXIT_DISMISSED})\n"
    back = backend(tmp_path, SERVE + FOREVER, {"trainer-0": dismissed + FOREVER}, max_restarts=0)
    try:
        back.start()
        poll_until(back, lambda: len(lives(tmp_path, "trainer-0")) == 2, "the trainer is back")
        assert back.agents[0].budget.deaths == 0
        assert back.problems == []
    finally:
        back.close()


def test_a_wrong_configuration_is_not_tried_again(tmp_path: Path) -> None:
    back = backend(tmp_path, SERVE + FOREVER, {"trainer-0": "raise SystemExit(2)"})
    try:
        back.start()
        poll_until(back, lambda: back.agents[0].state == "given_up", "the trainer is given up")
        assert len(lives(tmp_path, "trainer-0")) == 1
    finally:
        back.close()


def test_a_dead_controller_resumes_and_its_agents_stay(tmp_path: Path) -> None:
    back = backend(tmp_path, SERVE + FOREVER, {"trainer-0": FOREVER})
    try:
        back.start()
        poll_until(back, lambda: lives(tmp_path, "trainer-0"), "the trainer is up")
        back.controller.send_signal(signal.SIGKILL)
        poll_until(back, lambda: len(lives(tmp_path, "controller")) == 2, "the controller is back")
        poll_until(back, lambda: pid_in(tmp_path / "served") == back.controller.pid, "it serves")
        for _ in range(5):
            back.poll()
        assert len(lives(tmp_path, "trainer-0")) == 1
        assert back.exit_code is None
    finally:
        back.close()


def test_a_controller_that_dies_too_often_ends_the_run(tmp_path: Path) -> None:
    # Agents start once the controller was seen to serve.
    dies = "while not pathlib.Path('trainer-0.lives').exists():\n    time.sleep(0.01)\nos.kill(os.getpid(), 11)"
    back = backend(tmp_path, SERVE + dies, {"trainer-0": FOREVER}, max_restarts=1)
    try:
        back.start()
        poll_until(back, lambda: back.exit_code is not None, "the run is given up")
        assert back.exit_code == EXIT_FAILED
        assert "killed by SIGSEGV" in back.problems[0]
    finally:
        back.close()


def test_a_controller_that_never_comes_up_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    back = backend(tmp_path, "raise RuntimeError('no such port')", {})
    back.start()
    with pytest.raises(LaunchError, match=r"did not come up \(exit code 1\)[\s\S]*no such port"):
        poll_until(back, lambda: False, "it fails")
    back.close()


def test_a_command_that_does_not_exist_is_a_dead_process_not_a_hang(tmp_path: Path) -> None:
    back = backend(tmp_path, "", {})
    object.__setattr__(back.controller.spec, "argv", ("/no/such/program",))
    back.start()
    with pytest.raises(LaunchError, match=r"No such file or directory: '/no/such/program'|did not come up"):
        poll_until(back, lambda: False, "it fails")
    back.close()


def test_stop_asks_first(tmp_path: Path) -> None:
    wait = "while not pathlib.Path('stop').exists():\n    time.sleep(0.01)\nraise SystemExit(3)"
    back = backend(tmp_path, SERVE + wait, {"trainer-0": "import pathlib, time\n" + wait.replace("(3)", "(0)")}, stop_request=True)
    back.start()
    poll_until(back, lambda: lives(tmp_path, "trainer-0"), "the trainer is up")
    back.stop("enough")
    assert (tmp_path / "stop").read_text() == "enough"
    assert back.exit_code == EXIT_STOPPED
    assert [child.budget.deaths for child in (back.controller, *back.agents)] == [0, 0]


def test_stop_ends_what_does_not_listen(tmp_path: Path) -> None:
    back = backend(tmp_path, SERVE + POLITE + FOREVER, {"trainer-0": DEAF})
    back._grace = Grace(after_sigterm=0.3)
    back.start()
    poll_until(back, lambda: back.agents[0].pid and "deaf" in back.agents[0].last_output(), "the deaf trainer is up")
    pids = pids_of(back)
    back.stop("enough")
    assert back.exit_code == EXIT_STOPPED
    assert not any(is_alive(pid) for pid in pids)


def test_hurry_skips_the_waits(tmp_path: Path) -> None:
    back = backend(tmp_path, SERVE + DEAF, {}, stop_request=True)
    back.start()
    poll_until(back, lambda: "deaf" in back.controller.last_output(), "the deaf controller is up")
    pids = pids_of(back)
    back.stop("enough", hurry=lambda: True)
    assert not any(is_alive(pid) for pid in pids)


def test_what_a_dead_agent_left_behind_is_killed_with_it(tmp_path: Path) -> None:
    forks = (
        f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {FOREVER!r}])\n"
        "open('grandchild', 'w').write(str(child.pid))\n"
    )
    back = backend(tmp_path, SERVE + FOREVER, {"trainer-0": forks})
    try:
        back.start()
        poll_until(back, lambda: back.agents[0].state == "left", "the trainer left")
        grandchild = pid_in(tmp_path / "grandchild")
        assert grandchild is not None
        until(lambda: not is_alive(grandchild), "the grandchild is gone")
    finally:
        back.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_launcher_that_was_killed(tmp_path: Path, number: int) -> None:
    code = (
        "from pathlib import Path\nimport time\nfrom launch_dummies import *\n"
        f"back = backend(Path({str(tmp_path)!r}), SERVE + FOREVER, {{'trainer-0': FOREVER, 'trainer-1': DEAF}})\n"
        "back.start()\nwhile True:\n    back.poll()\n    time.sleep(0.02)\n"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code], env=environment())
    try:
        until(lambda: all(lives(tmp_path, name) for name in ("controller", "trainer-0", "trainer-1")), "everything is up")
    finally:
        launcher.send_signal(number)
        launcher.wait(timeout=30)
    pids = [pid for name in ("controller", "trainer-0", "trainer-1") for pid in lives(tmp_path, name)]
    until(lambda: not any(is_alive(pid) for pid in pids), "everything is gone")


def test_exit_codes_read_well() -> None:
    assert [describe_exit(code) for code in (3, -9, -200)] == ["exit code 3", "killed by SIGKILL", "killed by signal 200"]
