"""The base of every section of a topology: what is refused, and where the keys that are left out come from."""

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Base of all sections: strict, frozen, unknown keys refused, and a key left out keeps the default of *its* section."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults_of_subsections(cls, data: object) -> object:
        """Fill a partly given subsection from this field's default: `algorithm.lora: {rank: 16}` keeps the algorithm's targets."""
        if not isinstance(data, dict):
            return data
        merged = dict(data)
        for name, field in cls.model_fields.items():
            if isinstance(field.default, Section) and name in data:
                merged[name] = _merged(field.default, data[name])
        return merged


def _merged(default: Section, given: object) -> object:
    if given is None:
        return default
    if not isinstance(given, dict):
        return given
    values: dict[object, object] = {name: getattr(default, name) for name in type(default).model_fields}
    for name, value in given.items():
        below = values.get(name)
        values[name] = _merged(below, value) if isinstance(below, Section) else value
    return values
