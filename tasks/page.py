"""What the pages of reports share: tables, headline numbers, provenance, and how all of it becomes one HTML file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

_OPEN_UP_TO = 20
_HEAD_CHARACTERS = 2000


@dataclass(frozen=True)
class Table:
    """A table of the page: `texts` columns of words, then numbers; its last row may be a sum."""

    head: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    texts: int
    has_total: bool = False


@dataclass(frozen=True)
class Tile:
    """A headline number, what it was at the report before, and a word on it."""

    name: str
    value: str
    difference: str
    note: str


@dataclass(frozen=True)
class Listing:
    """The first rows of a longer list."""

    title: str
    table: Table
    total: int

    @property
    def is_short(self) -> bool:
        """Whether it may stand open."""
        return len(self.table.rows) <= _OPEN_UP_TO

    @property
    def extent(self) -> str:
        """How many of how many are shown."""
        shown = len(self.table.rows)
        return f"{shown:,}" if shown == self.total else f"first {shown:,} of {self.total:,}"


@dataclass(frozen=True)
class Provenance:
    """Where a page comes from; links may be empty."""

    fingerprint: str
    written_at: datetime
    commit: str
    mlflow_url: str
    flow_url: str


def render(template: str, **content: object) -> str:
    """The page as HTML: everything is escaped, and a name the template wants and lacks is an error."""
    environment = Environment(
        loader=PackageLoader("tasks"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"cell": cell, "utc": utc}
    return environment.get_template(template).render(content)


def inline(picture: bytes) -> str:
    """A picture's bytes for the address of an image of the page."""
    return base64.b64encode(picture).decode()


def png_width_px(picture: bytes) -> int:
    """The width a PNG file states in its header."""
    return int.from_bytes(picture[16:20], "big")


def write_whole(files: Mapping[Path, bytes]) -> None:
    """Write files, each whole or not at all."""
    for path, content in files.items():
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def is_page_of(page: Path, name: str) -> bool:
    """Whether the page is there and tells of what the fingerprint `name` names: its head says so."""
    try:
        with page.open(encoding="utf-8") as file:
            return f'content="{name}"' in file.read(_HEAD_CHARACTERS)
    except OSError:
        return False


def cell(value: object) -> str:
    """A value for a table."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def utc(moment: datetime) -> str:
    """A moment for people."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
