import os
from pathlib import Path

import pytest

from data_catalog.datasets import Scan, VideoEntry
from data_catalog.datasets.generic import GenericFolder
from data_catalog.storage import Folder
from difffake.errors import DataError
from tests.helpers.layouts import folder as layout

COLUMNS = "path,label,identity,split,method"
ALL_COLUMNS = f"{COLUMNS},source_identity,original,compression"


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def make(root: Path, *names: str) -> None:
    for name in names:
        touch(root / name)


def describe(root: Path, *rows: str, columns: str = ALL_COLUMNS) -> None:
    (root / "metadata.csv").write_text("\n".join((columns, *rows)) + "\n")


def scan(root: Path) -> Scan:
    return GenericFolder().scan(Folder.of(root))


def by_key(found: Scan) -> dict[str, VideoEntry]:
    return {entry.local_key: entry for entry in found.entries}


def reasons(found: Scan) -> dict[str, str]:
    return {item.relative: item.reason for item in found.unrecognised}


def test_everything_of_the_layout_is_found(tmp_path: Path) -> None:
    expected = layout.build(tmp_path, touch)
    found = scan(tmp_path)
    assert set(by_key(found)) == expected
    assert found.unrecognised == ()


def test_without_a_table_only_the_label_is_known(tmp_path: Path) -> None:
    make(tmp_path, "real/anna/1.mp4", "real/anna/2.mov", "fake/anna/1.mp4", "real/bert.JPG")
    entries = by_key(scan(tmp_path))
    assert {key: (entry.label, entry.manipulation, entry.media) for key, entry in entries.items()} == {
        "real/anna/1": ("real", None, "video"),
        "real/anna/2": ("real", None, "video"),
        "real/bert": ("real", None, "photo"),
        "fake/anna/1": ("fake", "fake", "video"),
    }
    assert {entry.identity for entry in entries.values()} == {"real/anna/1", "real/anna/2", "real/bert", "fake/anna/1"}
    for entry in entries.values():
        assert (entry.split, entry.compression, entry.source_identity, entry.original) == (None, None, None, None)


def test_the_table_says_the_rest(tmp_path: Path) -> None:
    make(tmp_path, "real/a.mp4", "fake/ab.mp4", "fake/plain.mp4")
    describe(tmp_path, "real/a.mp4,real,anna,train,,,,c0", "fake/ab.mp4,fake,anna,test,FaceSwap,bert,real/a.mp4,c23")
    entries = by_key(scan(tmp_path))
    assert set(entries) == {"real/raw/a", "fake/c23/ab", "fake/plain"}
    real, fake, plain = entries["real/raw/a"], entries["fake/c23/ab"], entries["fake/plain"]
    assert (real.label, real.identity, real.split, real.compression) == ("real", "anna", "train", "raw")
    assert (real.manipulation, real.source_identity, real.original) == (None, None, None)
    assert (fake.label, fake.identity, fake.split, fake.compression) == ("fake", "anna", "test", "c23")
    assert (fake.manipulation, fake.source_identity, fake.original) == ("FaceSwap", "bert", "real/raw/a")
    assert (plain.manipulation, plain.identity, plain.split) == ("fake", "fake/plain", None)


def test_empty_cells_spaces_and_dots_in_paths_are_no_obstacle(tmp_path: Path) -> None:
    make(tmp_path, "real/a.mp4", "fake/ab.mp4")
    describe(tmp_path, " ./real//a.mp4 ,, anna , val ,", "fake/ab.mp4,FAKE,,none,", columns=COLUMNS)
    entries = by_key(scan(tmp_path))
    assert (entries["real/a"].identity, entries["real/a"].split) == ("anna", "val")
    assert (entries["fake/ab"].identity, entries["fake/ab"].split) == ("fake/ab", None)


def test_the_table_may_name_files_anywhere(tmp_path: Path) -> None:
    make(tmp_path, "clips/a.mp4", "clips/deep/b.mp4", "c.png")
    describe(tmp_path, "clips/a.mp4,real,,,,,,", "clips/deep/b.mp4,fake,,,,,clips/a.mp4,", "c.png,real,,,,,,")
    found = scan(tmp_path)
    entries = by_key(found)
    assert set(entries) == {"real/clips/a", "fake/clips/deep/b", "real/c"}
    assert entries["fake/clips/deep/b"].original == "real/clips/a"
    assert found.unrecognised == ()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("fake/x.mp4,real,,,,,,", "metadata.csv says real, its folder fake"),
        ("fake/x.mp4,deepfake,,,,,,", "the label 'deepfake'; expected real or fake"),
        ("fake/x.mp4,,,training,,,,", "the split 'training'; expected one of train, val, test, none"),
        ("fake/x.mp4,,,,,,,h264", "the compression 'h264'; expected one of raw, c0, c23, c40"),
        ("fake/x.mp4,,,,,,fake/other.mp4,", "its original fake/other.mp4 is not known to be real"),
        ("fake/x.mp4,,,,,,fake/x.mp4,", "its original fake/x.mp4 is not known to be real"),
        ("fake/x.mp4,,,,,,clips/y.mp4,", "its original clips/y.mp4 is not known to be real"),
        ("real/x.mp4,,,,FaceSwap,,,", "gives a real file one of method"),
        ("real/x.mp4,,,,,bert,,", "gives a real file one of method"),
        ("real/x.mp4,real,,,,,real/a.mp4,", "gives a real file one of method"),
        ("clips/x.mp4,,,,,,,", "gives it no label"),
        ("real/x.txt,real,,,,,,", "suffix"),
        ("clips/x.txt,real,,,,,,", "suffix"),
    ],
)
def test_rows_that_cannot_be_believed_are_reported(tmp_path: Path, row: str, reason: str) -> None:
    name = row.split(",")[0]
    make(tmp_path, "real/a.mp4", "fake/other.mp4", "clips/y.mp4", name)
    describe(tmp_path, row)
    found = scan(tmp_path)
    assert set(by_key(found)) == {"real/a", "fake/other"}
    assert set(reasons(found)) == {name, "clips/y.mp4"}
    assert reason in reasons(found)[name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("clips/a.mp4", "neither below real/ or fake/ nor named by metadata.csv"),
        ("stray.jpg", "neither below real/ or fake/ nor named by metadata.csv"),
        ("real", "neither below real/ or fake/ nor named by metadata.csv"),
        ("real/notes.txt", "suffix"),
        ("real/b.mp4.part", "still being downloaded"),
        ("fake/metadata.csv", "suffix"),
    ],
)
def test_files_that_cannot_be_placed_are_reported_not_guessed(tmp_path: Path, name: str, reason: str) -> None:
    make(tmp_path, "fake/a.mp4", name if "/" in name or "." in name else f"{name}.mp4")
    found = scan(tmp_path)
    assert set(by_key(found)) == {"fake/a"}
    (unrecognised,) = found.unrecognised
    assert reason in unrecognised.reason


def test_papers_beside_real_and_fake_are_not_reported(tmp_path: Path) -> None:
    make(tmp_path, "real/a.mp4", "README.md", "scripts/make.py", "real/.DS_Store")
    assert scan(tmp_path).unrecognised == ()


def test_rows_of_files_that_are_not_there_are_reported(tmp_path: Path) -> None:
    make(tmp_path, "real/a.mp4", "fake/b.mp4")
    describe(
        tmp_path,
        "real/gone.mp4,real,anna,,,,,",
        "/etc/a.mp4,real,anna,,,,,",
        "fake/b.mp4,fake,,,,,real/lost.mp4,",
        "fake/gone.mp4,fake,,,,,real/gone.mp4,",
    )
    found = scan(tmp_path)
    assert set(by_key(found)) == {"real/a", "fake/b"}
    assert by_key(found)["fake/b"].original is None
    assert reasons(found) == {
        "/etc/a.mp4": "named by metadata.csv, but not there",
        "fake/gone.mp4": "named by metadata.csv, but not there",
        "real/gone.mp4": "named by metadata.csv, but not there",
        "real/lost.mp4": "named by metadata.csv as an original, but not there",
    }


def test_a_still_beside_its_video_does_not_take_its_place(tmp_path: Path) -> None:
    make(tmp_path, "real/a.jpg", "real/a.mp4")
    found = scan(tmp_path)
    (entry,) = found.entries
    assert (entry.file.relative, entry.media) == ("real/a.mp4", "video")
    assert reasons(found) == {"real/a.jpg": "its key real/a is taken by real/a.mp4"}


def test_a_path_named_twice_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "real/a.mp4")
    describe(tmp_path, "real/a.mp4,real,anna,train,,,,", "./real/a.mp4,real,bert,test,,,,")
    with pytest.raises(DataError, match=r"metadata\.csv names real/a\.mp4 twice"):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\nreal/a.mp4,real\n", "must have the columns path,label,identity,split,method; it has"),
        ("", "must have the columns"),
        (f"{COLUMNS}\n,real,anna,train,\n", "row 1 of .* has no path"),
        (f'{COLUMNS}\n"real/a.mp4,real\n', "not a readable CSV"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    make(tmp_path, "real/a.mp4")
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        scan(tmp_path)
    assert "metadata.csv" in str(caught.value)


def test_wrong_roots_say_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist[\s\S]*real/"):
        scan(tmp_path / "missing")
    make(tmp_path / "wrong", "Celeb-real/id0_0000.mp4")
    with pytest.raises(DataError, match="it holds Celeb-real/"):
        scan(tmp_path / "wrong")


def test_its_people_and_everything_it_holds_are_its_own() -> None:
    adapter = GenericFolder()
    assert adapter.people == ""
    assert adapter.roles == {"test": ("train", "val", "test", "none")}


def test_a_pipe_is_reported_and_not_read(tmp_path: Path) -> None:
    make(tmp_path, "real/a.mp4")
    os.mkfifo(tmp_path / "real" / "pipe.mp4")
    assert reasons(scan(tmp_path))["real/pipe.mp4"].startswith("not a file but a pipe")
