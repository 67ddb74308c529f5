"""DiffFake: deepfake detection by differential anomaly detection (arXiv 2502.16247).

from difffake import Detector
print(Detector.load("models:/difffake@champion").score("suspect.mp4"))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from difffake.detector import Detector
    from difffake.judgement import Judgement
    from difffake.limits import InputLimits

__all__ = ["Detector", "InputLimits", "Judgement"]


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are asked for: torch takes seconds."""
    if name == "Detector":
        from difffake.detector import Detector

        return Detector
    if name == "Judgement":
        from difffake.judgement import Judgement

        return Judgement
    if name == "InputLimits":
        from difffake.limits import InputLimits

        return InputLimits
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
