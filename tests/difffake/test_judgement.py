from difffake.judgement import COLUMNS, Judgement, Person, ReferenceComparison
from difffake.scores import VideoScore

SCORED = VideoScore(
    "scored", score=2.5, p_value=0.04, is_anomalous=True, differential=2.5, fake_probability=0.9, track_id=0,
    tracks_judged=1, faces_used=40, pairs_used=32,
)  # fmt: skip
PASSING = VideoScore("abstained", "seen in 2 frames", track_id=1, faces_used=2)


def judgement(**changes: object) -> Judgement:
    content = {
        "path": "<b>a</b>.mp4",
        "outcome": SCORED,
        "score_name": "differential",
        "people": (Person(SCORED, 0.1, 9.0, 1.0), Person(PASSING, 3.0, 3.5, 0.05)),
        "false_positive_rate": 0.05,
        "comparison": ReferenceComparison(3.0, 0.25, 3, 96),
        "cautions": ("look & think",),
    } | changes
    return Judgement(**content)  # type: ignore[arg-type]


def test_it_is_one_row_a_person_with_all_columns() -> None:
    main, passing = judgement().rows()
    assert tuple(main) == tuple(passing) == COLUMNS
    assert (main["person"], main["verdict"], main["p_value"], main["pairs_used"]) == (0, "anomalous", 0.04, 32)
    assert (main["reference_p_value"], main["references"]) == (0.25, 3)
    assert (passing["person"], passing["verdict"], passing["reason"]) == (1, "not judged", "seen in 2 frames")
    assert (passing["reference_p_value"], passing["references"]) == (None, 0)


def test_without_people_it_is_one_row_with_the_reason() -> None:
    (row,) = judgement(outcome=VideoScore("failed", "unreadable: no file"), people=(), comparison=None).rows()
    assert (row["person"], row["status"], row["verdict"]) == (None, "failed", "not judged")
    assert row["reason"] == "unreadable: no file"


def test_the_verdict_is_told_in_words() -> None:
    assert "anomalous: 4.0% of real videos score as high" in str(judgement())
    natural = VideoScore("scored", score=0.0, p_value=0.6, is_anomalous=False)
    assert judgement(outcome=natural).sentence.startswith("not anomalous: 60.0%")
    assert "not calibrated" in judgement(outcome=VideoScore("scored", score=0.0)).sentence
    assert judgement(outcome=PASSING).sentence == "not judged: seen in 2 frames"


def test_a_notebook_shows_it_with_names_escaped() -> None:
    shown = judgement()._repr_html_()
    assert "&lt;b&gt;a&lt;/b&gt;.mp4" in shown
    assert "<b>a</b>" not in shown
    assert "look &amp; think" in shown
    assert shown.count("<tr>") == 3
