"""Sample footage in the official layout of FaceForensics++: real clips of real people, and their faces swapped.

A killed build goes on where it stopped, a finished one costs a look at the digests, another configuration starts anew.
"""

import csv
import io
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2

from data_catalog.footage.clips import WrittenClip, write_pair
from data_catalog.footage.manifest import describe_inputs, take_over, write_manifest, write_text
from data_catalog.footage.media import SPLITS, FootageMedia, Split
from data_catalog.footage.plan import FootageConfig, PlannedPair, plan_pairs

IDENTITIES = "identities.csv"

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class FootageSummary:
    """What the folder holds now.

    Attributes:
        root: the folder, to be scanned as FaceForensics++ with `identities` as its identities file.
        identities: CSV with the columns video,identity.
        people: names of the people in each split.
        real_videos: real clips with a face.
        faceless_videos: real clips without one, in the training split.
        fake_videos: swapped clips.
        frames_not_swapped: frames of the fakes that show only the target, for want of a face.
        clips_built: files made by this call; 0 where everything was there already.
    """

    root: Path
    identities: Path
    people: dict[Split, tuple[str, ...]]
    real_videos: int
    faceless_videos: int
    fake_videos: int
    frames_not_swapped: int
    clips_built: int


def build_footage(
    root: Path,
    media: FootageMedia,
    config: FootageConfig,
    on_progress: OnProgress | None = None,
    workers: int = 2,
) -> FootageSummary:
    """Make every clip that is not there yet, the split lists and the identities file.

    Args:
        root: a new or empty folder, or one this function wrote.
        media: the people and their takes.
        config: size, length and quality of the clips; with the media's content it decides every byte.
        on_progress: called after each clip with clips done, clips in all, and the clip's path below the root.
        workers: single-threaded processes; 1 works in this process. The result does not depend on it.

    Raises:
        DataError: media that cannot be used or paired, or a folder that holds something else.
    """
    pairs = plan_pairs(media)
    files = {pair: pair.files(config.compression) for pair in pairs}
    inputs = describe_inputs(media, config)
    done = take_over(root, inputs, [path for paths in files.values() for path in paths])
    pending = [pair for pair in pairs if not done.keys() >= set(files[pair])]
    to_build = sum(len(files[pair]) for pair in pending)
    total = built = sum(len(paths) for paths in files.values())
    built -= to_build
    for written in _write_pairs(root, pending, config, workers):
        done.update({clip.path: clip for clip in written})
        write_manifest(root, inputs, done, is_finished=False)
        for clip in written:
            built += 1
            if on_progress is not None:
                on_progress(built, total, clip.path)
    _write_lists(root, pairs)
    write_manifest(root, inputs, done, is_finished=True)
    return _summarise(root, media, config, pairs, done, to_build)


def _write_lists(root: Path, pairs: tuple[PlannedPair, ...]) -> None:
    for split in SPLITS:
        ids = [[pair.first.video_id, pair.second.video_id] for pair in pairs if pair.split == split]
        write_text(root / "splits" / f"{split}.json", json.dumps(ids, indent=1) + "\n")
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["video", "identity"])
    clips = sorted((clip.video_id, clip.person) for pair in pairs for clip in (pair.first, pair.second) if clip.person)
    writer.writerows(clips)
    write_text(root / IDENTITIES, rows.getvalue())


def _write_pairs(
    root: Path, pairs: list[PlannedPair], config: FootageConfig, workers: int
) -> Iterator[list[WrittenClip]]:
    """The clips of each pair, in the order in which pairs are finished."""
    if workers == 1 or len(pairs) <= 1:
        for pair in pairs:
            yield write_pair(root, pair, config)
        return
    # Spawned, not forked: OpenCV's threads and the landmark network do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(pairs)), mp_context=context, initializer=_start_worker)
    try:
        for future in as_completed([pool.submit(write_pair, root, pair, config) for pair in pairs]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)


def _summarise(
    root: Path,
    media: FootageMedia,
    config: FootageConfig,
    pairs: tuple[PlannedPair, ...],
    done: dict[str, WrittenClip],
    clips_built: int,
) -> FootageSummary:
    swaps = [done[path] for pair in pairs for path in pair.files(config.compression)[2:]]
    return FootageSummary(
        root=root,
        identities=root / IDENTITIES,
        people={split: tuple(p.name for p in media.people if p.split == split) for split in SPLITS},
        real_videos=sum(len(person.takes) for person in media.people),
        faceless_videos=len(media.faceless),
        fake_videos=len(swaps),
        frames_not_swapped=sum(config.frames - clip.frames_swapped for clip in swaps),
        clips_built=clips_built,
    )
