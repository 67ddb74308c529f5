"""Who meets whom: domains are kept apart, and fakes without reals meet those they were made of."""

import pytest

from difffake.errors import EvaluationError
from difffake.evaluation.groups import Domain, Group, group_videos
from difffake.evaluation.results import VideoResult
from tests.helpers.results import video

FF = [
    video("ffpp:033", 1.0),
    video("ffpp:033", 1.0, compression="c40"),
    video("ffpp:033", 2.0, "FaceSwap"),
    video("ffpp:034", 2.0, "Deepfakes"),
    video("ffpp:035", 2.0, label=1),
]
CELEB = [
    video("cdf:id1", 1.0, dataset="celeb", compression=None),
    video("cdf:id1", 2.0, "swap", dataset="celeb", compression=None),
]


def _deeper(identity: str = "ffpp:033", original: str | None = None, compression: str | None = None) -> VideoResult:
    return video(identity, 2.0, "DF", dataset="deeper", compression=compression, original_key=original)


def _named(groups: tuple[Group, ...]) -> dict[tuple[str, str], Group]:
    return {(group.domain.name, group.name): group for group in groups}


def test_each_domain_has_all_its_fakes_and_then_each_manipulation_against_its_own_reals() -> None:
    groups = group_videos([*CELEB, *FF], {"ff"})

    # In-domain first, whatever the order of the videos; then in their order.
    assert [(group.domain.name, group.name, group.is_in_domain) for group in groups] == [
        ("ff/c23", "overall", True),
        ("ff/c23", "Deepfakes", True),
        ("ff/c23", "FaceSwap", True),
        ("ff/c40", "overall", True),
        ("celeb", "overall", False),
        ("celeb", "swap", False),
    ]
    named = _named(groups)
    assert named["ff/c23", "overall"].fakes == tuple(FF[2:])
    assert named["ff/c23", "FaceSwap"].fakes == (FF[2],)
    assert all(group.reals == (FF[0],) for group in groups[:3])
    assert named["celeb", "overall"].reals == (CELEB[0],)
    assert named["ff/c40", "overall"].fakes == ()
    assert all(group.reals_from == group.domain for group in groups)


@pytest.mark.parametrize(
    ("fake", "lender"),
    [
        # The same people: the first quality given, unless one is the fakes' own.
        (_deeper(), Domain("ff", "c23")),
        (_deeper(compression="c40"), Domain("ff", "c40")),
        # Its very original says more than quality or people.
        (_deeper(original=FF[1].video_key, compression="c23"), Domain("ff", "c40")),
        (_deeper("elsewhere:1", original=CELEB[0].video_key), Domain("celeb", None)),
        # A person named by hand has no name space: nobody else is meant.
        (_deeper("anna"), None),
        (_deeper("elsewhere:1"), None),
    ],
)
def test_fakes_without_reals_meet_the_reals_they_were_made_of(fake: VideoResult, lender: Domain | None) -> None:
    groups = _named(group_videos([*FF, *CELEB, fake], {"ff"}))
    for name in ("overall", "DF"):
        group = groups[Domain("deeper", fake.compression).name, name]
        assert group.reals_from == lender
        assert not group.is_in_domain
        assert group.reals == tuple(
            real for real in (*FF, *CELEB) if real.label == 0 and Domain(real.dataset, real.compression) == lender
        )


def test_reals_of_another_quality_of_the_dataset_are_not_borrowed() -> None:
    # Compression alone would tell them apart.
    groups = group_videos([FF[0], video("ffpp:033", 2.0, "FaceSwap", compression="raw")], set())

    assert _named(groups)["ff/raw", "overall"].reals_from is None


def test_no_video_and_a_video_given_twice_are_errors() -> None:
    with pytest.raises(EvaluationError, match="no test video"):
        group_videos([], ())
    with pytest.raises(EvaluationError, match=r"ff/real/c23/ffpp:033/ is given twice"):
        group_videos([FF[0], FF[0]], ())
