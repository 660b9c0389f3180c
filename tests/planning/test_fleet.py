import pytest
from plans import topology

from seal_runtime.errors import ConfigError
from seal_runtime.planning.fleet import Fleet, best_fleets, gpu_needs

DEMAND = {"proposer": 1.0, "trainer": 8.0, "evaluator": 1.0}


def test_gpus_go_where_the_work_is():
    needs = gpu_needs(topology(trainer={"gpus": [0]}))
    assert needs.unit == "GPUs"
    first, *others = best_fleets(20, needs, DEMAND, is_shared=False)
    assert first == Fleet(proposers=2, trainers=16, evaluators=2, is_shared=False)
    assert others
    assert {needs.total(fleet) for fleet in (first, *others)} == {20}


def test_shared_engines_and_engines_of_several_gpus_are_counted():
    needs = gpu_needs(topology(proposer={"gpus": [0, 1], "gpus_per_agent": 2}, evaluator={"share_engine": True}))
    fleet = best_fleets(10, needs, DEMAND, is_shared=True)[0]
    assert needs.total(fleet) == 2 * fleet.proposers + fleet.trainers == 10
    assert fleet.describe() == f"{fleet.proposers} proposer+evaluator, {fleet.trainers} trainers"


def test_a_size_without_room_for_every_role_is_refused():
    with pytest.raises(ConfigError, match="at least 3 processes"):
        best_fleets(2, gpu_needs(topology()), DEMAND, is_shared=False)
