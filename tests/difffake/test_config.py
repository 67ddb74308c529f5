import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from difffake.config import ExperimentConfig, load_config, parse_config
from difffake.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_validates_under_its_own_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Those of the file it extends, too.
    for name in re.findall(r"\$\{(\w+)\}", "".join(file.read_text() for file in CONFIGS.glob("*.yaml"))):
        monkeypatch.setenv(name, f"/data/{name}")
    assert load_config(path).name == path.stem


@pytest.mark.parametrize("path", sorted((CONFIGS / "protocols").glob("*.yaml")), ids=lambda path: path.stem)
def test_protocols_are_the_paper_with_datasets_of_their_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\$\{(\w+)\}", path.read_text() + (CONFIGS / "protocols/cross_dataset.yaml").read_text()):
        monkeypatch.setenv(name, f"/data/{name}")
    protocol, paper = load_config(path), load_config(CONFIGS / "paper.yaml")

    assert protocol.name == path.stem
    assert protocol.datasets[0].root == "/data/FACEFORENSICS_ROOT"
    assert all(set(spec.roles or ()) == {"test"} for spec in protocol.datasets[1:])
    learnt = ("faces", "pseudo_fakes", "backbone", "pairs", "density", "calibration")
    assert all(getattr(protocol, section) == getattr(paper, section) for section in learnt)
    assert protocol.data.train_compression == paper.data.train_compression
    assert protocol.data.test_compressions[0] == paper.data.test_compression


def test_a_protocol_without_its_folders_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEFORENSICS_ROOT", raising=False)
    with pytest.raises(ConfigError, match="environment variable that is not set"):
        load_config(CONFIGS / "protocols/cross_quality.yaml")


def _write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_file_is_laid_over_the_one_it_extends(tmp_path: Path) -> None:
    base = {
        "name": "base",
        "faces": {"frames_per_video": 7, "crop_size_px": 96},
        "pseudo_fakes": {"blend_ratios": [0.5, 1.0], "mask_weights": {"full_face": 1, "eyes": 1}},
    }
    _write(tmp_path / "base.yaml", base)
    middle = {"extends": "../base.yaml", "faces": {"crop_size_px": 128}, "pseudo_fakes": {"blend_ratios": [1.0]}}
    _write(tmp_path / "deep/middle.yaml", middle)
    top = {"extends": "deep/middle.yaml", "name": "top", "pseudo_fakes": {"mask_weights": {"eyes": 0}}}
    config = load_config(_write(tmp_path / "top.yaml", top))

    # Mappings merge, lists and values replace.
    assert (config.name, config.faces.frames_per_video, config.faces.crop_size_px) == ("top", 7, 128)
    assert config.pseudo_fakes.blend_ratios == (1.0,)
    assert config.pseudo_fakes.mask_weights == {"full_face": 1, "eyes": 0}
    # What a file extends is no part of the configuration: the same values written out are the same configuration.
    whole = base | {"name": "top", "faces": {"frames_per_video": 7, "crop_size_px": 128}}
    whole["pseudo_fakes"] = {"blend_ratios": [1.0], "mask_weights": {"full_face": 1, "eyes": 0}}
    assert config == parse_config(whole, "test")


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "b")):
        _write(tmp_path / f"{name}.yaml", {"extends": f"{other}.yaml"})
    with pytest.raises(ConfigError, match=r"extends itself: b\.yaml → c\.yaml → b\.yaml"):
        load_config(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"extends itself: self\.yaml → self\.yaml"):
        load_config(_write(tmp_path / "self.yaml", {"extends": "self.yaml"}))


def test_what_a_file_extends_is_read_with_the_same_care(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read.*gone\.yaml, which .*top\.yaml extends"):
        load_config(_write(tmp_path / "top.yaml", {"extends": "gone.yaml"}))
    with pytest.raises(ConfigError, match=r"must name one YAML file.*\['a', 'b'\]"):
        load_config(_write(tmp_path / "top.yaml", {"extends": ["a", "b"]}))
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match=r"list\.yaml must hold a mapping"):
        load_config(_write(tmp_path / "top.yaml", {"extends": "list.yaml"}))


def test_one_or_several_test_qualities() -> None:
    def data(value: object) -> object:
        return parse_config({"data": {"test_compression": value}}, "test.yaml").data

    assert data("c40").test_compressions == ("c40",)
    assert data(["c40", "raw"]).test_compressions == ("c40", "raw")
    # A list of one is that one: nothing that hangs on the configuration's digest changes.
    assert data(["c23"]) == data("c23")
    for wrong, message in (([], "at least 1"), (["c23", "c23"], "listed twice"), (["c24"], "'c23'")):
        with pytest.raises(ConfigError, match=message):
            data(wrong)


def test_the_paper_configuration_states_the_defaults() -> None:
    paper = load_config(CONFIGS / "paper.yaml")
    defaults = ExperimentConfig()
    assert paper == defaults


def test_the_defaults_are_the_papers_values() -> None:
    config = ExperimentConfig()
    assert (config.faces.frames_per_video, config.faces.crop_scale, config.faces.crop_size_px) == (40, 1.3, 224)
    assert config.pseudo_fakes.drawn_masks == {"full_face": 3, "eyes": 1, "mouth": 1, "lower_head": 1}
    assert config.pseudo_fakes.blend_ratios == (0.25, 0.5, 0.75, 1, 1, 1)
    backbone = config.backbone
    assert (backbone.model, backbone.learning_rate, backbone.momentum) == ("tf_efficientnet_b4.ap_in1k", 1e-3, 0.9)
    assert (backbone.sam_rho, backbone.epochs, backbone.batch_pairs, backbone.keep_best) == (0.05, 100, 16, 5)
    assert (config.pairs.pool_size, config.pairs.half_up_to) == (8, 16)
    assert (config.density.components, config.density.covariance, config.density.max_iterations) == (3, "full", 250)


@pytest.mark.parametrize(
    ("content", "crop_size_px"),
    [
        ({}, 224),
        ({"backbone": {"input_size_px": 128}}, 224),
        ({"backbone": {"input_size_px": 260}}, 260),
        ({"backbone": {"input_size_px": 260}, "faces": {"crop_scale": 1.5}}, 260),
        ({"backbone": {"input_size_px": 260}, "faces": {"crop_size_px": 224}}, 224),
    ],
)
def test_crops_are_as_large_as_the_network_wants_them(content: dict[str, Any], crop_size_px: int) -> None:
    assert parse_config(content, "").faces.crop_size_px == crop_size_px


@pytest.mark.parametrize(
    ("recompressed", "message"),
    [
        ([{"crf": 52}], r"h264 must be in \[0, 51\], not 52"),
        ([{"codec": "hevc", "crf": 63}], r"hevc must be in \[0, 51\]"),
        ([{"codec": "vp9", "crf": 64}], "less than or equal to 63"),
        ([{"codec": "av1", "crf": 30}], "'h264', 'hevc' or 'vp9'"),
        ([{"crf": 28}, {"codec": "h264", "crf": 28}], "listed twice"),
    ],
)
def test_a_rate_factor_that_no_codec_has_is_refused(recompressed: list[dict[str, Any]], message: str) -> None:
    assert parse_config({"data": {"recompressed": [{"codec": "vp9", "crf": 63}]}}, "").data.recompressed[0].crf == 63
    with pytest.raises(ConfigError, match=message):
        parse_config({"data": {"recompressed": recompressed}}, "")


def test_an_input_that_is_too_large_is_named_as_such_alone() -> None:
    with pytest.raises(ConfigError, match=r"backbone\.input_size_px") as raised:
        parse_config({"backbone": {"input_size_px": 2000}}, "")
    assert "crop_size_px" not in str(raised.value)


def test_a_variant_of_pseudo_fakes_is_a_name_for_its_masks() -> None:
    drawn = {
        variant: parse_config({"pseudo_fakes": {"variant": variant}}, "").pseudo_fakes.drawn_masks
        for variant in ("paper", "sbi", "local", "none")
    }
    assert drawn == {
        "paper": {"full_face": 3, "eyes": 1, "mouth": 1, "lower_head": 1},
        "sbi": {"full_face": 1},
        "local": {"eyes": 1, "mouth": 1, "lower_head": 1},
        "none": {},
    }
    own = parse_config({"pseudo_fakes": {"mask_weights": {"eyes": 2}}}, "").pseudo_fakes
    assert own.drawn_masks == {"eyes": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"faces": {"frame_per_video": 3}}, r"faces.frame_per_video: unknown key"),
        ({"fases": {}}, r"fases: unknown key"),
        ({"faces": {"frames_per_video": 1}}, r"faces.frames_per_video.*greater than or equal to 2.*seen: 1"),
        ({"pseudo_fakes": {"mask_weights": {"eyes": 0}}}, "at least one mask type"),
        ({"pseudo_fakes": {"mask_weights": {"ears": 1}}}, "full_face"),
        ({"pseudo_fakes": {"variant": "none", "mask_weights": {"eyes": 1}}}, "cannot go with variant none"),
        ({"backbone": {"early_stop_epochs": 3, "decay_fraction": 1}}, "decay_fraction 1 begins it at once"),
        ({"density": {"combination": "cubed"}}, "'cubic'"),
        ({"backbone": {"learning_rate": float("nan")}}, "finite"),
        ({"name": "two words"}, "name"),
    ],
)
def test_faults_are_named_with_what_was_seen(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(content, "test.yaml")


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"seed": -1, "faces": {"crop_scale": 9}, "nonsense": 1}, "test.yaml")
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("text", ["- a\n- b\n", "", "a: [", "\x00"])
def test_files_that_hold_no_mapping_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read.*none\.yaml"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("verdict", ["fake_probability", "fusion"])
def test_a_score_an_untrained_backbone_does_not_have_cannot_decide(verdict: str) -> None:
    untrained = {"variant": "none"}
    with pytest.raises(ConfigError, match="let the differential score decide"):
        parse_config({"pseudo_fakes": untrained, "calibration": {"verdict": verdict}}, "a test")
    assert parse_config({"pseudo_fakes": untrained}, "a test").calibration.verdict == "differential"
    assert parse_config({"calibration": {"verdict": verdict}}, "a test").calibration.verdict == verdict
