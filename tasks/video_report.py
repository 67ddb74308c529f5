"""Video report: one self-contained page a video, with the verdict, the evidence and its limits."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from difffake.backbone.device import resolve_device
from difffake.detector import Detector, Device
from difffake.evaluation.figures import calibration_figure
from difffake.evaluation.pair_pictures import pair_picture
from difffake.evaluation.plot_style import number, png
from difffake.evaluation.timeline_figure import Track, timeline_figure
from difffake.evidence import evidence_map, overlay
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceRecord, RgbImage
from difffake.judgement import Judgement, PersonExamination, VideoExamination, verdict_of
from difffake.locations import MANIFEST
from tasks.page import Provenance, Table, Tile, inline, render, write_whole
from tasks.tracking import commit

_PACKAGES = ("difffake", "torch", "timm", "scikit-learn")
_NAME_BYTES = 120
"""File systems take 255, and the page is first written under a longer name."""
_PAIRS_SHOWN = 6
_NATURAL_SHOWN = 3
_MAPS_SHOWN = 3
_PROBABILITY_AXIS = (-0.04, 1.04)
_PAIR_SIDE_PX = 128
_MAP_SIDE_PX = 192


@dataclass(frozen=True)
class PairView:
    """A pair on the page: picture, its anomaly, and when its faces are seen."""

    jpeg: str
    anomaly: str
    times: str


@dataclass(frozen=True)
class PersonView:
    """A person on the page."""

    title: str
    sentence: str
    timeline: str
    unnatural: Sequence[PairView]
    natural: Sequence[PairView]
    maps: Sequence[PairView]


def write_video_report(
    folder: Path, examined: VideoExamination, detector: Detector, model: Path | str, device: Device = "auto"
) -> Path:
    """Write the page of one video into the folder, and return where it is; the same video replaces its page.

    Args:
        folder: made if need be.
        examined: the video.
        detector: that examined it.
        model: where the detector comes from, for the page.
        device: where the network runs, for the evidence maps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{_file_name(examined.judgement)}.html"
    write_whole({page: render_video(examined, detector, model, device).encode()})
    return page


def render_video(examined: VideoExamination, detector: Detector, model: Path | str, device: Device = "auto") -> str:
    """The page as HTML: it loads nothing and runs nothing."""
    judged = examined.judgement
    calibration = detector.calibration
    plot = ""
    if calibration is not None:
        marked = [("this video", judged.score)] if judged.score is not None else []
        plot = inline(png(calibration_figure(calibration, marked)))
    return render(
        "video_report.html.j2",
        judged=judged,
        name=_short(judged.path),
        tiles=_tiles(judged),
        people=_people(judged),
        persons=[_person(detector, person, device) for person in examined.people],
        decides=detector.settings.verdict,
        features=detector.settings.features,
        calibration_plot=plot,
        calibration_videos=len(calibration.scores) if calibration else 0,
        media=_media(judged),
        model=_model(detector, model),
        provenance=Provenance(judged.sha256, datetime.now(UTC), commit(), "", ""),
    )


def _tiles(judged: Judgement) -> list[Tile]:
    if judged.status != "scored":
        return []
    tiles = []
    if judged.p_value is not None:
        tiles.append(Tile("p-value", f"{judged.p_value:.3f}", "", "share of real videos at least as anomalous"))
    outcome = judged.outcome
    for name in ("differential", "fake_probability", "fusion"):
        value = getattr(outcome, name)
        if value is not None:
            note = "decides" if name == judged.score_name else "beside it"
            tiles.append(Tile(name.replace("_", " "), number(value), "", note))
    tiles.append(Tile("faces", f"{outcome.faces_used}", "", f"{outcome.pairs_used} pairs compared"))
    if judged.comparison is not None:
        compared = judged.comparison
        p_value = "–" if compared.p_value is None else f"{compared.p_value:.3f}"
        tiles.append(Tile("p-value by references", p_value, "", f"{compared.references} files, {compared.pairs} pairs"))
    return tiles


def _people(judged: Judgement) -> Table:
    head = ("person", "verdict", "from", "to", "of frames", "p-value", "score", "fake prob.", "faces", "pairs")
    rows = []
    for person in judged.people:
        score = person.score
        rows.append(
            (
                _called(score.track_id),
                verdict_of(score) if not score.reason else score.reason,
                f"{person.first_s:.1f} s",
                f"{person.last_s:.1f} s",
                f"{person.share_of_frames:.0%}",
                "–" if score.p_value is None else f"{score.p_value:.3f}",
                "–" if score.score is None else number(score.score),
                "–" if score.fake_probability is None else f"{score.fake_probability:.3f}",
                score.faces_used,
                score.pairs_used,
            )
        )
    return Table(head, rows, texts=2)


def _person(detector: Detector, person: PersonExamination, device: Device) -> PersonView:
    examined = person.examination
    faces = {face.face_id: face for face in person.faces}
    within = [
        (pair, float(likelihood))
        for pair, likelihood in zip(_compared(person), examined.log_likelihood, strict=True)
        if all(name in faces for name in pair)
    ]
    ranked = sorted(within, key=lambda entry: entry[1])
    worst = ranked[:_PAIRS_SHOWN]
    return PersonView(
        title=_called(examined.score.track_id),
        sentence=f"{verdict_of(examined.score)}: {len(person.faces)} faces, {examined.score.pairs_used} pairs",
        timeline=inline(png(timeline_figure(_thumbnails(person.faces), [*_tracks(detector, person, within)]))),
        unnatural=[_pair(faces, *entry) for entry in worst],
        natural=[_pair(faces, *entry) for entry in ranked[::-1][:_NATURAL_SHOWN]],
        maps=[*_maps(detector, faces, ranked[:_MAPS_SHOWN], device)],
    )


def _compared(person: PersonExamination) -> Sequence[tuple[str, ...]]:
    """What each log-likelihood is of: a pair, or a single face."""
    return person.examination.pairs or [(name,) for name in person.examination.face_ids]


def _tracks(
    detector: Detector, person: PersonExamination, within: Sequence[tuple[tuple[str, ...], float]]
) -> Iterator[Track]:
    times = {face.face_id: face.time_s for face in person.faces}
    thresholds = {
        name: made.threshold for name, made in detector.calibrations.items() if name == detector.settings.verdict
    }
    if within:
        of_what = "pair" if person.examination.pairs else "face"
        points = sorted((times[names[0]], -likelihood) for names, likelihood in within)
        time_s, values = (np.array(column) for column in zip(*points, strict=True))
        label = f"Unnatural change: minus the log-likelihood of each {of_what}, at the time of its base face"
        yield Track(label, time_s, values, thresholds.get("differential"))
    probability = person.examination.fake_probability
    if probability is not None or not within:
        values = np.zeros(len(person.faces)) if probability is None else probability.astype(np.float64)
        time_s = np.array([times[name] for name in person.examination.face_ids])
        order = np.argsort(time_s)
        label = "The backbone's own fake probability of each face"
        yield Track(label, time_s[order], values[order], thresholds.get("fake_probability"), _PROBABILITY_AXIS)


def _thumbnails(faces: Sequence[FaceRecord]) -> list[tuple[float, RgbImage]]:
    return [(face.time_s, decode_crop(face.crop_jpeg, face.face_id)) for face in faces]


def _pair(faces: dict[str, FaceRecord], names: tuple[str, ...], likelihood: float) -> PairView:
    base, partner = faces[names[0]], faces[names[-1]]
    jpeg = inline(pair_picture(base.crop_jpeg, partner.crop_jpeg, _PAIR_SIDE_PX))
    times = " and ".join(f"{face.time_s:.2f} s" for face in ({base.face_id: base, partner.face_id: partner}).values())
    return PairView(jpeg, number(-likelihood), times)


def _maps(
    detector: Detector, faces: dict[str, FaceRecord], worst: Sequence[tuple[tuple[str, ...], float]], device: Device
) -> Iterator[PairView]:
    where = resolve_device(device)
    found = []
    for names, likelihood in worst:
        evidence = evidence_map(detector, [faces[name].crop_jpeg for name in names], where)
        # Blurring makes two faces more alike wherever it is done: what stands out from that is told.
        found.append((names, likelihood, evidence - np.median(evidence)))
    strongest = max((float(evidence.max()) for _, _, evidence in found), default=0.0)
    for names, likelihood, evidence in found:
        if strongest <= 0:
            continue
        pictures = [overlay(faces[name].crop_jpeg, evidence, _MAP_SIDE_PX, strongest) for name in names]
        times = " and ".join(f"{faces[name].time_s:.2f} s" for name in names)
        yield PairView(_jpeg(np.hstack(pictures)), number(-likelihood), times)


def _jpeg(rgb: RgbImage) -> str:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return inline(encoded.tobytes())


def _media(judged: Judgement) -> list[tuple[str, str]]:
    facts = [("File", judged.path), ("sha256", judged.sha256 or "–")]
    if judged.video is not None:
        video = judged.video
        facts.append(("Video", f"{video.width} × {video.height}, {video.codec}, {video.fps:.3g} frames/s"))
        facts.append(("Length", f"{video.duration_s:.1f} s, {video.frames} frames"))
    return [*facts, ("Frames looked at", f"{judged.frames_sampled}")]


def _model(detector: Detector, model: Path | str) -> list[tuple[str, str]]:
    made = detector.provenance
    config = made.get("config", {})
    facts = [("Model", str(model))]
    manifest = Path(str(model)) / MANIFEST
    if manifest.is_file():
        facts.append(("Digest of its manifest", hashlib.sha256(manifest.read_bytes()).hexdigest()))
    settings = detector.settings
    facts += [
        ("Experiment", str(config.get("name", "–"))),
        ("Learnt from", ", ".join(made.get("datasets", [])) or "–"),
        ("Backbone", detector.backbone.model_name),
        ("Density", str(config.get("density", {}).get("model", "–"))),
        ("Features", settings.features if settings.features == "embedding" else f"{settings.combination} difference"),
        ("Pairs", settings.pairs.relation),
        ("Made with", ", ".join(f"{name} {made[name]}" for name in _PACKAGES if name in made)),
    ]
    return facts


def _called(track_id: int | None) -> str:
    return "main person" if not track_id else f"person {track_id}"


def _short(path: str) -> str:
    return path.rsplit("/", 1)[-1] or path


def _file_name(judged: Judgement) -> str:
    """Readable, and different for files of one name."""
    safe = re.sub(r"[^\w.-]+", "_", _short(judged.path)).strip("._")
    short = safe.encode()[:_NAME_BYTES].decode(errors="ignore") or "video"
    return f"{short}-{hashlib.sha256(judged.path.encode()).hexdigest()[:8]}"
