import pytest

from seal_runtime.config.checks import check_topology
from seal_runtime.config.metrics_address import parse_metrics_address
from seal_runtime.config.topology import BusConfig, Topology
from seal_runtime.errors import ConfigError


def test_host_and_port_are_taken_apart() -> None:
    assert parse_metrics_address("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert parse_metrics_address("[::1]:0") == ("::1", 0)


@pytest.mark.parametrize("text", ["9464", "127.0.0.1", "host:99999", "http://host:1", ":80"])
def test_anything_else_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        parse_metrics_address(text)
    with pytest.raises(ConfigError, match=r"bus\.metrics_bind"):
        check_topology(Topology(bus=BusConfig(metrics_bind=text)), require_gpus=False)


def test_an_address_that_others_can_reach_is_a_warning() -> None:
    warnings = check_topology(Topology(bus=BusConfig(metrics_bind="0.0.0.0:9464")), require_gpus=False)
    assert any("password" in warning for warning in warnings)
