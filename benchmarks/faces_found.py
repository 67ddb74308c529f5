"""How many of the sampled frames that hold a face give one.

A frame holds one if its clip shows a person all the time, as the labels and a look at each clip say; the three clips
with faceless parts (`FACELESS`) are left out. Every frame without a found face was looked at: dark faces, faces behind
hands, profiles and faces half out of the picture; a few show none, and count as missed all the same.
"""

from pathlib import Path

from benchmarks.measure import Figure
from benchmarks.media import sample_videos
from difffake.config import FacesConfig
from difffake.faces.extraction import extract_faces
from difffake.faces.finder import build_face_finder

FACELESS = frozenset({"no_face.mp4", "face_noface.mov", "noface_face.mov"})


def run() -> list[Figure]:
    """The share of frames with a face, over all sample videos."""
    config = FacesConfig(detector="blazeface")
    finder = build_face_finder(config)
    videos = [v for v in sample_videos("FaceForensics++", "DFDC", "UADFV", "talking_heads") if v.name not in FACELESS]
    frames = with_face = 0
    worst: list[tuple[int, Path]] = []
    for video in videos:
        outcome = extract_faces(video, "content", "extraction", config, finder)
        found = len({face.frame_index for face in outcome.faces})
        frames, with_face = frames + outcome.frames_sampled, with_face + found
        worst.append((outcome.frames_sampled - found, video))
    named = ", ".join(f"{video.name} {missed}" for missed, video in sorted(worst, reverse=True)[:4] if missed)
    note = f"{with_face} of {frames} frames of {len(videos)} videos; missed most: {named or 'none'}"
    return [Figure("frames with a found face", with_face / frames, "share", bar=0.99, better="higher", note=note)]
