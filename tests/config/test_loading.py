"""Topology files: what is accepted, how overrides apply, and that every mistake is named with its key and place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seal_runtime.config.loading import dump_topology, load_resolved, load_topology
from seal_runtime.config.topology import ALL_LINEAR_LLAMA, Topology
from seal_runtime.errors import ConfigError

Write = Callable[[str], Path]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def message_of(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_topology(path, overrides)
    return str(caught.value)


def test_empty_file_is_all_defaults(write: Write) -> None:
    assert load_topology(write("")) == Topology()


def test_section_without_keys_keeps_its_defaults(write: Write) -> None:
    assert load_topology(write("critic:\ntrainer:\n  lora:\n")) == Topology()


def test_values_are_read(write: Write) -> None:
    topology = load_topology(write("run: {name: x, seed: 7}\ntrainer:\n  count: 2\n  gpus: [0, 1]\n  optim: {learning_rate: 4e-3}\n"))
    assert (topology.run.name, topology.run.seed) == ("x", 7)
    assert topology.trainer.gpus == (0, 1)
    assert topology.trainer.optim.learning_rate == 0.004


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", ".001", "+1e-3"])
def test_scientific_notation_is_a_number(write: Write, text: str) -> None:
    assert load_topology(write(f"trainer: {{optim: {{learning_rate: {text}}}}}")).trainer.optim.learning_rate == 0.001


def test_part_of_a_subsection_keeps_the_defaults_of_its_own_section(write: Write) -> None:
    topology = load_topology(write("algorithm:\n  lora: {rank: 16}\n"), ["algorithm.optim.learning_rate=1e-3"])
    assert (topology.algorithm.lora.rank, topology.algorithm.lora.alpha) == (16, 128.0)
    assert topology.algorithm.lora.targets == ALL_LINEAR_LLAMA
    assert (topology.algorithm.optim.epochs, topology.algorithm.optim.batch_size) == (2, 10)


def test_overrides_win_over_the_file_and_later_ones_over_earlier(write: Write) -> None:
    path = write("trainer: {lora: {rank: 8}}")
    assert load_topology(path, ["trainer.lora.rank=16"]).trainer.lora.rank == 16
    assert load_topology(path, ["trainer.lora.rank=16", "trainer.lora.rank=4"]).trainer.lora.rank == 4


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("trainer.gpus=[2, 3]", "trainer.gpus", (2, 3)),
        ("task.split_newlines=false", "task.split_newlines", False),
        ("task.data=a=b.json", "task.data", "a=b.json"),
        ("task.data=null", "task.data", None),
        ("run.name='7'", "run.name", "7"),
        ("bus.bind=tcp://127.0.0.1:5599", "bus.bind", "tcp://127.0.0.1:5599"),
        ("trainer.lora.alpha=32", "trainer.lora.alpha", 32.0),
        ("proposer.engine_args.max_model_len=4096", "proposer.engine_args", {"max_model_len": 4096}),
        ("proposer.sampling={temperature: 0.5}", "proposer.sampling.temperature", 0.5),
    ],
)
def test_override_values_are_yaml(write: Write, override: str, key: str, value: object) -> None:
    found: object = load_topology(write(""), [override])
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_dump_and_load_give_the_same_topology(tmp_path: Path, path: Path) -> None:
    topology = load_topology(path)
    resolved = tmp_path / "topology.resolved.yaml"
    resolved.write_text(dump_topology(topology), encoding="utf-8")
    assert load_resolved(resolved) == topology
    assert dump_topology(load_resolved(resolved)) == dump_topology(topology)


def test_every_problem_is_in_one_error(write: Write) -> None:
    path = write("run:\n  nmae: x\ntrainer:\n  count: two\nproposer:\n  engine: vlm\n")
    message = message_of(path, "evaluation.num_contexts=-1")
    assert "4 problems" in message
    assert "run.nmae: unknown key; did you mean run.name?" in message
    assert "trainer.count: expected an integer, got 'two' (text)  [run.yaml:4]" in message
    assert "did you mean vllm?" in message
    assert "evaluation.num_contexts: expected a value >= 0, got -1 (an integer)  [--set evaluation.num_contexts=-1]" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trainer: {rank: 8}", "did you mean trainer.lora.rank?"),
        ("tranier: {count: 2}", "did you mean trainer?"),
        ("learning_rate: 1", "did you mean"),
        ("model: builtin:seal-tiny", "model: expected a section (a mapping of keys), got 'builtin:seal-tiny' (text)"),
        ("trainer: {count: true}", "expected an integer, got True (a truth value)"),
        ("trainer: {count: 1.5}", "expected an integer"),
        ("trainer: {gpus: 0}", "expected a list, got 0 (an integer)"),
        ("trainer: {gpus: [zero]}", "trainer.gpus.0: expected an integer"),
        ("task: {split_newlines: 1}", "expected true or false"),
        ("trainer: {lora: {alpha: .inf}}", "expected a finite number"),
        ("trainer: {optim: {learning_rate: .nan}}", "expected"),
        ("task: {options: {a: [1]}}", "task.options.a: expected text, a number, or true or false, got [1] (a list)"),
        ("run: {name: ../x}", "expected text that matches"),
        ("run: {name: 2024-01-01}", "run.name: expected text"),
    ],
)
def test_mistake_is_explained(write: Write, text: str, expected: str) -> None:
    assert expected in message_of(write(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run: {seed: 1}\nrun: {seed: 2}\n", "line 2: key run is given twice, first on line 1"),
        ("run:\n  seed: 1\n  seed: 2\n", "line 3: key run.seed is given twice, first on line 2"),
        ("run: {name: 'x\n", "expected YAML"),
        ("- a\n- b\n", "expected a mapping of sections"),
        ("just text", "expected a mapping of sections"),
        ("run: {1: 2}", "expected a key that is text"),
        ("run: &x {seed: 1}\nbus: *x\n", "alias *x"),
        ("run: !!python/object/apply:os.system [echo]", "expected YAML"),
        ("a: " + "[" * 5000, "expected"),
        ("run: {seed: 1}\n---\nrun: {seed: 2}\n", "expected YAML"),
    ],
)
def test_text_that_is_no_topology_is_refused(write: Write, text: str, expected: str) -> None:
    assert expected in message_of(write(text))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainer.lora.rnk=3", "trainer.lora.rnk: unknown key; did you mean trainer.lora.rank?"),
        ("foo.bar=1", "foo: unknown key"),
        ("run.seed", "expected section.key=value"),
        ("=3", "expected section.key=value"),
        ("run..seed=3", "expected section.key=value"),
        ("run.seed=[", "run.seed: line 1"),
        ("run.seed.low=3", "run.seed: expected an integer, got {'low': 3} (a mapping)"),
    ],
)
def test_bad_override_is_explained(write: Write, override: str, expected: str) -> None:
    message = message_of(write(""), override)
    assert expected in message
    assert f"--set {override}" in message


def test_override_below_a_plain_value_is_refused(write: Write) -> None:
    assert "model: expected a section to set model.path=x in, got 'tiny' (text)" in message_of(write("model: tiny"), "model.path=x")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    assert "found none" in message_of(tmp_path / "missing.yaml")
    assert "readable" in message_of(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"run: \xff\xfe")
    assert "expected UTF-8 text, got byte 0xff at offset 5" in message_of(binary)
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * 1_000_001)
    assert "at most 1000000 bytes" in message_of(huge)
