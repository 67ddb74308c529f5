"""The errors this package raises: each says what was seen, what was expected and what to do."""


class DiffFakeError(Exception):
    """Base of every error a user of the library may want to catch."""


class ConfigError(DiffFakeError):
    """A configuration that cannot be read or does not validate."""


class VideoError(DiffFakeError):
    """A video from which the asked-for frames cannot be had."""


class UnreadableVideoError(VideoError):
    """Not a single frame could be decoded: no video stream, not a video, or broken from the start."""


class TruncatedVideoError(VideoError):
    """Decoding ended before the last wanted frame."""

    def __init__(self, message: str, decoded_frames: int = 0, expected_frames: int = 0) -> None:
        super().__init__(message)
        self.decoded_frames = decoded_frames
        self.expected_frames = expected_frames


class InputLimitError(VideoError):
    """An input that is larger, longer or slower than the limits allow."""


class InputRefusedError(DiffFakeError):
    """An input that may not be opened where it was sent to."""


class WeightsError(DiffFakeError):
    """A weights file is missing, has another digest than stated, or does not fit its model."""


class DegenerateMaskError(DiffFakeError):
    """A blending mask that selects nothing: its landmarks are degenerate or outside the crop."""


class TrainingError(DiffFakeError):
    """Training cannot start or go on: no data, one class only, a process lost."""


class DivergedError(TrainingError):
    """Losses, weights or answers of a training stopped being finite numbers."""


class DensityError(DiffFakeError):
    """A density model cannot be fitted or used on the vectors it was given."""


class CalibrationError(DiffFakeError):
    """A calibration was asked for without a single usable score."""


class EvaluationError(DiffFakeError):
    """A metric that is not defined on the given labels and scores."""


class ArtefactError(DiffFakeError):
    """A stored detector, table or checkpoint that is incomplete, altered or of another version."""


class DataError(DiffFakeError):
    """A dataset folder, table or split that cannot be used as asked."""


class ServiceError(DiffFakeError):
    """A server this command needs (Prefect, MLflow) cannot be reached or started."""
