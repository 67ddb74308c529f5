"""Recompressed training videos: which are encoded anew, by which codec and rate factor, and the faces cut from them.

Further variety of what the backbone learns from: most real footage is compressed more strongly than datasets are. Faces
are kept as any others, under the name of their extraction; a video that cannot be read is a row in `extraction_log`.
"""

import logging

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from difffake.config import Recompression
from difffake.faces.finder import build_face_finder
from difffake.perturbations.perturbation import Perturbation, reencoding
from difffake.randomness import derive_seed
from tasks.experiment import Experiment
from tasks.faces import ExtractionPlan, extraction_fingerprint, forget, plan_videos

logger = logging.getLogger("difffake.tasks.faces")


@task(name="plan-recompression", task_run_name="plan-recompression-{how.codec}-{how.crf}", cache_policy=NO_CACHE)
def plan_recompression(experiment: Experiment, how: Recompression) -> ExtractionPlan:
    """List the training videos that are to be encoded in this way and have no outcome under it yet."""
    videos = _videos_at(experiment, how)
    if "faces" in experiment.force:
        forget(experiment, _name(experiment, how), videos["sha256"].to_pylist())
    return plan_videos(experiment, _name(experiment, how), videos, _perturbation(how))


def recompressed_faces(experiment: Experiment) -> pa.Table:
    """The usable faces of recompressed training videos, in the columns of `Experiment.usable_faces`."""
    parts, ways = [], experiment.config.data.recompressed
    for how in ways:
        usable = experiment.usable_faces(_name(experiment, how))
        contents = pc.unique(_videos_at(experiment, how)["sha256"])
        is_wanted = pc.and_(pc.equal(usable["role"], "train"), pc.is_in(usable["video_sha256"], contents))
        parts.append(usable.filter(is_wanted))
    faces = pa.concat_tables(parts)
    wanted = sum(pc.count_distinct(_videos_at(experiment, how)["sha256"]).as_py() for how in ways)
    seen = pc.count_distinct(faces["video_sha256"]).as_py()
    logger.info("%-12s %d faces of %d of %d recompressed videos", "faces", faces.num_rows, seen, wanted)
    return faces


def _name(experiment: Experiment, how: Recompression) -> str:
    config = experiment.config.faces
    return extraction_fingerprint(config, build_face_finder(config), _perturbation(how))


def _videos_at(experiment: Experiment, how: Recompression) -> pa.Table:
    """The training videos whose turn this way is, by a digest of their content; photos are none."""
    roles = experiment.roles()
    ways = experiment.config.data.recompressed
    turns = [ways[derive_seed(0, "recompression", content) % len(ways)] for content in roles["sha256"].to_pylist()]
    is_train = pc.and_(pc.equal(roles["role"], "train"), pc.equal(roles["media"], "video"))
    return roles.filter(pc.and_(is_train, pa.array([turn == how for turn in turns], pa.bool_())))


def _perturbation(how: Recompression) -> Perturbation:
    return Perturbation(reencoding(how.codec), how.crf)
