"""The configuration as a page of the docs: every key with its default, bounds and meaning."""

from collections.abc import Iterator

from pydantic.fields import FieldInfo

from difffake.config import DatasetSpec, ExperimentConfig, Section

_INTRODUCTION = """# Configuration

An experiment is one YAML file of `configs/`. Keys left out have the defaults below, which are the paper's values
(arXiv 2502.16247); unknown keys are errors. A file that says `extends: other.yaml` (relative to it) is laid over the
other, key by key; its lists and values replace the other's. `difffake config FILE` validates a file and prints it in
full. This page is made by `difffake config --markdown`.
"""
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def markdown() -> str:
    """The page."""
    return _INTRODUCTION + "".join(_sections(ExperimentConfig, "")) + "".join(_sections(DatasetSpec, "datasets[]"))


def _sections(section: type[Section], name: str) -> Iterator[str]:
    plain = {key: field for key, field in section.model_fields.items() if not _is_section(field)}
    if name:
        yield f"\n## `{name}`\n\n{(section.__doc__ or '').splitlines()[0]}\n"
    yield "\n| key | default | bounds | meaning |\n|---|---|---|---|\n"
    for key, field in plain.items():
        yield f"| `{key}` | {_default(field)} | {_limits(field)} | {field.description or ''} |\n"
    for key, field in section.model_fields.items():
        if _is_section(field):
            yield from _sections(field.annotation, f"{name}.{key}" if name else key)  # type: ignore[arg-type]


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default()
    return "none" if value is None else f"`{value}`"


def _limits(field: FieldInfo) -> str:
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    limits = [
        f"{sign} {getattr(bound, name)}"
        for bound in field.metadata
        for name, sign in _BOUNDS.items()
        if hasattr(bound, name)
    ]
    return ", ".join(limits)
