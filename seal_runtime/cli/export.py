"""`seal-runtime export`: write a policy version as a PEFT adapter or as a whole model."""

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Annotated

import typer

from seal_runtime.cli.runs import find_run
from seal_runtime.errors import ConfigError, StoreError
from seal_runtime.ledger.records import PolicyRow
from seal_runtime.store.adapters import CONFIG_FILE
from seal_runtime.store.run_directory import RunDirectory

PRIVATE_MODELS = ("builtin:", "random:")
"""Models whose names mean nothing outside seal-runtime; an exported adapter does not name them."""


def export(
    run: Annotated[str, typer.Argument(help="A run directory or the name of a run under runs/.", show_default=False)],
    version: Annotated[int, typer.Option(help="Policy version, 1 or later.", min=0)],
    out: Annotated[Path, typer.Option(help="Folder to write; new or empty.", show_default=False)],
    merged: Annotated[bool, typer.Option("--merged", help="Write base and adapters as one model instead of an adapter.")] = False,
) -> None:
    """Write a policy version for use elsewhere: `PeftModel.from_pretrained` or, merged, `AutoModelForCausalLM.from_pretrained`."""
    directory = find_run(run)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"expected a new or empty folder, got {out} with something in it; name another one or remove it")
    chain = policy_chain(directory, version)
    if not chain and not merged:
        raise ConfigError(f"policy v{version} is the base model itself and has no adapter; use --merged, or choose a later version")
    staging = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        if merged:
            _write_merged(directory, chain, staging)
        else:
            _write_adapter(directory, chain, staging)
        _put_in_place(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    print(f"policy v{version} ({len(chain)} adapters{', merged into the base' if merged else ''}) written to {out}")


def _put_in_place(staging: Path, out: Path) -> None:
    try:
        if out.exists():
            out.rmdir()
        os.replace(staging, out)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror}") from error


def policy_chain(run: RunDirectory, version: int) -> list[Path]:
    """Return the adapters of a version's lineage, oldest first. Raises ConfigError that names the versions there are."""
    from seal_runtime.ledger.reader import LedgerReader

    with LedgerReader(run.ledger) as ledger:
        policies = {policy.version: policy for policy in ledger.policies()}
    if version not in policies:
        known = ", ".join(f"v{number}" for number in sorted(policies)) or "none"
        raise ConfigError(f"expected a policy version of {run.root.name} ({known}), got v{version}")
    return [run.policy(policy.version) for policy in _lineage(policies, version) if policy.adapter_sha256]


def _lineage(policies: dict[int, PolicyRow], version: int) -> list[PolicyRow]:
    lineage = []
    while version in policies:
        lineage.append(policies[version])
        version = policies[version].parent
    return lineage[::-1]


def _write_adapter(run: RunDirectory, chain: list[Path], out: Path) -> None:
    from seal_runtime.config.loading import load_resolved
    from seal_runtime.engines.adapter_files import read_adapter, write_adapter

    adapters = [read_adapter(folder) for folder in chain]
    if len(adapters) > 1:
        from seal_runtime.engines.adapter_merging import compose_adapters

        adapters = [compose_adapters(adapters)]
    write_adapter(out, adapters[0])
    model = load_resolved(run.topology).model
    if not model.path.startswith(PRIVATE_MODELS):
        config = out / CONFIG_FILE
        named = json.loads(config.read_bytes()) | {"base_model_name_or_path": model.path, "revision": model.revision}
        config.write_text(json.dumps(named, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_merged(run: RunDirectory, chain: list[Path], out: Path) -> None:
    from seal_runtime.config.loading import load_resolved
    from seal_runtime.engines.adapter_merging import merge_model

    model = load_resolved(run.topology).model
    merge_model(model.path, chain, out, dtype="float32" if model.dtype == "auto" else model.dtype, revision=model.revision)
