"""A miniature of DFDC: two parts of the training set and both kinds of labelled test set, in the official naming."""

import json
from collections.abc import Callable
from pathlib import Path

METADATA: dict[str, dict[str, dict[str, object]]] = {
    "dfdc_train_part_0": {
        "knqhpwoigk.mp4": {"label": "REAL", "split": "train", "original": None},
        "brtujopkby.mp4": {"label": "FAKE", "split": "train", "original": "knqhpwoigk.mp4"},
        "abofeumbvv.mp4": {"label": "FAKE", "split": "train", "original": None},
        "notdownloaded.mp4": {"label": "REAL", "split": "train", "original": None},
    },
    "dfdc_train_part_1": {
        "ybqmttnept.mp4": {"label": "REAL", "split": "train", "original": None},
        "widuwuoiur.mp4": {"label": "FAKE", "split": "train", "original": "ybqmttnept.mp4"},
        "yhffcuhhjy.mp4": {"label": "FAKE", "split": "train", "original": "knqhpwoigk.mp4"},
    },
    "test": {"aaasxquqfu.mp4": {"is_fake": 0}, "bbzpxyrhat.mp4": {"is_fake": 1}},
}
LABELS = {"cchlxpanri.mp4": 0, "ddtjolilab.mp4": 1}
_ABSENT = "notdownloaded.mp4"


def build(root: Path, write: Callable[[Path], None]) -> frozenset[str]:
    """Write ten clips and their lists; return the local keys."""
    keys = set()
    for folder, entries in METADATA.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "metadata.json").write_text(json.dumps(entries))
        for name in entries:
            if name != _ABSENT:
                write(root / folder / name)
                keys.add(f"{folder}/{Path(name).stem}")
    (root / "validation").mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{name},{label}\n" for name, label in LABELS.items())
    (root / "validation" / "labels.csv").write_text(f"filename,label\n{rows}")
    for name in LABELS:
        write(root / "validation" / name)
        keys.add(f"validation/{Path(name).stem}")
    return frozenset(keys)
