"""What a training leaves on disk after each epoch, so that a killed process goes on where it was."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from difffake.backbone.checkpoints import save_weights
from difffake.backbone.learner import Learner
from difffake.backbone.tensor_files import read_tensors, write_tensors
from difffake.errors import ArtefactError, DivergedError

# Bump it when the names or the header of a training checkpoint change.
_CHECKPOINT_VERSION = 1
_KIND = "backbone_training"
_CHECKPOINTS_KEPT = 2

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training.

    Attributes:
        epoch: 1 for the first.
        train_loss: mean over the epoch's images, each at the weights before its step: cross-entropy, and the weighted
            loss of the boundary where it is looked for.
        train_accuracy: share of those images classified right.
        validation_auc: area under the ROC curve over the validation faces, fakes being positive.
        learning_rate: of the last step.
        seconds: wall time, with validation.
        skipped_pairs: faces on which no mask could be drawn.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_auc: float
    learning_rate: float
    seconds: float
    skipped_pairs: int


History = tuple[EpochRecord, ...]


def best_epochs(history: History, count: int) -> list[int]:
    """The epochs with the highest validation AUC, best first; of equals the later one, which has seen more."""
    ranked = sorted(history, key=lambda record: (record.validation_auc, record.epoch), reverse=True)
    return [record.epoch for record in ranked[:count]]


def diverged_marker(work_dir: Path) -> Path:
    """The file that says a training went wrong."""
    return work_dir / "diverged.json"


class TrainingFolder:
    """The two newest checkpoints and the best weights of one training.

    An epoch's weights are written before the checkpoint that counts them among the best, and outlive the next
    checkpoint: whichever checkpoint is read, the weights its history ranks best are there.

    Args:
        training_digest: of all that decides the outcome; a checkpoint under another digest is refused.
        keep_best: number of epochs whose weights are kept.
    """

    def __init__(self, work_dir: Path, training_digest: str, keep_best: int) -> None:
        self._work_dir = work_dir
        self._training_digest = training_digest
        self._keep_best = keep_best

    def store(self, learner: Learner, history: History) -> None:
        """Make the last epoch of `history` durable; a crash at any moment leaves the one before usable."""
        best = best_epochs(history, self._keep_best)
        if history[-1].epoch in best:
            with learner.average.applied():
                save_weights(learner.backbone, self.weights_path(history[-1].epoch))
        write_tensors(
            self._work_dir / f"checkpoint-{len(history):05d}.safetensors",
            learner.tensors(),
            self._header() | {"history": [asdict(record) for record in history]},
        )
        for old in self._checkpoints()[_CHECKPOINTS_KEPT:]:
            old.unlink()
        self._keep_weights({*best, *best_epochs(history[:-1], self._keep_best)})

    def resume(self, learner: Learner) -> History:
        """Load the newest usable checkpoint and return the epochs done; without one, change nothing and return none.

        A damaged checkpoint, or one whose best weights are gone or damaged, is passed over with a warning.

        Raises:
            ArtefactError: a checkpoint belongs to another training.
        """
        checkpoints = self._checkpoints()
        for path in checkpoints:
            try:
                tensors, header = read_tensors(path)
            except ArtefactError as error:
                _logger.warning("checkpoint passed over: %s", error)
                continue
            self._check_header(path, header)
            history = tuple(EpochRecord(**record) for record in header["history"])
            if self._has_best_weights(history):
                learner.load(tensors)
                _logger.info("training resumes after epoch %d, from %s", len(history), path)
                return history
        if checkpoints:
            _logger.warning("no usable checkpoint in %s: training starts again at epoch 1", self._work_dir)
        return ()

    def mark_diverged(self, error: DivergedError) -> DivergedError:
        """Note that the training went wrong; the same error, which says what was kept."""
        text = f"{error}. {self._kept()}"
        marker = diverged_marker(self._work_dir)
        partial = marker.with_suffix(".partial")
        partial.write_text(json.dumps({"training_digest": self._training_digest, "message": text}), encoding="utf-8")
        partial.replace(marker)
        return DivergedError(text)

    def require_not_diverged(self) -> None:
        """Check that going on from here has not gone wrong before.

        Raises:
            DivergedError: it has; going on would repeat it.
            ArtefactError: the note is of another training.
        """
        marker = diverged_marker(self._work_dir)
        if not marker.is_file():
            return
        noted = json.loads(marker.read_text(encoding="utf-8"))
        self._require_own(marker, noted.get("training_digest") == self._training_digest)
        raise DivergedError(
            f"this very training diverged before: {noted['message']} To begin it anew use `--force backbone`; to go on "
            f"from its checkpoint all the same delete {marker}"
        )

    def _kept(self) -> str:
        for path in self._checkpoints():
            try:
                _, header = read_tensors(path)
            except ArtefactError:
                continue
            history = tuple(EpochRecord(**record) for record in header["history"])
            best = best_epochs(history, 1)[0]
            return (
                f"The checkpoint of epoch {len(history)} is kept, and so are the best weights so far, of epoch {best} "
                f"with validation AUC {history[best - 1].validation_auc:.3f}: {self.weights_path(best)}. Another "
                "training can start from them (backbone.weights)."
            )
        return "No epoch was finished."

    def finish(self, history: History) -> tuple[Path, ...]:
        """Delete the weights of all but the best epochs; the paths of those, best first."""
        best = best_epochs(history, self._keep_best)
        self._keep_weights(set(best))
        return tuple(self.weights_path(epoch) for epoch in best)

    def weights_path(self, epoch: int) -> Path:
        """The weights after an epoch, if it is among the best."""
        return self._work_dir / f"weights-{epoch:05d}.safetensors"

    def _has_best_weights(self, history: History) -> bool:
        for epoch in best_epochs(history, self._keep_best):
            try:
                read_tensors(self.weights_path(epoch))
            except ArtefactError as error:
                _logger.warning("checkpoint of epoch %d passed over: %s", len(history), error)
                return False
        return True

    def _header(self) -> dict[str, Any]:
        return {"kind": _KIND, "version": _CHECKPOINT_VERSION, "training_digest": self._training_digest}

    def _check_header(self, path: Path, header: dict[str, Any]) -> None:
        self._require_own(path, all(header.get(key) == value for key, value in self._header().items()))

    def _require_own(self, path: Path, is_own: bool) -> None:
        if not is_own:
            raise ArtefactError(
                f"{path} was written by a training with other faces, parameters or code: "
                f"give this training a work_dir of its own, or delete {self._work_dir}"
            )

    def _checkpoints(self) -> list[Path]:
        """Newest first."""
        return sorted(self._work_dir.glob("checkpoint-*.safetensors"), reverse=True)

    def _keep_weights(self, epochs: set[int]) -> None:
        kept = {self.weights_path(epoch) for epoch in epochs}
        for path in self._work_dir.glob("weights-*.safetensors"):
            if path not in kept:
                path.unlink()
