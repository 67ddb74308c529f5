"""The direction of a score is stated once, here."""

import numpy as np
import numpy.typing as npt
import pytest

from difffake.differential.density import GaussianMixtureDensity
from difffake.differential.scoring import video_score
from difffake.errors import DensityError


def test_score_is_the_negative_mean() -> None:
    assert video_score([1.0, 2.0, 6.0]) == -3.0


def test_unnatural_videos_score_higher_than_natural_ones() -> None:
    rng = np.random.default_rng(0)
    density = GaussianMixtureDensity(components=1).fit(rng.normal(size=(200, 3)))

    natural = video_score(density.log_likelihood(rng.normal(size=(32, 3))))
    unnatural = video_score(density.log_likelihood(rng.normal(loc=4, size=(32, 3))))

    assert unnatural > natural


@pytest.mark.parametrize("likelihoods", [[], [[1.0]], 3.0])
def test_something_else_than_a_list_of_pairs_is_refused(likelihoods: npt.ArrayLike) -> None:
    with pytest.raises(DensityError, match="at least one pair"):
        video_score(likelihoods)


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_a_likelihood_that_is_not_finite_is_refused(fault: float) -> None:
    with pytest.raises(DensityError, match="1 of 2"):
        video_score([0.0, fault])
