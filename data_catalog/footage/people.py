"""The cast of the demo: who is in the fetched media, where in the picture, and in which split.

Chosen by eye: `45-m7-di-ph.jpg` and `BWPictureHuman.jpg` show profiles, onto which no 68 points can warp a face. The
five people of `multi_face.jpg` look into each other's views, so they share a split; their faces are small in the photo,
so it is the test split: the network learns from the sharp ones.
"""

from collections.abc import Mapping
from pathlib import Path

from data_catalog.footage.media import FootageMedia, Person, Split, Take

# How often a photo is filmed: five people in the test split, fewer in the others.
_TAKES_OF_A_PHOTO: dict[Split, int] = {"train": 3, "val": 3, "test": 2}

# name: split, file, centre of the view and its side in pixels of the photo.
_PHOTOGRAPHED: dict[str, tuple[Split, str, tuple[float, float], float]] = {
    "sunglasses": ("test", "multi_face.jpg", (264, 128), 205),
    "long_hair": ("test", "multi_face.jpg", (362, 300), 200),
    "curly_hair": ("test", "multi_face.jpg", (479, 258), 165),
    "dark_hair": ("test", "multi_face.jpg", (575, 372), 200),
    "red_hair": ("test", "multi_face.jpg", (736, 358), 205),
    "studio_surprise": ("val", "0-f1-su-ph.jpg", (262, 285), 450),
    "bearded": ("val", "Image_with_alpha.png", (745, 430), 830),
    "studio_frown": ("train", "15-f13-anc-ph.jpg", (240, 285), 450),
    "studio_smile": ("train", "0-f15-hao-ph.jpg", (254, 285), 450),
    "astronaut": ("train", "astronaut.png", (226, 125), 230),
}


def demo_media(files: Mapping[str, Path]) -> FootageMedia:
    """The demo's thirteen people out of the pinned media, given by base name."""
    woman, carphone = files["WolfgangLanger_Pexels.mp4"], files["carphone_pristine.mp4"]
    filmed = (
        Person("pexels", "train", tuple(Take(woman, (435, 184), 350, start_s) for start_s in (0.1, 10.0, 13.5, 16.5))),
        Person("carphone", "val", tuple(Take(carphone, (75, 70), 128, start_s) for start_s in (0.0, 2.0))),
        Person(
            "host",
            "train",
            (
                Take(files["single_face.mp4"], (290, 192), 330, 0.2),
                # The face appears after about a third of this window, as people do in real footage.
                Take(files["noface_face.mov"], (435, 290), 490, 3.0),
                Take(files["single_face.jpg"], (272, 292), 430),
            ),
        ),
    )
    photographed = tuple(
        Person(name, split, (Take(files[file], centre_xy_px, side_px),) * _TAKES_OF_A_PHOTO[split])
        for name, (split, file, centre_xy_px, side_px) in _PHOTOGRAPHED.items()
    )
    return FootageMedia(
        people=filmed + photographed,
        faceless=(
            Take(files["no_face.mp4"], (480, 270), 540, 0.5),
            Take(files["face_noface.mov"], (480, 270), 540, 3.2),
        ),
    )
