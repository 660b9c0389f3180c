"""The launcher follows the wanted counts: which processes start, on which devices, and which leave. Real processes, given statuses."""

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from launch.account import AccountFile, read_account
from launch.local import LocalBackend
from launch.scaling import Scaler
from launch.specs import AgentSpec, numbered_spec
from protocol.jobs import ROLES, Role
from protocol.status import AgentState, AgentStatus, RunStatus, WantedAgents
from seal_runtime.config.agents import EvaluatorConfig, TrainerConfig
from seal_runtime.config.scaling import agents_that_fit, scale_problem
from seal_runtime.config.topology import Topology

sys.path.insert(0, str(Path(__file__).parent))
from dummy_controller import status as dummy_status
from launch_dummies import FOREVER, SERVE, backend, lives, poll_until, spec

LEAVES = (
    "import pathlib, sys, time\nwhile not pathlib.Path('drained').exists():\n    time.sleep(0.01)\n"
    "while pathlib.Path('hold').exists():\n    time.sleep(0.01)\nsys.exit(int(pathlib.Path('drained').read_text() or 0))\n"
)
"""An agent that leaves when it is drained and nothing holds it, with the exit code that stands in the file."""


@dataclass
class Fleet:
    """A back-end with one trainer and its scaler; `states` is what the controller says of the agents."""

    folder: Path
    gpus: tuple[int, ...] = ()
    code: str = LEAVES
    asked: list[str] = field(default_factory=list)
    states: dict[str, AgentState] = field(default_factory=dict)
    wanted: tuple[WantedAgents, ...] = ()

    def __post_init__(self) -> None:
        self.back: LocalBackend = backend(self.folder, SERVE + FOREVER, {})
        self.back.add(self.process("trainer", 0, 0))
        num_slots: dict[Role, int | None] = dict.fromkeys(ROLES)
        num_slots["trainer"] = len(self.gpus) or None
        self.scaler = Scaler(
            self.back,
            self.process,
            num_slots=num_slots,
            drain=self.drain,
            requests=dict.fromkeys(ROLES, 0),
            account=AccountFile(self.folder / "launched.json"),
        )
        self.back.start()

    def process(self, role: Role, index: int, slot: int) -> AgentSpec:
        dummy = spec(self.folder, f"{role}-{index}", self.code, role)
        return AgentSpec(name=dummy.name, role=role, argv=dummy.argv, env={}, gpus=self.gpus[slot : slot + 1])

    def drain(self, agent: str) -> None:
        self.asked.append(agent)
        self.states[agent] = "draining"

    def want(self, count: int) -> None:
        request = self.wanted[0].request + 1 if self.wanted else 1
        self.wanted = (WantedAgents(role="trainer", count=count, request=request),)

    def names(self, state: str = "running") -> list[str]:
        return [child.spec.name for child in self.back.agents if child.state == state and not child.is_leaving]

    def follow(self) -> None:
        self.back.poll()
        self.scaler.follow(self.status())

    def status(self) -> RunStatus:
        pids = {child.spec.name: child.pid or 0 for child in self.back.agents}
        agents = [
            AgentStatus(
                agent=name,
                role="trainer",
                state=self.states.get(name, "idle"),
                hostname="here",
                pid=pids.get(name, 1),
                gpus=(),
                job_ids=(),
                jobs_done=0,
                jobs_failed=0,
                busy_seconds=0.0,
                last_seen_seconds=0.0,
                gpu_memory_bytes=0,
                gpu_busy_share=None,
            )
            for name in {*self.states, *(name for name, pid in pids.items() if pid)}
        ]
        base = dummy_status("running", 1.0)
        return RunStatus(**{name: getattr(base, name) for name in base.__slots__} | {"agents": tuple(agents), "wanted": self.wanted})

    def until(self, names: list[str], what: str) -> None:
        def there() -> bool:
            self.follow()
            up = [child for child in self.back.agents if len(lives(self.folder, child.spec.name)) > child.budget.deaths]
            return sorted(self.names()) == sorted(names) and {child.spec.name for child in up} >= set(names)

        poll_until(self.back, there, what)


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    made = Fleet(tmp_path, **getattr(request, "param", {}))
    try:
        made.until(["trainer-0"], "the first trainer is up")
        yield made
    finally:
        made.back.close(hurry=lambda: True)


def test_more_are_started_and_the_newest_are_drained(fleet: Fleet) -> None:
    fleet.want(3)
    fleet.until(["trainer-0", "trainer-1", "trainer-2"], "three trainers")
    assert fleet.asked == []
    (fleet.folder / "drained").touch()
    (fleet.folder / "hold").touch()
    fleet.want(2)
    fleet.follow()
    assert fleet.asked == ["trainer-2"]
    for _ in range(3):
        fleet.follow()
    assert fleet.asked == ["trainer-2"], "one that drains is not asked again"
    account = read_account(fleet.folder / "launched.json")
    assert account is not None
    assert ([each.agents for each in account.leaving("trainer")], len(account.kept("trainer"))) == ([("trainer-2",)], 2)
    assert (account.requests["trainer"], account.missing["trainer"]) == (2, 0)


def test_a_drain_that_the_controller_forgot_is_asked_for_again(fleet: Fleet) -> None:
    fleet.want(0)
    fleet.follow()
    fleet.states["trainer-0"] = "busy"  # a new controller, and the message was lost with the old one
    fleet.follow()
    assert fleet.asked == ["trainer-0", "trainer-0"]


def test_a_leaving_agent_that_dies_is_not_started_again(fleet: Fleet) -> None:
    (fleet.folder / "hold").touch()
    fleet.want(0)
    fleet.follow()
    fleet.back.agents[0].send_signal(signal.SIGKILL)
    poll_until(fleet.back, lambda: fleet.back.agents[0].state == "left", "it is gone")
    assert len(lives(fleet.folder, "trainer-0")) == 1


def test_one_that_a_user_drained_stays_away_until_the_next_request(fleet: Fleet) -> None:
    fleet.want(2)
    fleet.until(["trainer-0", "trainer-1"], "two trainers")
    fleet.states["trainer-1"] = "draining"
    fleet.follow()
    fleet.back.agents[1].send_signal(signal.SIGKILL)  # it dies before it is through
    poll_until(fleet.back, lambda: fleet.back.agents[1].state == "left", "it is gone")
    del fleet.states["trainer-1"]
    for _ in range(5):
        fleet.follow()
    assert fleet.names() == ["trainer-0"]
    fleet.want(2)
    fleet.until(["trainer-0", "trainer-1"], "it was asked for again")


def test_one_that_waits_for_its_restart_comes_back(fleet: Fleet) -> None:
    fleet.back.agents[0].send_signal(signal.SIGKILL)
    poll_until(fleet.back, lambda: fleet.back.agents[0].state == "waiting", "it died")
    fleet.follow()
    fleet.until(["trainer-0"], "it is back")
    assert len(lives(fleet.folder, "trainer-0")) == 2


def test_one_that_waits_for_its_restart_and_is_not_wanted_stays_away(fleet: Fleet) -> None:
    fleet.back.agents[0].budget.first_delay_seconds = 600.0
    fleet.back.agents[0].send_signal(signal.SIGKILL)
    poll_until(fleet.back, lambda: fleet.back.agents[0].state == "waiting", "it died")
    fleet.want(0)
    fleet.follow()
    assert (fleet.back.agents[0].state, fleet.asked) == ("left", [])


def test_a_name_that_somebody_attached_has_is_left_alone(fleet: Fleet) -> None:
    fleet.states["trainer-1"] = "busy"
    fleet.want(2)
    fleet.until(["trainer-0", "trainer-2"], "two of its own")
    fleet.want(1)
    fleet.follow()
    assert fleet.asked == ["trainer-2"], "those attached by hand are not the launcher's to drain"


@pytest.mark.parametrize("fleet", [{"gpus": (5, 7)}], indirect=True)
def test_a_new_agent_takes_the_next_free_device_and_waits_for_one_that_is_held(fleet: Fleet) -> None:
    fleet.want(2)
    fleet.until(["trainer-0", "trainer-1"], "two trainers")
    assert [child.spec.gpus for child in fleet.back.agents] == [(5,), (7,)]
    (fleet.folder / "drained").touch()
    (fleet.folder / "hold").touch()
    fleet.code = FOREVER
    fleet.want(0)
    fleet.follow()
    fleet.want(1)
    for _ in range(5):
        fleet.follow()
    assert (fleet.names(), fleet.scaler.missing["trainer"]) == ([], 1)
    (fleet.folder / "hold").unlink()
    fleet.until(["trainer-2"], "a device became free")
    assert fleet.back.agents[-1].spec.gpus in {(5,), (7,)}


def test_the_account_ends_with_the_launcher_and_a_broken_one_is_none(fleet: Fleet) -> None:
    path = fleet.folder / "launched.json"
    assert path.exists()
    fleet.scaler.close()
    assert not path.exists()
    path.write_text("{")
    assert read_account(path) is None


def test_what_does_not_fit_is_said_with_how_many_do() -> None:
    topology = Topology(trainer=TrainerConfig(count=1, gpus=(0, 1, 2, 3), gpus_per_agent=2))
    assert agents_that_fit(topology, "trainer") == 2
    assert scale_problem(topology, "trainer", 2) is None
    problem = scale_problem(topology, "trainer", 3)
    assert problem is not None
    assert "so 2 fit" in problem
    assert "attach trainer --gpu" in problem
    assert scale_problem(topology, "evaluator", 50) is None
    shared = Topology(evaluator=EvaluatorConfig(share_engine=True))
    assert "scale proposer=2 instead" in str(scale_problem(shared, "evaluator", 2))


def test_a_process_that_serves_two_roles_has_a_name_for_each() -> None:
    shared = Topology(evaluator=EvaluatorConfig(share_engine=True))
    made = numbered_spec(shared, "proposer", 3, slot=0, connection=Path("/c"), log_dir=Path("/l"))
    assert (made.name, made.roles) == ("proposer-3+evaluator-3", ("proposer", "evaluator"))
