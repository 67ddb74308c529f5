"""The one scoring path: evaluation, command line and MLflow all score through `Detector`.

A detector is a folder that holds everything needed to score: how faces are cut, the network, how embeddings are
combined, the density, the fusion, the calibrations, and where all of it came from. Scores are higher for more anomalous
videos.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from difffake.backbone.checkpoints import load_weights
from difffake.backbone.device import crops_at_once, resolve_device
from difffake.backbone.embed import Embeddings as EmbeddedCrops
from difffake.backbone.embed import embed_crops
from difffake.backbone.embedder import Backbone
from difffake.cautions import calibration_cautions, recording_cautions, reference_cautions
from difffake.config import Combination, FacesConfig, Features, PairsConfig, ScoreName
from difffake.differential.calibration import Calibration
from difffake.differential.combination import differences, single
from difffake.differential.conditions import Conditions
from difffake.differential.density import DensityModel, load_density
from difffake.differential.fusion import Fusion, mean_log_odds
from difffake.differential.pairs import draw_pairs, draw_pairs_across
from difffake.differential.scoring import video_score
from difffake.errors import ArtefactError, DataError, InputLimitError
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import FaceFinder, build_face_finder
from difffake.faces.identity import Distances, FaceRecogniser, measure_distances
from difffake.faces.records import Extraction, FaceRecord
from difffake.judgement import Judgement, Person, PersonExamination, ReferenceComparison, VideoExamination
from difffake.limits import InputLimits
from difffake.locations import MANIFEST, detector_folder
from difffake.media import PHOTO_SUFFIXES, Media
from difffake.memory import release_memory
from difffake.references import References, rank_among_files, read_references
from difffake.scores import SCORE_NAMES, STATUS_WITHOUT_FACES, Examination, VideoScore, most_anomalous

STAGE_VERSION = 3
FORMAT_VERSION = 2
WEIGHTS = "backbone.safetensors"
DENSITY = "density.skops"
FUSION = "fusion.json"
CALIBRATION = "calibration.json"
CONDITIONS = "conditions.json"
DEFAULT_LIMITS = InputLimits()
_REFERENCES_KEPT = 64

Device = Literal["auto", "cpu", "cuda"]
Embeddings = npt.NDArray[np.float32]

logger = logging.getLogger(__name__)


class Settings(BaseModel):
    """How a detector cuts faces, draws pairs and combines embeddings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    faces: FacesConfig
    pairs: PairsConfig
    features: Features = "difference"
    combination: Combination
    l2_normalise: bool
    verdict: ScoreName = "differential"
    seed: int
    extraction: str
    face_models: dict[str, str]

    @property
    def compares_videos(self) -> bool:
        """Whether a video is judged by its differences from other videos of the same person."""
        return self.features == "difference" and self.pairs.is_across_videos


class Detector:
    """Scores videos.

    Args:
        settings: how faces become pairs and pairs become vectors.
        backbone: the trained network.
        density: the fitted density of real pairs.
        fusion: weighs differential score and fake probability; None: there is no fused score.
        calibrations: scores of held-out real videos, by name; without the verdict's the detector is not calibrated.
        provenance: JSON facts on configuration, data and code it was made from.
        conditions: under which the calibration videos were recorded.
    """

    def __init__(
        self,
        settings: Settings,
        backbone: Backbone,
        density: DensityModel,
        fusion: Fusion | None = None,
        calibrations: Mapping[ScoreName, Calibration] | None = None,
        provenance: Mapping[str, Any] | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        if settings.verdict == "fusion" and fusion is None:
            raise ArtefactError("the settings decide by the fused score, and no fusion was given")
        self.settings = settings
        self.backbone = backbone
        self.density = density
        self.fusion = fusion
        self.calibrations = dict(calibrations or {})
        self.provenance = dict(provenance or {})
        self.conditions = conditions
        # Threads share it: a network that is evaluating already is never switched.
        self.backbone.eval()
        # The runtime of the face models serves one thread.
        self._of_thread = threading.local()

    @property
    def calibration(self) -> Calibration | None:
        """That of the score which decides."""
        return self.calibrations.get(self.settings.verdict)

    @classmethod
    def load(cls, place: Path | str, detector_weights: Path | None = None) -> Self:
        """Read a detector; runs no code of its files.

        Args:
            place: a folder that `save` wrote, the folder of a registered model, or a URI: models:/difffake@champion.
            detector_weights: RetinaFace weights file, for a detector made with RetinaFace; its release otherwise.

        Raises:
            ArtefactError: a file is missing, altered or of another version.
        """
        folder = detector_folder(place)
        manifest = _read_manifest(folder)
        for name, digest in manifest["files"].items():
            if _digest(folder / name) != digest:
                raise ArtefactError(f"{folder / name} is not the file the detector was saved with; fetch it again")
        try:
            settings = Settings.model_validate(manifest["settings"])
        except ValidationError as error:
            raise ArtefactError(f"{folder / MANIFEST} holds settings this version cannot use: {error}") from error
        faces = settings.faces.model_copy(update={"detector_weights": detector_weights})
        return cls(
            settings.model_copy(update={"faces": faces}),
            load_weights(folder / WEIGHTS),
            load_density(folder / DENSITY),
            Fusion.from_json((folder / FUSION).read_text(encoding="utf-8")) if FUSION in manifest["files"] else None,
            _read_calibrations(folder / CALIBRATION),
            manifest["provenance"],
            Conditions.from_json((folder / CONDITIONS).read_text("utf-8")) if CONDITIONS in manifest["files"] else None,
        )

    def save(self, folder: Path, weights: Path, density: Path) -> None:
        """Write the detector into an existing folder; weights and density are copied from their files.

        Raises:
            ArtefactError: the detector is not calibrated.
        """
        if self.calibration is None:
            raise ArtefactError("a detector is saved after calibration, not before")
        (folder / WEIGHTS).write_bytes(weights.read_bytes())
        (folder / DENSITY).write_bytes(density.read_bytes())
        calibrations = {name: json.loads(made.to_json()) for name, made in sorted(self.calibrations.items())}
        (folder / CALIBRATION).write_text(json.dumps(calibrations, indent=2), encoding="utf-8")
        files = [WEIGHTS, DENSITY, CALIBRATION]
        if self.fusion is not None:
            (folder / FUSION).write_text(self.fusion.to_json(), encoding="utf-8")
            files.append(FUSION)
        if self.conditions is not None:
            (folder / CONDITIONS).write_text(self.conditions.to_json(), encoding="utf-8")
            files.append(CONDITIONS)
        manifest = {
            "version": FORMAT_VERSION,
            "settings": self.settings.model_dump(mode="json", exclude={"faces": {"detector_weights"}}),
            "provenance": self.provenance,
            "files": {name: _digest(folder / name) for name in files},
        }
        text = json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False)
        (folder / MANIFEST).write_text(text, encoding="utf-8")

    def score(
        self,
        path: Path | str,
        device: Device = "auto",
        references: Sequence[Path | str] | Path | str = (),
        limits: InputLimits = DEFAULT_LIMITS,
    ) -> Judgement:
        """Judge everybody in a video file; one that cannot be judged gives a status and a reason.

        May be called from several threads at once.

        Args:
            path: the video. A photo holds no change, and is judged only where faces are judged singly or compared with
                references.
            device: where the network runs.
            references: videos or photos that surely show the main person, unmanipulated. A detector that was calibrated
                for references judges by them, and abstains without a usable one; only the main person is judged.
                Any other judges the video by its own faces and adds a comparison with the references.
            limits: beyond them a file is refused, in words.

        Raises:
            DataError: references were given to a detector that judges faces singly.
        """
        return self.examine(path, device, references, limits).judgement

    def score_many(
        self, paths: Iterable[Path | str], device: Device = "auto", limits: InputLimits = DEFAULT_LIMITS
    ) -> Iterator[Judgement]:
        """Judge file after file, each as soon as it is asked for; memory stays flat over any number of them."""
        for path in paths:
            yield self.score(path, device, (), limits)
            release_memory()

    def examine(
        self,
        path: Path | str,
        device: Device = "auto",
        references: Sequence[Path | str] | Path | str = (),
        limits: InputLimits = DEFAULT_LIMITS,
        on_frame: Callable[[int, int], None] | None = None,
    ) -> VideoExamination:
        """As `score`, with the faces, embeddings and pairs behind the judgement.

        `on_frame` is called with the frames read and the frames in all.
        """
        paths = [references] if isinstance(references, str | Path) else list(references)
        if paths and self.settings.features == "embedding":
            raise DataError(
                f"{len(paths)} references were given, but this detector judges every face singly, not by its "
                "differences from others: score without references, or train with density.features difference"
            )
        place, where = Path(path), resolve_device(device)
        content, outcome = self._extract(place, limits, on_frame)
        found = References({}, ())
        if paths and outcome.status == "ok":
            found = read_references(
                [Path(one) for one in paths], content, lambda other: self._extract_reference(other, limits)
            )
            for sentence in found.refused:
                logger.warning("%s", sentence)
        people = self._examine_people(outcome, where, found.faces)
        scored = self._outcome(outcome, people)
        if self.settings.compares_videos and scored.status == "abstained" and found.refused:
            scored = replace(scored, reason="; ".join((scored.reason, *found.refused)))
        apart = self._distances(people, found)
        comparison = None
        if people and found.faces and not self.settings.compares_videos:
            # Of several people the one the references look most like.
            person = people[0] if apart is None else min(people, key=lambda one: apart[_track(one)].mean)
            comparison = self._compare(person, content, found.faces, where)
            comparison = replace(comparison, distance=None if apart is None else apart[comparison.person].largest)
        cautions: list[str] = []
        if scored.status == "scored":
            cautions += recording_cautions(place, outcome, scored.track_id or 0, self.conditions)
            cautions += calibration_cautions(self.calibration)
        if people:
            nearness = None if apart is None else apart[comparison.person if comparison else 0]
            cautions += reference_cautions(found, comparison, nearness)
        judgement = Judgement(
            path=str(path),
            outcome=scored,
            score_name=self.settings.verdict,
            people=_persons(outcome, people, self.settings.compares_videos),
            false_positive_rate=None if self.calibration is None else self.calibration.stated_false_positive_rate,
            sha256=content,
            video=outcome.video,
            frames_sampled=outcome.frames_sampled,
            comparison=comparison,
            cautions=tuple(cautions),
        )
        return VideoExamination(judgement, people)

    def score_extraction(
        self, outcome: Extraction, device: torch.device, references: Mapping[str, Sequence[FaceRecord]] | None = None
    ) -> VideoScore:
        """Score the people of an extraction: the main one, and whoever else is seen in enough of the frames.

        Args:
            outcome: the faces.
            device: where the network runs.
            references: for a detector that compares videos: by content, faces of the main person in other videos.
        """
        return self._outcome(outcome, self._examine_people(outcome, device, references or {}))

    def _extract(
        self, path: Path, limits: InputLimits, on_frame: Callable[[int, int], None] | None = None
    ) -> tuple[str, Extraction]:
        """The sha256 of a file, empty where there is none or it is too large, and its faces."""
        finder = getattr(self._of_thread, "finder", None)
        if finder is None:
            finder = self._of_thread.finder = self._build_finder()
        try:
            limits.check_file(path)
        except InputLimitError as error:
            return "", Extraction("refused", str(error), frames_sampled=0)
        try:
            content = _digest_file(path) if path.is_file() else ""
        except OSError as error:
            return "", Extraction("unreadable", str(error.strerror or error), frames_sampled=0)
        media: Media = "photo" if path.suffix.lower() in PHOTO_SUFFIXES else "video"
        settings = self.settings
        return content, extract_faces(
            path, content, settings.extraction, settings.faces, finder, media, limits=limits, on_frame=on_frame
        )

    def _extract_reference(self, path: Path, limits: InputLimits) -> tuple[str, Extraction]:
        """As `_extract`; a file that is a reference again and again is read once."""
        try:
            stat = path.stat()
        except OSError:
            return self._extract(path, limits)
        known: dict[tuple[Any, ...], tuple[str, Extraction]] = self._of_thread.__dict__.setdefault("known", {})
        key = (str(path), stat.st_size, stat.st_mtime_ns, limits)
        if key not in known:
            while len(known) >= _REFERENCES_KEPT:
                del known[next(iter(known))]
            known[key] = self._extract(path, limits)
        return known[key]

    def _build_finder(self) -> FaceFinder:
        finder = build_face_finder(self.settings.faces)
        if finder.fingerprint_parts() != self.settings.face_models:
            raise ArtefactError(
                f"the face models here are {finder.fingerprint_parts()}, but the detector was made with "
                f"{self.settings.face_models}: load it with the same RetinaFace weights (detector_weights=…)"
            )
        return finder

    def _outcome(self, outcome: Extraction, people: Sequence[PersonExamination]) -> VideoScore:
        if outcome.status != "ok":
            return VideoScore(STATUS_WITHOUT_FACES[outcome.status], f"{outcome.status}: {outcome.reason}")
        return most_anomalous([person.examination.score for person in people])

    def _examine_people(
        self, outcome: Extraction, device: torch.device, references: Mapping[str, Sequence[FaceRecord]]
    ) -> tuple[PersonExamination, ...]:
        if outcome.status != "ok":
            return ()
        if self.settings.compares_videos:
            return (self._examine_against([face for face in outcome.faces if face.track_id == 0], device, references),)
        people = []
        for track_id, faces in judged_tracks(outcome, self.settings.faces, self.settings.pairs).items():
            embedded = self._embed(faces, device)
            names = [face.face_id for face in faces]
            examined = self.examine_faces(names, embedded.features, embedded.fake_probability)
            examined = replace(examined, score=replace(examined.score, track_id=track_id))
            people.append(PersonExamination(examined, faces, embedded.features))
        return tuple(people)

    def _examine_against(
        self, faces: Sequence[FaceRecord], device: torch.device, references: Mapping[str, Sequence[FaceRecord]]
    ) -> PersonExamination:
        settings, names = self.settings, [face.face_id for face in faces]
        others = {content: [face.face_id for face in members] for content, members in references.items()}
        pairs = draw_pairs_across(names, others, settings.pairs, settings.seed)
        drawn = {partner for _, partner in pairs}
        # In one order, whatever that of the files is: what is embedded together differs in rounding.
        partners = [face for _, members in sorted(references.items()) for face in members if face.face_id in drawn]
        embedded, compared = self._embed(faces, device), self._embed(partners, device)
        known = [face.face_id for face in partners], compared.features
        examined = self.examine_faces(names, embedded.features, embedded.fake_probability, pairs, known)
        examined = replace(examined, score=replace(examined.score, track_id=0))
        return PersonExamination(examined, faces, embedded.features)

    def _compare(
        self,
        judged: PersonExamination,
        judged_content: str,
        references: Mapping[str, Sequence[FaceRecord]],
        device: torch.device,
    ) -> ReferenceComparison:
        """The judged person against the references; see `rank_among_files`."""
        names: dict[str, list[str]] = {judged_content: list(judged.examination.face_ids)}
        features = {judged_content: judged.features}
        for content, faces in references.items():
            names[content] = [face.face_id for face in faces]
            features[content] = self._embed(faces, device).features
        everyone = [name for members in names.values() for name in members]
        stacked = np.vstack([features[content] for content in names])
        settings = self.settings
        rank = rank_among_files(
            names,
            judged_content,
            settings.pairs,
            settings.seed,
            lambda pairs: self.log_likelihood(everyone, stacked, pairs),
        )
        return ReferenceComparison(rank.score, rank.p_value, len(references), rank.pairs, _track(judged))

    def _embed(self, faces: Sequence[FaceRecord], device: torch.device) -> EmbeddedCrops:
        at_once = crops_at_once(device, self.backbone.preprocessing.input_size_px)
        return embed_crops(self.backbone, [face.crop_jpeg for face in faces], at_once, device)

    def _distances(self, people: Sequence[PersonExamination], found: References) -> dict[int, Distances] | None:
        """How far each judged person is from each reference; None without references or a recogniser."""
        if not people or not found.faces:
            return None
        if not hasattr(self._of_thread, "recogniser"):
            self._of_thread.recogniser = FaceRecogniser.find()
        if self._of_thread.recogniser is None:
            return None
        faces = {_track(person): person.faces for person in people}
        return measure_distances(self._of_thread.recogniser, faces, found.faces)

    def score_faces(
        self,
        face_ids: Sequence[str],
        features: Embeddings,
        fake_probability: npt.NDArray[np.float32] | None,
        pairs: Sequence[tuple[str, str]] | None = None,
        partners: tuple[Sequence[str], Embeddings] | None = None,
    ) -> VideoScore:
        """Score the faces of one person in one video; see `examine_faces`."""
        return self.examine_faces(face_ids, features, fake_probability, pairs, partners).score

    def examine_faces(
        self,
        face_ids: Sequence[str],
        features: Embeddings,
        fake_probability: npt.NDArray[np.float32] | None,
        pairs: Sequence[tuple[str, str]] | None = None,
        partners: tuple[Sequence[str], Embeddings] | None = None,
    ) -> Examination:
        """Score the faces of one person in one video, and tell from which pairs and faces.

        Args:
            face_ids: N names.
            features: (N, D) float32 embeddings.
            fake_probability: (N,) float32; None: the backbone was not trained.
            pairs: (base, partner) names; drawn by the detector's own rule unless given. Of no effect where faces are
                judged singly.
            partners: M names and (M, D) embeddings of partners in other videos.
        """
        if self.settings.features == "embedding":
            likelihoods = self.density.log_likelihood(single(features, self.settings.l2_normalise))
            return self._judge((), likelihoods, face_ids, fake_probability)
        if pairs is None:
            is_within = not self.settings.compares_videos
            pairs = draw_pairs(face_ids, self.settings.pairs, self.settings.seed) if is_within else []
        if not pairs:
            nothing = VideoScore("abstained", self._no_pair(len(face_ids)), faces_used=len(face_ids))
            return Examination(nothing, (), np.empty(0), face_ids, fake_probability)
        if partners is not None:
            likelihoods = self.log_likelihood([*face_ids, *partners[0]], np.vstack([features, partners[1]]), pairs)
        else:
            likelihoods = self.log_likelihood(face_ids, features, pairs)
        return self._judge(pairs, likelihoods, face_ids, fake_probability)

    def _no_pair(self, face_count: int) -> str:
        if self.settings.compares_videos:
            return f"no other real video of this person to compare {face_count} faces with: give some as references"
        return f"{face_count} faces give no pair to compare"

    def _judge(
        self,
        pairs: Sequence[tuple[str, str]],
        likelihoods: npt.NDArray[np.float64],
        face_ids: Sequence[str],
        fake_probability: npt.NDArray[np.float32] | None,
    ) -> Examination:
        differential = video_score(likelihoods)
        scored = VideoScore(
            status="scored",
            differential=differential,
            fake_probability=None if fake_probability is None else float(np.mean(fake_probability, dtype=np.float64)),
            fusion=self._fused(differential, fake_probability),
            faces_used=len(face_ids),
            pairs_used=len(pairs),
        )
        return Examination(self._decided(scored), pairs, likelihoods, face_ids, fake_probability)

    def _fused(self, differential: float, fake_probability: npt.NDArray[np.float32] | None) -> float | None:
        if self.fusion is None or fake_probability is None:
            return None
        return self.fusion.score(differential, mean_log_odds(fake_probability))

    def _decided(self, scored: VideoScore) -> VideoScore:
        score = scored.value_of(self.settings.verdict)
        if score is None or self.calibration is None:
            return replace(scored, score=score)
        return replace(
            scored,
            score=score,
            p_value=self.calibration.p_value(score),
            is_anomalous=self.calibration.is_anomalous(score),
        )

    def log_likelihood(
        self, face_ids: Sequence[str], features: Embeddings, pairs: Sequence[tuple[str, str]]
    ) -> npt.NDArray[np.float64]:
        """The (P,) log-likelihoods of the given pairs of faces; see `DensityModel.log_likelihood`."""
        vectors = differences(face_ids, features, pairs, self.settings.combination, self.settings.l2_normalise)
        return self.density.log_likelihood(vectors)


def _persons(outcome: Extraction, people: Sequence[PersonExamination], compares_videos: bool) -> tuple[Person, ...]:
    """Everybody who was tracked; those who were not judged say why."""
    if outcome.status != "ok":
        return ()
    scores = {person.examination.score.track_id: person.examination.score for person in people}
    tracks: dict[int, list[FaceRecord]] = {}
    for face in outcome.faces:
        tracks.setdefault(face.track_id, []).append(face)
    persons = []
    for track_id, faces in sorted(tracks.items()):
        share = faces[0].track_share
        passing = f"seen in {len(faces)} frames, {share:.0%} of those looked at: too few to be judged"
        if compares_videos:
            passing = "only the main person is compared with references"
        score = scores.get(track_id, VideoScore("abstained", passing, track_id=track_id, faces_used=len(faces)))
        persons.append(Person(score, faces[0].time_s, faces[-1].time_s, share))
    return tuple(persons)


def _track(person: PersonExamination) -> int:
    return person.examination.score.track_id or 0


def judged_tracks(outcome: Extraction, faces: FacesConfig, pairs: PairsConfig) -> dict[int, list[FaceRecord]]:
    """The faces of every person who is judged, by track; equals the rule of `usable_faces.sql`."""
    tracks: dict[int, list[FaceRecord]] = {}
    for face in outcome.faces:
        tracks.setdefault(face.track_id, []).append(face)
    return {
        track_id: members
        for track_id, members in sorted(tracks.items())
        if track_id == 0 or (len(members) >= faces.min_faces and members[0].track_share >= pairs.min_track_share)
    }


def _read_calibrations(path: Path) -> dict[ScoreName, Calibration]:
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: Calibration.from_json(json.dumps(found[name])) for name in SCORE_NAMES if name in found}


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{folder} is not a detector folder: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("version") != FORMAT_VERSION:
        raise ArtefactError(f"{path} is not of version {FORMAT_VERSION}; train again, or use the version that wrote it")
    if missing := {"files", "settings", "provenance"} - manifest.keys():
        raise ArtefactError(f"{path} lacks {', '.join(sorted(missing))}: it is cut or was not written by difffake")
    return manifest


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path) -> str:
    try:
        return _digest_file(path)
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error}") from error
