"""Faces of a training set that are blended into each other."""

from difffake.faces.crop_jpeg import decode_crop
from difffake.faces.records import FaceSet
from difffake.pseudofakes.donors import DonorPool
from difffake.pseudofakes.generator import Donor
from difffake.pseudofakes.sources import DonorFace
from difffake.randomness import derive_rng


def donor_of(faces: FaceSet, row: int) -> Donor:
    """A face of a set, to be blended into another one; decoded where that happens."""
    name = faces.face_ids[row]
    return Donor(name, lambda: DonorFace(decode_crop(faces.crops_jpeg[row], name), faces.landmarks_crop_px[row]))


class EpochDonors:
    """Which face may be blended into which: of another video, with near landmarks, another one in each epoch."""

    def __init__(self, faces: FaceSet, seed: int) -> None:
        self._faces = faces
        self._seed = seed
        self._pool = DonorPool(faces.landmarks_crop_px, faces.video_keys)

    def row_for(self, epoch: int, row: int) -> int | None:
        """The row of the donor; None: there is no other video."""
        return self._pool.choose(row, derive_rng(self._seed, "donor", epoch, self._faces.face_ids[row]))

    def __call__(self, epoch: int, row: int) -> Donor | None:
        """The donor itself."""
        chosen = self.row_for(epoch, row)
        return None if chosen is None else donor_of(self._faces, chosen)
