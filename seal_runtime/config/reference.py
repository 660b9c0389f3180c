"""Write the reference of all topology keys: Markdown for people, JSON Schema for editors. Both come from the classes alone.

`python -m seal_runtime.config.reference > docs/topology.md` makes the page again; a test says when it is out of date.
"""

import inspect
import json
import sys
import types
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from seal_runtime.config.problems import section_type
from seal_runtime.config.topology import Topology

_INTRODUCTION = """# Topology reference

<!-- Made by `python -m seal_runtime.config.reference > docs/topology.md`; do not edit. -->

A topology is one YAML file that says everything about a run. Every key may be left out and then has the default below; an
unknown key is an error. `--set trainer.lora.rank=16` overrides a key from the command line (the value is YAML, so
`--set trainer.gpus=[0,1]` works), and `launch --dry-run` prints the topology with every default resolved.
"""


def topology_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a topology file, for editors that complete and check YAML."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Topology.model_json_schema()}


def topology_reference() -> str:
    """Return the Markdown page: one table a section with key, type, default and meaning."""
    pages = [_INTRODUCTION]
    topology = Topology()
    for name, field in Topology.model_fields.items():
        section = getattr(topology, name)
        about = inspect.cleandoc(type(section).__doc__ or field.description or "")
        pages += [f"## {name}\n", f"{about}\n", "| Key | Type | Default | Meaning |", "|---|---|---|---|"]
        pages += [*_rows(section, name), ""]
    return "\n".join(pages)


def _rows(section: BaseModel, prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), f"{prefix}.{name}"
        if section_type(field.annotation) is not None:
            rows += _rows(value, key)
        else:
            cells = [f"`{key}`", _type(field), f"`{_default(value)}`", " ".join((field.description or "").split())]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _default(value: object) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, str) else json.dumps(value)


def _type(field: FieldInfo) -> str:
    bounds = [_bound(bound) for bound in field.metadata]
    return ", ".join([_type_name(field.annotation), *filter(None, bounds)])


def _type_name(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return "mapping"
    names: dict[object, str] = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}
    return names[annotation]


def _bound(constraint: object) -> str:
    match constraint:
        case annotated_types.Ge(ge=low):
            return f"≥ {low}"
        case annotated_types.Gt(gt=low):
            return f"> {low}"
        case annotated_types.Le(le=high):
            return f"≤ {high}"
        case annotated_types.Lt(lt=high):
            return f"< {high}"
        case _:
            return ""


if __name__ == "__main__":
    sys.stdout.write(topology_reference())
