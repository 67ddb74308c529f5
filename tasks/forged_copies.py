"""Forged copies: real videos in, embeddings of their pseudo-fake copies out.

They depend on the backbone and on how forgeries are drawn, not on pairs or the density, and are kept as an artefact of
their own: an ablation of densities embeds them once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data_catalog.artefacts import Artefact
from data_catalog.faces import EmbeddedFaces, read_face_set
from data_catalog.fingerprints import digest_names, fingerprint
from difffake.backbone.checkpoints import load_weights
from difffake.backbone.device import resolve_device
from difffake.backbone.embed import embed_images
from difffake.backbone.embedder import Backbone
from difffake.backbone.images import resize_to_input
from difffake.config import ExperimentConfig
from difffake.differential.pairs import draw_pairs
from difffake.errors import ArtefactError, DataError, DegenerateMaskError
from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceSet, RgbImage
from difffake.pseudofakes import forged_video
from difffake.pseudofakes.donors import DonorPool
from difffake.pseudofakes.forged_video import DonorVideo, forge_video
from difffake.pseudofakes.recipe import STAGE_VERSION as PSEUDO_FAKES_VERSION
from difffake.randomness import derive_rng
from tasks.backbone import weights_path
from tasks.experiment import Experiment, StageRecord, progress, values_of
from tasks.gpu import gpu_slot
from tasks.vectors import Groups, group

ARTEFACT = "forged_copies"

Person = tuple[str, int]
Members = list[tuple[str, ...]]
Copies = dict[Person, list[EmbeddedFaces]]

_FILE = "embeddings.parquet"
_PEOPLE_AT_ONCE = 50
_STREAM = "fusion"
"""Names the random numbers of the copies."""


def embed_copies(experiment: Experiment, backbone: StageRecord, faces: pa.Table, *, is_forced: bool) -> Copies:
    """Embeddings of the copies of each person (video_key, track_id), kept ones if there are any.

    They are kept some people at a time, so that a killed run goes on where it was.

    Args:
        experiment: says how many copies there are and how they are drawn.
        backbone: a trained one.
        faces: usable faces of real videos, in the order of their frames.
        is_forced: make them again.
    """
    config, store = experiment.config, experiment.home.artefacts
    everyone = {
        person: evenly(members, config.fusion.faces_per_copy)
        for person, members in group(faces, "face_id", "video_sha256").items()
    }
    maker = _Maker(experiment, backbone, everyone)
    copies: Copies = {}
    with progress(ARTEFACT, "people") as report:
        for people in _batched(everyone, _PEOPLE_AT_ONCE):
            name = _name(experiment, backbone, {person: everyone[person] for person in people}, everyone)
            found = None if is_forced else store.find(ARTEFACT, name)
            copies |= _read(found or maker.make(name, people))
            report(len(copies), len(everyone))
    return copies


def _batched(people: Iterable[Person], count: int) -> Iterator[list[Person]]:
    rest = iter(people)
    while some := list(islice(rest, count)):
        yield some


def copy_settings(config: ExperimentConfig) -> list[Any]:
    """How copies are made, beside their pseudo-fakes: a part of the fingerprint of whatever is learnt from them."""
    fusion = config.fusion
    # What is as it always was adds nothing: copies from before there was a choice keep their names.
    others = [] if fusion.drifts == ("jitter",) else [list(fusion.drifts)]
    return [
        fusion.copies_per_video,
        fusion.jitter,
        *others,
        *([fusion.faces_per_copy] if fusion.faces_per_copy else []),
    ]


def evenly(members: Members, most: int | None) -> Members:
    """At most so many of them, evenly spread, the first among them."""
    if most is None or len(members) <= most:
        return members
    return [members[number * len(members) // most] for number in range(most)]


def _name(experiment: Experiment, backbone: StageRecord, people: Groups, everyone: Groups) -> str:
    config = experiment.config
    inputs = {
        "backbone": backbone.digest,
        "faces": _digest(people),
        "pseudo_fakes": config.pseudo_fakes.effective(),
        "copies": copy_settings(config),
        "seed": config.seed,
    }
    if config.pseudo_fakes.needs_donors:
        inputs["donors"] = _digest(everyone)
    return fingerprint(ARTEFACT, (forged_video.STAGE_VERSION, PSEUDO_FAKES_VERSION), None, inputs)


def _digest(people: Groups) -> str:
    return digest_names(
        f"{video_key} {track_id} {face_id}"
        for (video_key, track_id), members in people.items()
        for face_id, _ in members
    )


class _Maker:
    """Makes copies; network and donors are loaded when the first ones are made."""

    def __init__(self, experiment: Experiment, backbone: StageRecord, everyone: Groups) -> None:
        self._experiment = experiment
        self._backbone = backbone
        self._everyone = everyone

    @cached_property
    def _network(self) -> Backbone:
        network = load_weights(weights_path(self._experiment, self._backbone))
        return network.to(resolve_device(self._experiment.config.backbone.device))

    @cached_property
    def _donors(self) -> "_Donors | None":
        wants = self._experiment.config.pseudo_fakes.needs_donors
        return _Donors(self._experiment, self._everyone) if wants else None

    def make(self, name: str, people: Sequence[Person]) -> Artefact:
        """Copies of some people, as an artefact."""
        tables: list[pa.Table] = []
        with gpu_slot(self._network.device):
            for person in people:
                made = enumerate(_copies(self._experiment, person, self._everyone[person], self._donors))
                tables += [_table(person, copy, self._network, images) for copy, images in made]
        store = self._experiment.home.artefacts
        with store.staging(ARTEFACT, name) as folder:
            pq.write_table(pa.concat_tables(tables) if tables else pa.table({}), folder / _FILE)
            return store.publish(folder, ARTEFACT, name, {"copies": len(tables), "people": len(people)})


def _copies(
    experiment: Experiment, person: Person, members: Members, donors: "_Donors | None"
) -> Iterator[Mapping[str, RgbImage]]:
    """Pseudo-fake copies of one person's faces, by name; those without a usable mask are left out."""
    config = experiment.config
    faces = _read_person(experiment, person, members)
    names, content = faces.face_ids, members[0][1]
    crops = [decode_crop(jpeg, name) for jpeg, name in zip(faces.crops_jpeg, names, strict=True)]
    for copy in range(config.fusion.copies_per_video):
        rng = derive_rng(config.seed, _STREAM, content, copy)
        donor = (
            None if donors is None else donors.choose(person, derive_rng(config.seed, _STREAM, content, copy, "donor"))
        )
        drift = config.fusion.drifts[copy % len(config.fusion.drifts)]
        try:
            forged = forge_video(
                crops, faces.landmarks_crop_px, config.pseudo_fakes, config.fusion.jitter, rng, drift, donor
            )
        except DegenerateMaskError:
            continue
        yield {name: image for name, image in zip(names, forged, strict=True) if image is not None}


def _read_person(experiment: Experiment, person: Person, members: Members) -> FaceSet:
    names, contents = zip(*members, strict=True)
    columns = {"face_id": names, "video_key": [person[0]] * len(names), "video_sha256": contents}
    return read_face_set(experiment.lake, pa.table(columns))


class _Donors:
    """Whose faces are blended into whose copies: somebody of another video, whose first face lies near."""

    def __init__(self, experiment: Experiment, people: Groups) -> None:
        self._experiment = experiment
        self._people = people
        self._chosen = list(people)
        self._row = {person: row for row, person in enumerate(people)}
        first = [members[0] for members in people.values()]
        columns = {
            "face_id": [name for name, _ in first],
            "video_key": [video_key for video_key, _ in people],
            "video_sha256": [content for _, content in first],
        }
        faces = read_face_set(experiment.lake, pa.table(columns))
        if experiment.config.pseudo_fakes.wants_other_faces_alone and len(set(faces.video_keys)) < 2:
            raise DataError(
                "pseudo_fakes.families wants other faces alone, and the videos to be copied are one: give more "
                "validation videos, or another family some weight"
            )
        self._pool = DonorPool(faces.landmarks_crop_px, faces.video_keys)

    def choose(self, person: Person, rng: np.random.Generator) -> DonorVideo | None:
        """The donor of a person's copy; None: there is no other video."""
        row = self._pool.choose(self._row[person], rng)
        if row is None:
            return None
        chosen = self._chosen[row]
        members = self._people[chosen]
        # Read where the forgery is of that family alone: most are not.
        return DonorVideo(members[0][0], lambda: _read_person(self._experiment, chosen, members))


def _table(person: Person, copy: int, network: Backbone, images: Mapping[str, RgbImage]) -> pa.Table:
    size_px = network.preprocessing.input_size_px
    embedded = embed_images(network, np.stack([resize_to_input(image, size_px) for image in images.values()]))
    if embedded.fake_probability is None:
        raise ArtefactError("an untrained backbone gives no fake probability, so there is nothing to fuse")
    features = pa.array(embedded.features.astype(np.float32).ravel())
    return pa.table(
        {
            "video_key": [person[0]] * len(images),
            "track_id": pa.array([person[1]] * len(images), pa.int32()),
            "copy": pa.array([copy] * len(images), pa.int32()),
            "face_id": list(images),
            "features": pa.FixedSizeListArray.from_arrays(features, embedded.features.shape[1]),
            "fake_probability": pa.array(embedded.fake_probability, pa.float32()),
        }
    ).sort_by("face_id")


def _read(artefact: Artefact) -> Copies:
    table = pq.read_table(artefact.path(_FILE))
    copies: Copies = {}
    if table.num_rows == 0:
        return copies
    features = _matrix(table["features"])
    probability = table["fake_probability"].to_numpy()
    names = np.array(table["face_id"].to_pylist())
    owners = list(zip(*(table[column].to_pylist() for column in ("video_key", "track_id", "copy")), strict=True))
    starts = [row for row, owner in enumerate(owners) if row == 0 or owner != owners[row - 1]]
    for start, end in zip(starts, [*starts[1:], len(owners)], strict=True):
        video_key, track_id, _ = owners[start]
        rows = slice(start, end)
        copies.setdefault((video_key, track_id), []).append(
            EmbeddedFaces(names[rows], features[rows], probability[rows])
        )
    return copies


def _matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    values = column.combine_chunks()
    return values.flatten().to_numpy().reshape(len(values), -1)


def compared(
    experiment: Experiment,
    copy: EmbeddedFaces,
    own: Sequence[str],
    known: EmbeddedFaces,
    pairs: Sequence[tuple[str, str]],
) -> tuple[EmbeddedFaces, list[tuple[str, str]]]:
    """The forged faces, and the real ones of other videos they are compared with, sorted by name; and their pairs.

    Within a video a copy is paired as a video of its own by the same rule, so that its pairs lie as far apart in time
    as those of a real video. Across videos its pairs are those of the faces it has.

    Args:
        experiment: says how faces are paired.
        copy: of one person.
        own: the person's faces in the order of their frames.
        known: faces of other videos, where they are partners.
        pairs: of the person's real faces.
    """
    if not experiment.config.pairs.is_across_videos:
        return copy, pairs_of_copy(experiment.config, copy, own)
    others = known.of({partner for _, partner in pairs} - set(own))
    names = np.concatenate([copy.face_ids, others.face_ids])
    order = np.argsort(names)
    joined = EmbeddedFaces(
        names[order],
        np.concatenate([copy.features, others.features])[order],
        np.concatenate([copy.fake_probability, others.fake_probability])[order],
    )
    everything = set(names.tolist())
    return joined, [pair for pair in pairs if everything.issuperset(pair)]


def pairs_of_copy(config: ExperimentConfig, copy: EmbeddedFaces, own: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs within a copy, drawn by the rule of the experiment from the faces it has; `own` as in `compared`."""
    available = set(copy.face_ids.tolist())
    return draw_pairs([name for name in own if name in available], config.pairs, config.seed)


def with_pairs(faces: pa.Table, pairs: pa.Table) -> pa.Table:
    """The faces of people who have a pair; forged copies of others would be compared with nothing."""
    paired = set(values_of(pairs, "video_key", "track_id"))
    return faces.filter(
        pa.array([person in paired for person in values_of(faces, "video_key", "track_id")], pa.bool_())
    )
