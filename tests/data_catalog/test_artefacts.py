from pathlib import Path

import pytest

from data_catalog.artefacts import ArtefactStore
from data_catalog.fingerprints import digest_names, fingerprint
from difffake.config import BackboneConfig, FacesConfig, PairsConfig
from difffake.errors import ArtefactError


def publish(store: ArtefactStore, content: str, facts: dict[str, int] | None = None, name: str = "f") -> str:
    with store.staging("stage", name) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "result.txt").write_text(content)
        return store.publish(folder, "stage", name, facts or {}).digest


def test_an_artefact_is_found_with_its_facts_until_a_file_is_gone_or_cut(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    assert store.find("stage", "f") is None
    publish(store, "content", {"n": 3})
    found = store.require("stage", "f")
    assert found.facts == {"n": 3}
    assert found.path("inner/result.txt").read_text() == "content"
    found.path("inner/result.txt").write_text("cont")
    assert store.find("stage", "f") is None
    publish(store, "content")
    store.require("stage", "f").path("inner/result.txt").unlink()
    with pytest.raises(ArtefactError, match="missing or incomplete"):
        store.require("stage", "f")


def test_a_half_written_artefact_is_never_found(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    with pytest.raises(RuntimeError, match="killed"), store.staging("stage", "f") as folder:  # noqa: PT012
        (folder / "result.txt").write_text("half")
        raise RuntimeError("killed")
    assert store.find("stage", "f") is None
    assert list((tmp_path / "stage").iterdir()) == []


def test_the_digest_names_the_content_not_the_facts(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    first = publish(store, "one", {"seconds": 1})
    assert publish(store, "one", {"seconds": 2}) == first
    assert publish(store, "two", {"seconds": 1}) != first
    assert publish(store, "one", name="other") == first


def test_a_fingerprint_changes_with_stage_version_parameter_and_input_and_nothing_else() -> None:
    base = fingerprint("pairs", 1, PairsConfig(), {"faces": "a"})
    assert base == fingerprint("pairs", 1, PairsConfig(), {"faces": "a"})
    others = [
        fingerprint("embeddings", 1, PairsConfig(), {"faces": "a"}),
        fingerprint("pairs", 2, PairsConfig(), {"faces": "a"}),
        fingerprint("pairs", 1, PairsConfig(pool_size=9), {"faces": "a"}),
        fingerprint("pairs", 1, PairsConfig(), {"faces": "b"}),
    ]
    assert len({base, *others}) == 5


def test_where_and_how_fast_do_not_change_a_fingerprint() -> None:
    assert fingerprint("faces", 1, FacesConfig(), {}) == fingerprint(
        "faces", 1, FacesConfig(detector_weights=Path("elsewhere.pth")), {}
    )
    quick = BackboneConfig(device="cpu", loader_workers=4, embed_batch=7, processes=2, compile=True)
    assert fingerprint("backbone", 1, BackboneConfig(), {}) == fingerprint("backbone", 1, quick, {})
    for other in (BackboneConfig(epochs=1), BackboneConfig(precision="fp32"), BackboneConfig(early_stop_epochs=5)):
        assert fingerprint("backbone", 1, BackboneConfig(), {}) != fingerprint("backbone", 1, other, {})


def test_a_set_of_names_has_one_digest_whatever_the_order() -> None:
    assert digest_names(["b", "a"]) == digest_names(["a", "b"])
    assert digest_names(["ab"]) != digest_names(["a", "b"])
