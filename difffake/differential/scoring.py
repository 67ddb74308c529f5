"""The score of a video: higher is more anomalous, everywhere in this package."""

import numpy as np
import numpy.typing as npt

from difffake.errors import DensityError


def video_score(log_likelihoods: npt.ArrayLike) -> float:
    """The negative mean log-likelihood of a video's pairs, or single faces: higher is more anomalous (Sec. 3.4).

    Args:
        log_likelihoods: (N,) in nats, N ≥ 1; or the scores an anomaly model without likelihood has instead.

    Raises:
        DensityError: there is no pair, or a likelihood is not finite.
    """
    values = np.asarray(log_likelihoods, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DensityError(
            f"a video's score needs a list of at least one pair's log-likelihood, not shape {values.shape}; "
            "abstain on videos without pairs"
        )
    if not np.isfinite(values).all():
        raise DensityError(f"{np.count_nonzero(~np.isfinite(values))} of {values.size} log-likelihoods are not finite")
    return -float(values.mean())
