import os
from pathlib import Path

import pytest

from data_catalog.storage import Folder, SourceFile, local_path
from difffake.errors import DataError

AWKWARD_NAMES = ["a.mp4", "FaceForensics++/ä ö#?%41.mp4"]


def write(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_a_path_comes_back_from_its_uri(tmp_path: Path, name: str) -> None:
    assert local_path((tmp_path / name).as_uri()) == tmp_path / name


@pytest.mark.parametrize("uri", ["s3://bucket/a.mp4", "https://host/a.mp4", "file://host/a.mp4", "/plain/path.mp4"])
def test_other_places_are_refused(uri: str) -> None:
    with pytest.raises(DataError, match="not a file of this machine"):
        local_path(uri)


@pytest.mark.parametrize("name", ["data", "FaceForensics++/ä ö#?%41"])
def test_a_folder_by_path_or_by_uri_is_the_same_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    folder = Folder.of(path)
    assert folder.is_local
    assert folder.path == path
    assert str(folder) == str(path)
    assert Folder.of(str(path)) == folder
    assert Folder.of(path.as_uri()) == folder
    assert Folder.of(f"{path.as_uri()}/") == folder


def test_a_relative_path_and_home_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Folder.of("data/../data").path == tmp_path / "data"
    assert Folder.of("~/data").path == tmp_path / "home" / "data"


def test_a_linked_folder_is_known_by_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    assert Folder.of(tmp_path / "link") == Folder.of(tmp_path / "disk")


@pytest.mark.parametrize(
    "uri", ["s3://key:secret@bucket/data", "s3://key@bucket/data", "https://user:secret@host/data"]
)
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(DataError, match=r"carries credentials.*environment") as caught:
        Folder.of(uri)
    assert "secret" not in str(caught.value)
    assert "key" not in str(caught.value).replace("AWS_", "")


@pytest.mark.parametrize("uri", ["nosuch://host/data", "S4://bucket"])
def test_an_unknown_scheme_is_refused(uri: str) -> None:
    with pytest.raises(DataError, match="no place this installation can read"):
        Folder.of(uri)


def test_an_object_store_is_no_place_on_this_machine() -> None:
    folder = Folder.of("s3://bucket/data/")
    assert not folder.is_local
    assert str(folder) == folder.uri == "s3://bucket/data"
    assert folder.child("a/b").uri == "s3://bucket/data/a/b"
    with pytest.raises(DataError, match="not a file of this machine"):
        _ = folder.path


def test_files_are_listed_sorted_with_size_and_time(tmp_path: Path) -> None:
    write(tmp_path / "b" / "deep" / "two.mp4", b"12")
    write(tmp_path / "a.txt", b"")
    write(tmp_path / "b" / ".hidden", b"123")
    write(tmp_path / "b" / "ä ö#?%41.mp4", b"1234")
    (tmp_path / "empty").mkdir()
    os.utime(tmp_path / "a.txt", ns=(0, 1_234_567_891))
    files = Folder.of(tmp_path).files()
    assert [(file.relative, file.size_bytes) for file in files] == [
        ("a.txt", 0),
        ("b/.hidden", 3),
        ("b/deep/two.mp4", 2),
        ("b/ä ö#?%41.mp4", 4),
    ]
    assert files[0].modified_ns == 1_234_567_891
    assert files[2].path.parts == ("b", "deep", "two.mp4")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "a.mp4")
    write(tmp_path / "other_disk" / "b.mp4")
    (root / "linked").symlink_to(tmp_path / "other_disk")
    (root / "linked_again").symlink_to(tmp_path / "other_disk")
    (root / "loop").symlink_to(root)
    (tmp_path / "other_disk" / "back").symlink_to(root)
    relatives = [file.relative for file in Folder.of(root).files()]
    assert len(relatives) == 2
    assert relatives[0] == "a.mp4"
    assert relatives[1] in ("linked/b.mp4", "linked_again/b.mp4")


def test_a_linked_file_is_as_large_as_what_it_leads_to_and_a_dangling_link_is_told(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "there.mp4").symlink_to(write(tmp_path / "elsewhere.mp4", b"12345"))
    (root / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    gone, there = Folder.of(root).files()
    assert gone == SourceFile("gone.mp4", -1, 0)
    assert (there.relative, there.size_bytes) == ("there.mp4", 5)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot list .*missing"):
        Folder.of(tmp_path / "missing").files()
    write(tmp_path / "file")
    with pytest.raises(DataError, match=r"cannot list .*file"):
        Folder.of(tmp_path / "file").files()


def test_top_names_are_sorted_and_folders_end_in_a_slash(tmp_path: Path) -> None:
    write(tmp_path / "b" / "deep" / "two.mp4")
    write(tmp_path / "a.txt")
    (tmp_path / "linked").symlink_to(tmp_path / "b")
    assert Folder.of(tmp_path).top_names() == ["a.txt", "b/", "linked/"]
    assert Folder.of(tmp_path / "b" / "deep" / "two.mp4").top_names() == []
    assert Folder.of(tmp_path / "missing").top_names() == []


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_a_file_is_read_by_its_relative_path(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, b"\x00\xff")
    folder = Folder.of(tmp_path)
    assert local_path(folder.file_uri(name)) == tmp_path / name
    assert folder.read_bytes(name) == b"\x00\xff"


def test_a_child_is_the_folder_below(tmp_path: Path) -> None:
    write(tmp_path / "ä #" / "list.txt", b"one")
    child = Folder.of(tmp_path).child("ä #")
    assert child.path == tmp_path / "ä #"
    assert child.read_text("list.txt") == "one"


def test_text_is_utf8_and_loses_its_byte_order_mark(tmp_path: Path) -> None:
    write(tmp_path / "list.txt", "\ufeffä,1\n".encode())
    assert Folder.of(tmp_path).read_text("list.txt") == "ä,1\n"


def test_text_that_is_none_or_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path / "latin.txt", "ä".encode("latin-1"))
    folder = Folder.of(tmp_path)
    with pytest.raises(DataError, match=r"latin\.txt is not UTF-8"):
        folder.read_text("latin.txt")
    with pytest.raises(DataError, match=r"cannot read .*missing\.txt"):
        folder.read_text("missing.txt")
    with pytest.raises(DataError, match="cannot read"):
        folder.child("latin.txt").read_text("list.txt")


def test_a_link_to_itself_is_listed_and_one_into_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "fake").mkdir()
    (tmp_path / "real" / "a.mp4").write_bytes(b"a")
    (tmp_path / "fake" / "source").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop.mp4").symlink_to("loop.mp4")
    found = {file.relative: file.size_bytes for file in Folder.of(tmp_path).files()}
    assert found == {"real/a.mp4": 1, "real/loop.mp4": -1}
