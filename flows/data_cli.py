"""Commands on data: which datasets there are, refresh, what the tables hold, queries, maintenance."""

import csv
import json
import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_catalog.home import DEFAULT_HOME
from difffake.errors import DataError
from flows.options import (
    CONFIGS,
    DatasetOption,
    HomeOption,
    IdentitiesOption,
    LakeOption,
    NameOption,
    PortOption,
    RootOption,
    WeightsOption,
    WorkersOption,
    choose_datasets,
    console,
    on_server,
    place_of,
    read_settings,
)

if TYPE_CHECKING:
    from flows.refresh import RefreshOutcome

_MOST_CHANGES_SHOWN = 20
_RETENTION_H = 7 * 24
_KINDS = {
    "present": "there",
    "added": "new",
    "changed": "changed",
    "renamed": "renamed",
    "relabelled": "relabelled",
    "unchanged": "same",
    "growing": "growing",
    "removed": "gone",
    "unplaced": "not placed",
}

output = Console(highlight=False)


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class PeopleOption(StrEnum):
    """What one person is."""

    FOLDER = "folder"
    FILE = "file"


def add_to(app: typer.Typer) -> None:
    """Make the commands part of the program."""
    for command in (datasets, describe, refresh, catalog, sql, maintain):
        app.command()(command)


def datasets(
    name: Annotated[str | None, typer.Argument(help="One dataset: its layout in full.")] = None,
) -> None:
    """List the datasets whose folders can be read, with layout, licence and citation."""
    from data_catalog.datasets import ADAPTERS, get_adapter

    if name is not None:
        adapter = get_adapter(name)
        typer.echo(f"{adapter.title} (--dataset {adapter.name})\n{adapter.layout}")
        typer.echo(f"licence:  {adapter.licence}\ncitation: {adapter.citation}")
        for role, splits in adapter.roles.items():
            typer.echo(f"{role}: videos of {', '.join(splits)}")
        return
    for adapter in ADAPTERS.values():
        output.print(f"[bold]{adapter.name}[/bold]  {adapter.title}")
        for what, text in (
            ("layout", adapter.layout.strip().splitlines()[0]),
            ("licence", adapter.licence),
            ("citation", adapter.citation),
        ):
            output.print(f"  {what:9}{text}", soft_wrap=True, markup=False)
    typer.echo("`difffake datasets NAME` shows a layout in full, and what its splits serve.")


def describe(
    root: Annotated[Path, typer.Argument(help="A folder that holds real/ or fake/.")],
    below: Annotated[str, typer.Option("--below", help="Only files below this folder, such as real/talks.")] = "",
    people: Annotated[
        PeopleOption, typer.Option("--people", help="What one person is: the folder a file lies in, or the file.")
    ] = PeopleOption.FOLDER,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern",
            help="Regular expression whose first group, in a file's name, is the person: '^([a-z]+_[0-9]+)_'.",
        ),
    ] = None,
    validation: Annotated[
        float, typer.Option("--val", min=0, max=1, help="Share of the people for validation and calibration.")
    ] = 0.2,
    test: Annotated[float, typer.Option("--test", min=0, max=1, help="Share of the people who are judged.")] = 0.0,
) -> None:
    """Write the `metadata.csv` of a folder of clips and photos: label, person, split.

    People are put on a side by their names, so nobody moves when files are added. Rows that are there already stay as
    they are: describe folders laid out differently one after the other with --below, and mend by hand what no rule
    knows, above all the same person under two names.
    """
    from data_catalog.datasets.describe import METADATA, Shares, describe_files

    written = describe_files(root, below, people.value, pattern, Shares(validation, test))
    table = Table("label", "split", "files", "people", title=f"{root / METADATA}, {written.added} rows new")
    for (label, split), (files, persons) in written.counts().items():
        table.add_row(label, split or "none", str(files), str(persons) if label == "real" else "–")
    output.print(table)
    for what, names in (("named by the table but not there", written.gone), ("no video or photo", written.ignored)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            output.print(f"{len(names)} {what}: {', '.join(names[:3])}{more}", markup=False)


def refresh(
    config: Annotated[
        Path, typer.Option("--config", help="Experiment file whose `faces` section says how faces are cut.")
    ] = CONFIGS / "cpu.yaml",
    dataset: DatasetOption = None,
    root: RootOption = None,
    name: NameOption = None,
    identities: IdentitiesOption = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Of the file's datasets only this; repeatable.")
    ] = None,
    retry: Annotated[
        list[str] | None,
        typer.Option(
            "--retry",
            metavar="STATUS",
            help="Try videos of this status again: unreadable, truncated, no_face, few_faces. Repeatable.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file: finds content that changed behind an unchanged time.")
    ] = False,
    weights: WeightsOption = None,
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
    workers: WorkersOption = None,
    prefect_port: PortOption = 4200,
) -> None:
    """Bring the tables up to date with the datasets' folders: every video ends in exactly one status.

    New and changed videos are read, renamed ones keep their faces, missing ones are marked, files still being written
    are left for the next refresh. Exit code 1 when a check of the tables found something.
    """
    settings = read_settings(config, weights, workers)
    specs = choose_datasets(settings, dataset, root, name, identities)
    if only:
        if unknown := sorted(set(only) - {spec.name for spec in specs}):
            raise typer.BadParameter(f"no dataset is called {unknown[0]!r}", param_hint="--only")
        specs = [spec for spec in specs if spec.name in only]
    statuses = _statuses(retry)

    def work() -> "RefreshOutcome":
        from flows.refresh import refresh as refresh_flow

        return refresh_flow(settings, specs, home, lake, statuses, verify)

    outcome = on_server(home, lake, prefect_port, work)
    _print_refresh(outcome, [spec.name for spec in specs])
    if outcome.checks:
        raise typer.Exit(1)


def catalog(
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring tables an older version wrote to this version's schema.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tables: what a row is, versions, rows, files, sizes."""
    from data_catalog import migrations, upkeep
    from data_catalog.lake import MIGRATE_COMMAND, SCHEMA_VERSION

    place = place_of(home, lake)
    tables = place.lake
    if not upkeep.describe(tables):
        raise DataError(f"there are no tables at {tables.folder}: `difffake refresh` or `difffake run` makes them")
    if migrate:
        with place.lock():
            changed = migrations.migrate(tables, lambda table: console.print(f"  {table} migrated"))
        console.print(f"{changed} tables migrated" if changed else "every table is of this version's schema already")
    facts = upkeep.describe(tables)
    if as_json:
        typer.echo(json.dumps([vars(fact) | {"changed_at": fact.changed_at.isoformat()} for fact in facts], indent=2))
        return
    table = Table(title=f"Tables of {tables.folder}", title_justify="left")
    for column in ("table", "rows", "files", "size", "version", "schema", "changed (UTC)"):
        is_text = column in ("table", "changed (UTC)")
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
    for fact in facts:
        table.add_row(
            fact.name.value, f"{fact.rows:,}", str(fact.files), _size(fact.size_bytes), str(fact.version),
            str(fact.schema), f"{fact.changed_at:%y-%m-%d %H:%M}",
        )  # fmt: skip
    output.print(table)
    if any(fact.schema != SCHEMA_VERSION for fact in facts):
        console.print(f"this version of difffake wants schema {SCHEMA_VERSION}: `{MIGRATE_COMMAND}` brings it about")


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT (DuckDB's SQL); tables: see `difffake catalog`.")],
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
    output_format: Annotated[Format, typer.Option("--format", help="How rows are printed.")] = Format.TABLE,
) -> None:
    """Query the tables, read-only. `DESCRIBE faces` lists a table's columns.

    Example: `difffake sql "SELECT status, count(*) FROM extraction_log GROUP BY status"`
    """
    columns, rows = place_of(home, lake).lake.ask(query)
    if output_format is Format.JSON:
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=_plain, indent=2))
    elif output_format is Format.CSV:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([_plain(value) for value in row] for row in rows)
    else:
        table = Table()
        for column in columns:
            table.add_column(Text(column))
        for row in rows:
            table.add_row(*(Text("" if value is None else str(_plain(value))) for value in row))
        output.print(table)
        typer.echo(f"{len(rows)} rows")


def maintain(
    home: HomeOption = DEFAULT_HOME,
    lake: LakeOption = None,
    retention_h: Annotated[
        int,
        typer.Option("--retention-hours", min=0, help="Files only older versions need are kept at least this long."),
    ] = _RETENTION_H,
    prefect_port: PortOption = 4200,
) -> None:
    """Merge the tables' small files and delete those no version within the retention needs.

    Versions of a table older than the retention can no longer be read afterwards.
    """
    from data_catalog.schemas import TableName

    if not place_of(home, lake).lake.has(TableName.VIDEOS):
        raise DataError(f"there are no tables below {lake or home}: `difffake refresh` or `difffake run` makes them")

    def work() -> list[Any]:
        from flows.maintain import maintain as maintain_flow

        return maintain_flow(home, lake, retention_h)

    table = Table("table", "files before", "files after", "files deleted")
    for upkeep in on_server(home, lake, prefect_port, work):
        counts = (upkeep.files_before, upkeep.files_after, upkeep.files_deleted)
        table.add_row(upkeep.name.value, *(str(count) for count in counts))
    output.print(table)


def _statuses(retry: list[str] | None) -> list[Any]:
    from difffake.faces.records import ExtractionStatus

    allowed = [status for status in get_args(ExtractionStatus) if status not in ("ok", "refused")]
    for status in retry or ():
        if status not in allowed:
            raise typer.BadParameter(f"{status!r} is none of {', '.join(allowed)}", param_hint="--retry")
    return list(retry or ())


def _print_refresh(outcome: "RefreshOutcome", names: list[str]) -> None:
    scanned, faces = outcome.records["ingest"].facts, outcome.records["faces"].facts
    table = Table(title="Videos", title_justify="left")
    for column in ("dataset", *_KINDS.values()):
        table.add_column(column, justify="left" if column == "dataset" else "right")
    for name in names:
        table.add_row(name, *(str(scanned[name][kind]) for kind in _KINDS))
    output.print(table)
    table = Table("status", "videos", title="Outcomes", title_justify="left")
    for status, count in faces["statuses"].items():
        table.add_row(status, str(count))
    output.print(table)
    output.print(outcome.records["faces"].summary, soft_wrap=True, markup=False)
    for row in faces["failed"][:_MOST_CHANGES_SHOWN]:
        output.print(f"  {row['video_key']}: {row['status']} ({row['reason']})", soft_wrap=True, markup=False)
    for finding in outcome.checks:
        console.print("[bold red]check[/bold red]", end=" ")
        console.print(finding, soft_wrap=True, markup=False)
    output.print(f"report: {outcome.report.html}", soft_wrap=True)


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _plain(value: Any) -> Any:
    """A value as JSON and CSV take it; images and other bytes by their length."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (str, int, float, bool, list, dict)) or value is None else str(value)
