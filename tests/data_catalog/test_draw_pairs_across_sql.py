"""The lake's queries for pairs across videos against the reference rule and a brute-force reading of who may be one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_catalog import pair_drawing
from data_catalog.lake import Lake
from data_catalog.pair_drawing import draw_across
from data_catalog.references import list_references, require_references
from data_catalog.schemas import TABLES, TableName
from difffake.config import PairsConfig, Relation
from difffake.differential.pairs import draw_pairs_across
from difffake.errors import DataError

Row = dict[str, Any]
Pair = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.create()
    return lake


def video(role: str, key: str, sha256: str, identity: str, label: str = "real", original: str | None = None) -> Row:
    return {
        "role": role, "video_key": key, "sha256": sha256, "label": label, "identity": identity, "original_key": original
    }  # fmt: skip


ROLES = [
    video("density", "a1", "A1", "a"),
    video("density", "a2", "A2", "a"),
    video("density", "a2-copy", "A2", "a"),
    video("density", "a3", "A3", "a"),
    video("density", "alone", "B1", "b"),
    video("density", "faceless", "B2", "b"),
    # One footage at another quality serves another role.
    video("train", "a1", "A1", "a"),
    video("train", "a1-raw", "A1RAW", "a"),
    video("calibration", "c1", "C1", "c"),
    video("calibration", "c2", "C2", "c"),
    video("test", "d1", "D1", "d"),
    video("test", "d2", "D2", "d"),
    video("test", "d3", "D3", "d"),
    video("test", "e1", "E1", "e"),
    video("test", "fake-of-d1", "F1", "d", "fake", "d1"),
    video("test", "fake-of-d1-copy", "F1", "d", "fake", "d1"),
    video("test", "fake-of-e1", "F2", "e", "fake", "e1"),
    video("test", "fake-of-nobody", "F3", "d", "fake"),
    # A real that a list also calls a fake is no partner.
    video("test", "d4", "D4", "d"),
    video("test", "d4-again", "D4", "d", "fake"),
]
FACES = {row["sha256"]: [f"{row['sha256']}-{n}" for n in range(1 + i % 4)] for i, row in enumerate(ROLES)}
FACES["B2"] = []


def table(rows: Iterable[Row]) -> pa.Table:
    rows = list(rows)
    np.random.default_rng(0).shuffle(rows)  # type: ignore[arg-type]
    return pa.Table.from_pylist(rows)


def usable_faces() -> pa.Table:
    rows = [
        {
            "role": row["role"], "video_key": row["video_key"], "video_sha256": row["sha256"],
            "track_id": track, "face_id": face_id if track == 0 else f"{face_id}-other-person",
        }
        for row in ROLES for face_id in FACES[row["sha256"]] for track in (0, 1)
    ]  # fmt: skip
    return table(rows)


def partners_by_brute_force(role: str, content: str) -> set[str]:
    mine = [row for row in ROLES if row["role"] == role and row["sha256"] == content]
    fakes = {row["sha256"] for row in ROLES if row["label"] == "fake"}
    originals = {row["original_key"] for row in mine}
    return {
        row["sha256"]
        for row in ROLES
        if row["role"] == role
        and row["identity"] in {other["identity"] for other in mine}
        and row["sha256"] != content
        and row["sha256"] not in fakes
        and row["video_key"] not in originals
    }


def drawn_by_brute_force(config: PairsConfig, seed: int) -> list[Pair]:
    return [
        (role, content, base, partner)
        for role, content in sorted({(row["role"], row["sha256"]) for row in ROLES})
        for base, partner in draw_pairs_across(
            FACES[content], {other: FACES[other] for other in partners_by_brute_force(role, content)}, config, seed
        )
    ]


def drawn(lake: Lake, config: PairsConfig, seed: int) -> list[Pair]:
    parts = draw_across(lake, usable_faces(), list_references(lake, table(ROLES)), config, seed)
    rows = [row for part in parts for row in part.to_pylist()]
    return [(row["role"], row["video_sha256"], row["base_id"], row["partner_id"]) for row in rows]


def test_who_may_be_compared_with_whom(lake: Lake) -> None:
    found = {(row["role"], row["video_sha256"], row["reference_sha256"]) for row in
             list_references(lake, table(ROLES)).to_pylist()}  # fmt: skip

    contents = {(row["role"], row["sha256"]) for row in ROLES}
    assert found == {(*key, other) for key in contents for other in partners_by_brute_force(*key)}
    # Written out: a copy of one's own content, a fake and a fake's original are no partners; e has nobody else.
    assert {(video, other) for role, video, other in found if role == "test"} == {
        ("D1", "D2"), ("D1", "D3"), ("D2", "D1"), ("D2", "D3"), ("D3", "D1"), ("D3", "D2"),
        ("D4", "D1"), ("D4", "D2"), ("D4", "D3"), ("F1", "D2"), ("F1", "D3"), ("F3", "D1"), ("F3", "D2"), ("F3", "D3"),
    }  # fmt: skip


@pytest.mark.parametrize("seed", [0, 7, 2**62 + 1])
@pytest.mark.parametrize(("relation", "references"), [("cross_video", 3), ("reference", 1), ("reference", 2)])
def test_query_equals_the_reference_rule(lake: Lake, relation: Relation, references: int, seed: int) -> None:
    config = PairsConfig(relation=relation, references=references)

    expected = drawn_by_brute_force(config, seed)
    assert drawn(lake, config, seed) == expected
    assert len(expected) > 20


@pytest.mark.parametrize("videos_at_once", [1, 3])
@pytest.mark.parametrize("relation", ["cross_video", "reference"])
def test_in_parts_the_same_pairs_are_drawn(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, relation: Relation, videos_at_once: int
) -> None:
    config = PairsConfig(relation=relation, references=2)
    whole = drawn(lake, config, 5)
    monkeypatch.setattr(pair_drawing, "_VIDEOS_AT_ONCE", videos_at_once)
    parts = list(draw_across(lake, usable_faces(), list_references(lake, table(ROLES)), config, 5))
    assert len(parts) > 3
    in_parts = drawn(lake, config, 5)
    assert in_parts != []
    assert sorted(in_parts) == sorted(whole)


def test_nobody_to_compare_with_gives_no_part(lake: Lake) -> None:
    alone = table([video("density", "alone", "B1", "b")])
    assert list(draw_across(lake, usable_faces(), list_references(lake, alone), PairsConfig(), 0)) == []


@pytest.mark.parametrize("relation", ["cross_video", "reference"])
def test_the_remainder_of_128_bits_is_exact_whatever_the_number_of_faces(lake: Lake, relation: Relation) -> None:
    faces = {f"V{count}": [f"V{count}-{n:04d}" for n in range(count)] for count in (5, 7, 40, 63, 640, 1009)}
    usable = [
        {"role": "density", "video_sha256": content, "track_id": 0, "face_id": face_id}
        for content, members in faces.items() for face_id in members
    ]  # fmt: skip
    eligible = [
        {"role": "density", "video_sha256": "V40", "reference_sha256": other} for other in faces if other != "V40"
    ]
    others = {content: members for content, members in faces.items() if content != "V40"}
    config = PairsConfig(relation=relation, references=9)
    (rows,) = draw_across(lake, table(usable), table(eligible), config, 3)

    expected = draw_pairs_across(faces["V40"], others, config, 3)
    assert list(zip(rows["base_id"].to_pylist(), rows["partner_id"].to_pylist(), strict=True)) == expected
    assert len(expected) == (40 if relation == "cross_video" else 200)


def test_no_two_videos_of_one_person_are_refused_with_the_remedy(lake: Lake) -> None:
    one_each = [video("density", f"v{n}", f"V{n}", f"person{n}") for n in range(5)]
    enough = [row for row in ROLES if row["role"] in ("density", "calibration")]

    require_references(lake, table(enough), "cross_video")
    with pytest.raises(DataError, match=r"relation reference.*5 on which the density is fitted .*5 people.*identities"):
        require_references(lake, table(one_each), "reference")
    only_density = [row for row in enough if row["role"] == "density"] + [video("calibration", "c1", "C1", "c")]
    with pytest.raises(DataError, match="the 1 on which the detector is calibrated"):
        require_references(lake, table(only_density), "cross_video")


def test_pairs_are_read_back_under_the_role_they_were_drawn_for(lake: Lake, tmp_path: Path) -> None:
    # A1 serves density, where A2 and A3 may be partners, and train, where only A1RAW may.
    lake = Lake(tmp_path / "lake")
    lake.create()
    config = PairsConfig(relation="cross_video")
    rows = [
        {
            "pair_set": f"s/{role}", "relation": "cross_video", "video_sha256": content, "track_id": 0,
            "base_id": base, "partner_id": partner,
        }
        for role, content, base, partner in drawn(lake, config, 3)
    ]  # fmt: skip
    lake.append_missing(TableName.PAIRS, pa.Table.from_pylist(rows, schema=TABLES[TableName.PAIRS].schema))

    usable = lake.query("usable_pairs", {"pair_set": "s"}, {"usable_faces": usable_faces()}).to_pylist()

    named = {key: {row["video_key"] for row in ROLES if row["sha256"] == key} for key in FACES}
    assert {(row["role"], row["video_key"], row["base_id"], row["partner_id"]) for row in usable} == {
        (role, key, base, partner)
        for role, content, base, partner in drawn_by_brute_force(config, 3)
        for key in named[content]
        if any(row["role"] == role and row["video_key"] == key for row in ROLES)
    }
    assert all(row["partner_id"].startswith(f"{row['partner_sha256']}-") for row in usable)
