"""Files of tensors: exact round trip, damage detected, writes atomic."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from difffake.backbone.tensor_files import read_tensors, write_tensors
from difffake.errors import ArtefactError

TENSORS = {
    "image": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "counter": torch.tensor(7),
    "half": torch.randn(3).bfloat16(),
    "empty": torch.zeros(0, 4),
}
HEADER = {"kind": "test", "values": [1, 2.5, None], "nested": {"ä": "ö"}}


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, HEADER)
    tensors, header = read_tensors(path)
    assert header == HEADER
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tensors(tmp_path / name, TENSORS, HEADER)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_cut_and_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, HEADER)
    whole = path.read_bytes()
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtefactError):
            read_tensors(path)
    for position in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[position] ^= 0x01
        path.write_bytes(changed)
        try:
            tensors, header = read_tensors(path)
        except ArtefactError:
            continue
        # Only the padding after the header may change unnoticed.
        assert header == HEADER
        assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_messages_tell_missing_foreign_and_altered_files(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="missing or incomplete"):
        read_tensors(tmp_path / "none")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(ArtefactError, match="not a file this package wrote"):
        read_tensors(tmp_path / "foreign")
    save_file({"x": torch.zeros(1)}, tmp_path / "broken", {"difffake": "{}"})
    with pytest.raises(ArtefactError, match=r"header of .* is damaged"):
        read_tensors(tmp_path / "broken")
    path = tmp_path / "altered"
    write_tensors(path, {"x": torch.zeros(4)}, {})
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ArtefactError, match="was altered"):
        read_tensors(path)


def test_a_failed_write_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_tensors(path, {"x": torch.ones(2)}, {"epoch": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_tensors(path, {"x": torch.zeros(2)}, {"loss": float("nan")})
    tensors, header = read_tensors(path)
    assert header == {"epoch": 1}
    assert tensors["x"].tolist() == [1, 1]
