"""Which files of a table a look-up has to open, by the minima and maxima in the Delta log."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from data_catalog.schemas import TableSpec


def files_with(opened: DeltaTable, spec: TableSpec, where: Mapping[str, Sequence[Any]]) -> list[str]:
    """The files that may hold a wanted value, by the minima and maxima in the log."""
    uris: list[str] = opened.file_uris()
    wanted = {column: sorted(values) for column, values in where.items() if column in spec.skipping and values}
    if not wanted or len(uris) < 2:
        return uris
    actions = pa.table(opened.get_add_actions(flatten=True))
    names = set(actions.column_names)
    keep = set(range(actions.num_rows))
    for column, values in wanted.items():
        if {f"min.{column}", f"max.{column}"} <= names:
            bounds = zip(actions[f"min.{column}"].to_pylist(), actions[f"max.{column}"].to_pylist(), strict=True)
            keep &= {row for row, (low, high) in enumerate(bounds) if _may_hold(low, high, values)}
    kept = {actions["path"][row].as_py() for row in keep}
    return [uri for uri in uris if uri.rsplit("/", 1)[-1] in kept]


def file_sizes(opened: DeltaTable) -> dict[str, int]:
    """The size of every file in bytes, by its URI."""
    actions = pa.table(opened.get_add_actions())
    sizes = dict(zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True))
    return {uri: sizes[uri.rsplit("/", 1)[-1]] for uri in opened.file_uris()}


def _may_hold(low: Any, high: Any, values: Sequence[Any]) -> bool:
    if low is None or high is None:
        return True
    place = bisect_left(values, low)
    return place < len(values) and values[place] <= high
