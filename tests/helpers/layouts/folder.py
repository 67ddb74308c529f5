"""A folder of one's own with real/, fake/ and a metadata.csv, as the generic adapter reads it."""

from collections.abc import Callable
from pathlib import Path

_PLACES_AND_KEYS = {
    "real/anna/walk.mp4": "real/c23/anna/walk",
    "real/bert.mp4": "real/bert",
    "real/cleo/sit.mp4": "real/cleo/sit",
    "fake/anna_bert.mp4": "fake/c23/anna_bert",
    "fake/swap/bert_anna.mp4": "fake/swap/bert_anna",
    "fake/unknown.mp4": "fake/unknown",
    "more/dora.mp4": "real/more/dora",
}
_METADATA = """\
path,label,identity,split,method,source_identity,original,compression
real/anna/walk.mp4,real,anna,test,,,,c23
real/bert.mp4,,bert,val,,,,
fake/anna_bert.mp4,fake,anna,test,FaceSwap,bert,real/anna/walk.mp4,c23
fake/swap/bert_anna.mp4,fake,bert,val,,anna,real/bert.mp4,
more/dora.mp4,real,dora,train,,,,
"""


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Four reals, three fakes, two of them described nowhere; gives the keys."""
    for place in _PLACES_AND_KEYS:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    (root / "metadata.csv").write_text(_METADATA)
    return frozenset(_PLACES_AND_KEYS.values())
