import json
from pathlib import Path

import pytest

from data_catalog.datasets.base import Scan, VideoEntry
from data_catalog.datasets.dfdc import Dfdc
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import dfdc

SAMPLES = Path(__file__).resolve().parents[3] / "../shared/data/DFDC"
REAL: dict[str, object] = {"label": "REAL", "split": "train", "original": None}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "DFDC"
    dfdc.build(root, touch)
    return root


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def scan(root: Path) -> Scan:
    return Dfdc().scan(Folder.of(root))


def entries_of(root: Path) -> dict[str, VideoEntry]:
    return {entry.local_key: entry for entry in scan(root).entries}


def part(root: Path, entries: dict[str, dict[str, object]]) -> Path:
    """A part with these videos and their metadata."""
    for name in entries:
        touch(root / name)
    (root / "metadata.json").write_text(json.dumps(entries))
    return root


def test_every_clip_of_the_official_layout_is_found(tmp_path: Path) -> None:
    keys = dfdc.build(tmp_path, touch)
    found = scan(tmp_path)
    assert {entry.local_key for entry in found.entries} == keys
    assert found.unrecognised == ()


def test_labels_splits_people_and_originals(root: Path) -> None:
    entries = entries_of(root)
    described = {key: (entry.label, entry.split, entry.identity, entry.original) for key, entry in entries.items()}
    assert described == {
        "dfdc_train_part_0/knqhpwoigk": ("real", "train", "knqhpwoigk", None),
        "dfdc_train_part_0/brtujopkby": ("fake", "train", "knqhpwoigk", "dfdc_train_part_0/knqhpwoigk"),
        "dfdc_train_part_0/abofeumbvv": ("fake", "train", "abofeumbvv", None),
        "dfdc_train_part_1/ybqmttnept": ("real", "train", "ybqmttnept", None),
        "dfdc_train_part_1/widuwuoiur": ("fake", "train", "ybqmttnept", "dfdc_train_part_1/ybqmttnept"),
        "dfdc_train_part_1/yhffcuhhjy": ("fake", "train", "knqhpwoigk", "dfdc_train_part_0/knqhpwoigk"),
        "test/aaasxquqfu": ("real", "test", "aaasxquqfu", None),
        "test/bbzpxyrhat": ("fake", "test", "bbzpxyrhat", None),
        "validation/cchlxpanri": ("real", "test", "cchlxpanri", None),
        "validation/ddtjolilab": ("fake", "test", "ddtjolilab", None),
    }
    for entry in entries.values():
        assert (entry.manipulation, entry.compression, entry.source_identity, entry.media) == (
            None,
            None,
            None,
            "video",
        )


def test_it_is_a_test_set_as_a_whole() -> None:
    assert set(Dfdc().roles) == {"test"}
    assert set(Dfdc().roles["test"]) == {"train", "val", "test", "none"}
    assert Dfdc().people == "dfdc"


def test_a_part_alone_has_the_keys_it_has_below_its_parent(root: Path) -> None:
    assert set(entries_of(root / "dfdc_train_part_0")) == {
        "dfdc_train_part_0/knqhpwoigk",
        "dfdc_train_part_0/brtujopkby",
        "dfdc_train_part_0/abofeumbvv",
    }
    alone = entries_of(root / "dfdc_train_part_0")["dfdc_train_part_0/brtujopkby"]
    assert alone.original == "dfdc_train_part_0/knqhpwoigk"


def test_an_original_no_metadata_names_is_known_as_a_person_only(root: Path) -> None:
    alone = entries_of(root / "dfdc_train_part_1")["dfdc_train_part_1/yhffcuhhjy"]
    assert (alone.identity, alone.original) == ("knqhpwoigk", None)


def test_kaggles_sample_and_deeper_folders_are_parts_too(tmp_path: Path) -> None:
    part(tmp_path / "train_sample_videos", {"a.mp4": REAL, "b.mp4": REAL | {"label": "FAKE", "original": "a.mp4"}})
    part(tmp_path / "train" / "dfdc_train_part_00", {"a.mp4": REAL})
    touch(tmp_path / "sample_submission.csv")
    entries = entries_of(tmp_path)
    assert set(entries) == {"train_sample_videos/a", "train_sample_videos/b", "train/dfdc_train_part_00/a"}
    assert entries["train_sample_videos/b"].original == "train_sample_videos/a"
    assert scan(tmp_path).unrecognised == ()


@pytest.mark.parametrize(("label", "expected"), [("0", "real"), ("1", "fake"), ("FAKE", "fake"), (" real", "real")])
def test_a_table_above_its_videos_labels_them(tmp_path: Path, label: str, expected: str) -> None:
    touch(tmp_path / "test" / "videos" / "a.mp4")
    (tmp_path / "test" / "labels.csv").write_text(f"filename,label\na.mp4,{label}\n")
    entry = entries_of(tmp_path)["test/videos/a"]
    assert (entry.label, entry.split) == (expected, "test")


@pytest.mark.parametrize(("is_fake", "expected"), [(0, "real"), (1, "fake"), (False, "real"), (True, "fake")])
def test_a_test_sets_metadata_says_is_fake(tmp_path: Path, is_fake: object, expected: str) -> None:
    part(tmp_path / "test", {"a.mp4": {"is_fake": is_fake}})
    assert entries_of(tmp_path)["test/a"].label == expected


def test_metadata_without_a_split_leaves_it_open(tmp_path: Path) -> None:
    part(tmp_path / "p", {"a.mp4": {"label": "REAL"}})
    assert entries_of(tmp_path)["p/a"].split is None


def test_both_lists_may_name_a_video_if_they_agree(tmp_path: Path) -> None:
    part(tmp_path / "p", {"a.mp4": REAL, "b.mp4": REAL})
    (tmp_path / "p" / "labels.csv").write_text("filename,label\na.mp4,0\nb.mp4,1\n")
    found = scan(tmp_path)
    assert [(entry.local_key, entry.split) for entry in found.entries] == [("p/a", "train")]
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == "p/b.mp4"
    assert unrecognised.reason == "metadata.json calls it real, labels.csv fake"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"split": "train"}, "no clear label for it: neither label nor is_fake"),
        (REAL | {"label": "UNSURE"}, "no clear label for it: label 'UNSURE'"),
        (REAL | {"label": None}, "label None"),
        ({"is_fake": 2}, "is_fake 2"),
        (REAL | {"is_fake": 1}, "label 'REAL', is_fake 1"),
        (REAL | {"split": "holdout"}, "split 'holdout', none of train, val, test"),
        (REAL | {"split": 1}, "split 1"),
        (REAL | {"original": "real.mp4"}, "calls it real and made from 'real.mp4'"),
        ({"label": "FAKE", "split": "train", "original": 7}, "calls it fake and made from 7"),
        (
            {"label": "FAKE", "split": "train", "original": "fake.mp4"},
            "made from fake.mp4, which metadata.json does not",
        ),
    ],
)
def test_what_metadata_does_not_say_clearly_is_reported(tmp_path: Path, entry: dict[str, object], reason: str) -> None:
    fake = REAL | {"label": "FAKE"}
    part(tmp_path / "p", {"real.mp4": REAL, "fake.mp4": fake, "odd.mp4": entry})
    found = scan(tmp_path)
    assert {entry.local_key for entry in found.entries} == {"p/real", "p/fake"}
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == "p/odd.mp4"
    assert reason in unrecognised.reason


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("odd.mp4,2\n", "says label '2', neither 0 (real) nor 1 (fake)"),
        ("odd.mp4,\n", "says label ''"),
        ("odd.mp4\n", "says label ''"),
        ("odd.mp4,true\n", "says label 'true'"),
        ("odd.mp4,0\nodd.mp4,1\n", "names it twice, with different labels"),
        ("other.mp4,0\n", "labels.csv beside or above it names it"),
    ],
)
def test_what_a_table_does_not_say_clearly_is_reported(tmp_path: Path, rows: str, reason: str) -> None:
    touch(tmp_path / "good.mp4")
    touch(tmp_path / "odd.mp4")
    (tmp_path / "labels.csv").write_text(f"filename,label\ngood.mp4,1\n{rows}")
    found = scan(tmp_path)
    assert [entry.name for entry in found.entries] == ["good"]
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == "odd.mp4"
    assert reason in unrecognised.reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dfdc_train_part_0/unnamed.mp4", "neither metadata.json beside it nor labels.csv"),
        ("dfdc_train_part_7/abofeumbvv.mp4", "neither metadata.json beside it nor labels.csv"),
        ("dfdc_train_part_0/crops/abofeumbvv.mp4", "neither metadata.json beside it nor labels.csv"),
        ("test_videos/abofeumbvv.mp4", "neither metadata.json beside it nor labels.csv"),
        ("validation/crops/cchlxpanri.mp4", "the same video as validation/cchlxpanri.mp4"),
        ("dfdc_train_part_1.zip", "suffix"),
    ],
)
def test_files_no_list_names_are_reported_not_guessed(root: Path, name: str, reason: str) -> None:
    touch(root / name)
    found = scan(root)
    assert len(found.entries) == 10
    (unrecognised,) = found.unrecognised
    assert unrecognised.relative == name
    assert reason in unrecognised.reason


def test_one_line_of_a_table_means_one_file_the_nearest(tmp_path: Path) -> None:
    for name in ("a.mp4", "Crops/a.mp4"):
        touch(tmp_path / "test" / name)
    (tmp_path / "test" / "labels.csv").write_text("filename,label\na.mp4,1\n")
    found = scan(tmp_path)
    assert [entry.local_key for entry in found.entries] == ["test/a"]
    assert [item.relative for item in found.unrecognised] == ["test/Crops/a.mp4"]


@pytest.mark.parametrize("content", ["{oops", "[]", '{"a.mp4": "FAKE"}'])
def test_broken_metadata_is_named(root: Path, content: str) -> None:
    (root / "dfdc_train_part_1" / "metadata.json").write_text(content)
    with pytest.raises(DataError, match=r"dfdc_train_part_1/metadata\.json (is not valid JSON|must map file names)"):
        scan(root)


def test_a_table_without_its_columns_is_named(root: Path) -> None:
    (root / "validation" / "labels.csv").write_text("video,fake\na.mp4,1\n")
    with pytest.raises(DataError, match=r"validation/labels\.csv must have the columns filename,label"):
        scan(root)


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*metadata\.json"):
        scan(tmp_path / "missing")
    touch(tmp_path / "wrong" / "test_videos" / "aassnaulhq.mp4")
    with pytest.raises(DataError, match=r"not a DFDC folder: there is no metadata\.json[\s\S]*holds test_videos/"):
        scan(tmp_path / "wrong")
    (tmp_path / "hollow").mkdir()
    part(tmp_path / "hollow", {})
    with pytest.raises(DataError, match="holds nothing of DFDC"):
        scan(tmp_path / "hollow")


@pytest.mark.sample_data
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no sample data at ../shared/data")
def test_the_real_sample_is_read() -> None:
    found = scan(SAMPLES)
    assert found.unrecognised == ()
    described = {entry.name: (entry.label, entry.split, entry.identity, entry.original) for entry in found.entries}
    assert described == {
        "abofeumbvv": ("fake", "train", "abofeumbvv", None),
        "abqwwspghj": ("fake", "train", "abqwwspghj", None),
        "brtujopkby": ("fake", "train", "gnmmhlbzge", None),
        "knqhpwoigk": ("real", "train", "knqhpwoigk", None),
        "widuwuoiur": ("fake", "train", "ybqmttnept", None),
        "yhffcuhhjy": ("fake", "train", "wdpsifpppf", None),
    }
