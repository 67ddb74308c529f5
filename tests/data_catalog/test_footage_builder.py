"""The sample footage as a whole: layout, repeatability, and what a killed or changed build leaves behind."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_catalog.footage.builder import FootageSummary, build_footage
from data_catalog.footage.media import SPLITS, FootageMedia, Person, Take
from data_catalog.footage.plan import FootageConfig
from difffake.errors import DataError
from difffake.video import probe, read_frames
from tests.helpers.common import common_folder
from tests.helpers.footage import common_footage

TINY = FootageConfig(frames=4, fps=8.0, size_px=128)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> FootageSummary:
    return common_footage(common_folder(tmp_path_factory))[1]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> FootageMedia:
    """Four people in two splits and two faceless clips: eight clips with a face, two without."""
    everyone, _ = common_footage(common_folder(tmp_path_factory))
    chosen = tuple(person for person in everyone.people if person.split in ("val", "test"))
    return replace(everyone, people=chosen)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def frames_of(path: Path) -> np.ndarray:
    return np.stack([frame.rgb for frame in read_frames(path, range(probe(path).frames))])


def test_the_folder_is_laid_out_as_faceforensics(small: FootageSummary) -> None:
    videos = {path.relative_to(small.root).as_posix() for path in small.root.rglob("*.mp4")}
    pairs = {split: json.loads((small.root / "splits" / f"{split}.json").read_text()) for split in SPLITS}
    ids = [video_id for split in SPLITS for pair in pairs[split] for video_id in pair]
    assert len(ids) == len(set(ids)) == small.real_videos + small.faceless_videos
    with small.identities.open() as stream:
        identity = {row["video"]: row["identity"] for row in csv.DictReader(stream)}
    with_face = [pair for split in SPLITS for pair in pairs[split] if pair[0] in identity]
    assert videos == {f"original_sequences/youtube/c23/videos/{video_id}.mp4" for video_id in ids} | {
        f"manipulated_sequences/FaceSwap/c23/videos/{a}_{b}.mp4" for pair in with_face for a, b in (pair, pair[::-1])
    }
    assert all(identity[a] != identity[b] for a, b in with_face)
    seen_in = {split: {identity[i] for pair in pairs[split] for i in pair if i in identity} for split in SPLITS}
    assert seen_in == {split: set(small.people[split]) for split in SPLITS}
    assert sum(len(names) for names in seen_in.values()) == len(set().union(*seen_in.values())) == 8
    assert [len(names) for names in seen_in.values()] == [4, 2, 2]


def test_clips_have_the_size_rate_and_length_asked_for(small: FootageSummary) -> None:
    for path in small.root.rglob("*.mp4"):
        info = probe(path)
        assert (info.frames, info.width, info.height, info.codec) == (24, 192, 192, "h264")
        assert info.fps == pytest.approx(12.0)


def test_a_fake_differs_from_its_real_clip_in_the_face_alone(media: FootageMedia, tmp_path: Path) -> None:
    # Without lossy coding the frame's rim, out of the face's reach, is the same: motion, light and noise are shared.
    build_footage(tmp_path / "f", media, replace(TINY, compression="raw"), workers=1)
    fakes = sorted((tmp_path / "f").glob("manipulated_sequences/FaceSwap/raw/videos/*.mp4"))
    assert len(fakes) == 4
    for fake in fakes:
        real = tmp_path / f"f/original_sequences/youtube/raw/videos/{fake.stem.split('_')[0]}.mp4"
        difference = np.abs(frames_of(fake).astype(int) - frames_of(real))
        assert difference[:, :8].max() == difference[:, -8:].max() == 0
        assert (difference.max(axis=(1, 2, 3)) > 20).all()


def test_a_second_build_does_nothing_and_says_so(media: FootageMedia, tmp_path: Path) -> None:
    events: list[tuple[int, int, str]] = []
    first = build_footage(tmp_path / "f", media, TINY, lambda *event: events.append(event), workers=1)
    assert first.clips_built == 10
    assert [(done, total) for done, total, _ in events] == [(number, 10) for number in range(1, 11)]
    assert {path for _, _, path in events} == {name for name in contents(tmp_path / "f") if name.endswith(".mp4")}
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "f").rglob("*")}
    second = build_footage(tmp_path / "f", media, TINY, lambda *_: pytest.fail("nothing to do"), workers=1)
    assert second == replace(first, clips_built=0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "f").rglob("*")} == times


def test_two_processes_and_another_folder_give_the_same_bytes(media: FootageMedia, tmp_path: Path) -> None:
    build_footage(tmp_path / "one", media, TINY, workers=1)
    build_footage(tmp_path / "two", media, TINY, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_build_killed_between_clips_goes_on_where_it_stopped(media: FootageMedia, tmp_path: Path) -> None:
    def kill_at_fifth(done: int, _total: int, _path: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_footage(tmp_path / "killed", media, TINY, kill_at_fifth, workers=1)
    assert json.loads((tmp_path / "killed/footage.json").read_text())["finished"] is False
    leftover = tmp_path / "killed/original_sequences/youtube/c23/videos/.009.partial.mp4"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_bytes(b"half a clip")
    resumed = build_footage(tmp_path / "killed", media, TINY, workers=1)
    assert 0 < resumed.clips_built < 10
    build_footage(tmp_path / "whole", media, TINY, workers=1)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_damaged_and_missing_clips_are_made_again(media: FootageMedia, tmp_path: Path) -> None:
    build_footage(tmp_path / "f", media, TINY, workers=1)
    before = contents(tmp_path / "f")
    damaged, missing = sorted((tmp_path / "f").rglob("*.mp4"))[0:3:2]
    damaged.write_bytes(damaged.read_bytes()[:-100])
    missing.unlink()
    assert build_footage(tmp_path / "f", media, TINY, workers=1).clips_built > 0
    assert contents(tmp_path / "f") == before


def test_another_configuration_replaces_everything(media: FootageMedia, tmp_path: Path) -> None:
    build_footage(tmp_path / "f", media, TINY, workers=1)
    before = contents(tmp_path / "f")
    added = tmp_path / "f/manipulated_sequences/Deepfakes/c23/videos/000_001.mp4"
    added.parent.mkdir(parents=True)
    added.write_bytes(b"put here by someone else")
    fewer = replace(media, people=media.people[:2], faceless=())
    summary = build_footage(tmp_path / "f", fewer, replace(TINY, seed=1, compression="c40"), workers=1)
    assert (summary.clips_built, summary.real_videos, summary.fake_videos) == (4, 2, 2)
    assert added.read_bytes() == b"put here by someone else"
    added.unlink()
    after = contents(tmp_path / "f")
    assert sum(name.endswith(".mp4") for name in after) == 4
    assert not set(before.values()) & {data for name, data in after.items() if name.endswith(".mp4")}


def test_another_persons_arrival_leaves_the_others_clips_alone(media: FootageMedia, tmp_path: Path) -> None:
    build_footage(tmp_path / "f", media, TINY, workers=1)
    extra = tuple(replace(person, name=f"{person.name}_twin", split="train") for person in media.people[:2])
    build_footage(tmp_path / "g", replace(media, people=extra + media.people), TINY, workers=1)
    old, new = contents(tmp_path / "f"), contents(tmp_path / "g")
    assert {data for name, data in old.items() if name.endswith(".mp4")} <= set(new.values())


def test_a_folder_of_someone_elses_is_left_alone(media: FootageMedia, tmp_path: Path) -> None:
    precious = tmp_path / "original_sequences/youtube/c23/videos/000.mp4"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"the only copy")
    with pytest.raises(DataError, match="not written by this generator"):
        build_footage(tmp_path, media, TINY, workers=1)
    assert precious.read_bytes() == b"the only copy"


def test_a_build_killed_while_writing_its_first_line_can_be_repeated(media: FootageMedia, tmp_path: Path) -> None:
    (tmp_path / ".footage.json.partial").write_text("{")
    fewer = replace(media, people=media.people[:2], faceless=())
    assert build_footage(tmp_path, fewer, TINY, workers=1).clips_built == 4
    assert not (tmp_path / ".footage.json.partial").exists()


def test_a_manifest_that_is_none_is_named(media: FootageMedia, tmp_path: Path) -> None:
    (tmp_path / "footage.json").write_text("[1, 2")
    with pytest.raises(DataError, match=r"footage\.json is not a manifest"):
        build_footage(tmp_path, media, TINY, workers=1)


def test_people_without_a_face_are_named_with_the_clip(media: FootageMedia, tmp_path: Path) -> None:
    nobody = Person("nobody", "val", (media.faceless[0],))
    with pytest.raises(DataError, match=r"000_001\.mp4 \(nobody on astronaut_warm\): only 0 of 4 frames"):
        build_footage(tmp_path / "f", FootageMedia((media.people[0], nobody)), TINY, workers=1)


def test_a_medium_that_is_gone_is_named(tmp_path: Path) -> None:
    take = Take(tmp_path / "gone.png", (10, 10), 20)
    people = (Person("ann", "train", (take,)), Person("bob", "train", (take,)))
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        build_footage(tmp_path / "f", FootageMedia(people), TINY, workers=1)
