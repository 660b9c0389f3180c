"""The topology reference is complete, and the committed page is the one that the code makes."""

from pathlib import Path

from seal_runtime.config.problems import key_paths, section_type
from seal_runtime.config.reference import topology_json_schema, topology_reference
from seal_runtime.config.topology import Topology

PAGE = Path(__file__).parents[2] / "docs" / "topology.md"


def test_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == topology_reference(), "run: python -m seal_runtime.config.reference > docs/topology.md"


def test_every_key_has_a_row_with_a_meaning() -> None:
    rows = {line.split("|")[1].strip(" `"): line for line in topology_reference().splitlines() if line.startswith("| `")}
    topology = Topology()
    for path in key_paths(Topology):
        value: object = topology
        for name in path:
            value = getattr(value, name)
        if section_type(type(value)) is None:
            meaning = rows[".".join(path)].rstrip("| ").rpartition("| ")[2]
            assert len(meaning) > 5, path


def test_schema_knows_the_sections_and_refuses_unknown_keys() -> None:
    schema = topology_json_schema()
    assert set(schema["properties"]) == set(Topology.model_fields)
    assert schema["additionalProperties"] is False
