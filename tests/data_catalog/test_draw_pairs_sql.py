"""The lake's pair query against the reference rule, group by group."""

import hashlib
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import data_catalog
from data_catalog import pair_drawing
from data_catalog.lake import Lake
from difffake.config import PairsConfig
from difffake.differential.pairs import draw_pairs

QUERY = (Path(data_catalog.__file__).parent / "sql" / "draw_pairs.sql").read_text(encoding="utf-8")


def _run(groups: dict[str, list[str]], config: PairsConfig, seed: int, threads: int) -> list[tuple[str, str, str]]:
    rows = [(key, face_id) for key, face_ids in groups.items() for face_id in face_ids]
    np.random.default_rng(0).shuffle(rows)
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute("CREATE TABLE candidate_faces (group_key VARCHAR, face_id VARCHAR)")
        keys, face_ids = [list(column) for column in zip(*rows, strict=True)]
        columns = {"keys": keys, "ids": face_ids}
        connection.execute("INSERT INTO candidate_faces SELECT unnest($keys), unnest($ids)", columns)
        parameters = {"seed": seed, "pool_size": config.pool_size, "half_up_to": config.half_up_to}
        result = connection.execute(QUERY, parameters)
        assert [column[0] for column in result.description] == ["group_key", "base_id", "partner_id"]
        return [(str(key), str(base), str(partner)) for key, base, partner in result.fetchall()]


def _groups() -> dict[str, list[str]]:
    digests = {
        f"ff/real/c23/{n:03d}": [hashlib.blake2b(f"{n}/{i}".encode(), digest_size=16).hexdigest() for i in range(n)]
        for n in range(1, 61)
    }
    # Names whose byte order is not their case-blind or locale order, shared by two groups of different size.
    awkward = ["Z", "a", "é", "ß", "字", "🙂", "A'", "0", "/pool/", "_", "b", "B", " ", "%"]
    return digests | {"Überzahl/α": awkward, "uberzahl": awkward[:5]}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1, 2**62 + 1])
@pytest.mark.parametrize(("pool_size", "half_up_to"), [(8, 16), (1, 2), (40, 16), (16, 16)])
def test_query_equals_the_reference_rule(threads: int, seed: int, pool_size: int, half_up_to: int) -> None:
    config = PairsConfig(pool_size=pool_size, half_up_to=half_up_to)
    expected = [
        (key, base, partner)
        for key, face_ids in sorted(_groups().items())
        for base, partner in draw_pairs(face_ids, config, seed)
    ]

    assert _run(_groups(), config, seed, threads) == expected


def test_a_group_of_one_face_has_no_pair() -> None:
    assert _run({"alone": ["x"], "two": ["y", "z"]}, PairsConfig(), seed=3, threads=1) == [
        ("two", *draw_pairs(["y", "z"], PairsConfig(), 3)[0])
    ]


@pytest.mark.parametrize("faces_at_once", [1, 7, 100, 10_000])
def test_parts_hold_whole_groups_and_together_every_pair(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faces_at_once: int
) -> None:
    monkeypatch.setattr(pair_drawing, "_FACES_AT_ONCE", faces_at_once)
    groups = dict(sorted(_groups().items()))
    rows = [{"group_key": key, "face_id": face_id} for key, face_ids in groups.items() for face_id in face_ids]
    lake = Lake(tmp_path)
    lake.create()
    parts = list(pair_drawing.draw_within(lake, pa.Table.from_pylist(rows), PairsConfig(), 7))
    expected = [
        (key, base, partner)
        for key, face_ids in groups.items()
        for base, partner in draw_pairs(face_ids, PairsConfig(), 7)
    ]
    assert [tuple(row.values()) for part in parts for row in part.to_pylist()] == expected
    seen = [key for part in parts for key in set(part["group_key"].to_pylist())]
    assert len(seen) == len(set(seen))
    assert (len(parts) > 1) == (faces_at_once < len(rows))


def test_no_candidates_have_no_part(tmp_path: Path) -> None:
    nobody = pa.table({name: pa.array([], pa.string()) for name in ("group_key", "face_id")})
    assert list(pair_drawing.draw_within(Lake(tmp_path), nobody, PairsConfig(), 0)) == []


def test_pairs_spread_over_time_equal_the_reference_rule(tmp_path: Path) -> None:
    config = PairsConfig(draw="spread")
    rng = np.random.default_rng(1)
    # Frames in another order than names.
    groups = {key: [face_ids[row] for row in rng.permutation(len(face_ids))] for key, face_ids in _groups().items()}
    rows = [(key, face_id, frame) for key, face_ids in sorted(groups.items()) for frame, face_id in enumerate(face_ids)]
    candidates = pa.Table.from_pylist(
        [dict(zip(("group_key", "face_id", "frame_index"), row, strict=True)) for row in rows]
    )
    drawn = pa.concat_tables(pair_drawing.draw_within(Lake(tmp_path), candidates, config, seed=3))
    expected = [
        (key, base, partner)
        for key, face_ids in sorted(groups.items())
        for base, partner in draw_pairs(face_ids, config, seed=3)
    ]
    assert list(zip(*(drawn[name].to_pylist() for name in drawn.column_names), strict=True)) == expected
