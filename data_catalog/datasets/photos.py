"""A collection of real photos with one folder per person, as Labeled Faces in the Wild has it."""

from data_catalog.datasets.base import (
    Fields,
    Roles,
    Scan,
    is_footage,
    list_folder,
    not_footage,
    scan_files,
)
from data_catalog.storage import Folder, SourceFile
from difffake.media import PHOTO_SUFFIXES

_TRAIN: Roles = {"train": ("none",)}


class Photos:
    """Real photos for training; a folder's name is the person's.

    Its people are its own: a name here and in another dataset are two people, unless an identities file says otherwise.
    """

    name = "photos"
    title = "photo collection"
    layout = "  PERSON/ANY_NAME.jpg, like Aaron_Eckhart/Aaron_Eckhart_0001.jpg (all real; png, webp, … too)"
    licence = "that of the collection"
    citation = (
        "that of the collection, for example Huang et al., Labeled Faces in the Wild: A Database for Studying Face "
        "Recognition in Unconstrained Environments, University of Massachusetts, Amherst, Technical Report 07-49, 2007"
    )
    people = ""
    roles = _TRAIN

    def scan(self, folder: Folder) -> Scan:
        """List the photos of each person; see `DatasetAdapter.scan`."""
        files = list_folder(self, folder)
        return scan_files(self, folder, files, _classify, PHOTO_SUFFIXES)


def _classify(file: SourceFile) -> Fields | str | None:
    path = file.path
    depth = len(path.parts)
    if not is_footage(file, PHOTO_SUFFIXES):
        is_beside_the_point = not_footage(file) is None or (depth == 1 and not is_footage(file))
        return None if is_beside_the_point else f"not a photo file name (suffix {path.suffix!r})"
    if depth != 2:
        return "not at <person>/<photo>: whom it shows is not known"
    person = path.parts[0]
    return {"folder": person, "name": path.stem, "label": "real", "identity": person, "media": "photo"}
