from pathlib import Path

import pytest

from difffake.config import ExperimentConfig, load_config, parse_config
from difffake.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_validates_under_its_own_name(path: Path) -> None:
    assert load_config(path).name == path.stem


def test_the_paper_configuration_states_the_defaults() -> None:
    paper = load_config(CONFIGS / "paper.yaml")
    defaults = ExperimentConfig()
    assert paper.model_copy(update={"backbone": defaults.backbone}) == defaults
    assert paper.backbone.model_copy(update={"loader_workers": 0}) == defaults.backbone


def test_the_defaults_are_the_papers_values() -> None:
    config = ExperimentConfig()
    assert (config.faces.frames_per_video, config.faces.crop_scale, config.faces.crop_size_px) == (40, 1.3, 224)
    assert config.pseudo_fakes.mask_weights == {"full_face": 3, "eyes": 1, "mouth": 1, "lower_head": 1}
    assert config.pseudo_fakes.blend_ratios == (0.25, 0.5, 0.75, 1, 1, 1)
    backbone = config.backbone
    assert (backbone.model, backbone.learning_rate, backbone.momentum) == ("tf_efficientnet_b4.ap_in1k", 1e-3, 0.9)
    assert (backbone.sam_rho, backbone.epochs, backbone.batch_pairs, backbone.keep_best) == (0.05, 100, 16, 5)
    assert (config.pairs.pool_size, config.pairs.half_up_to) == (8, 16)
    assert (config.density.components, config.density.covariance, config.density.max_iterations) == (3, "full", 250)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"faces": {"frame_per_video": 3}}, r"faces.frame_per_video: unknown key"),
        ({"fases": {}}, r"fases: unknown key"),
        ({"faces": {"frames_per_video": 1}}, r"faces.frames_per_video.*greater than or equal to 2.*seen: 1"),
        ({"pseudo_fakes": {"mask_weights": {"eyes": 0}}}, "at least one mask type"),
        ({"pseudo_fakes": {"mask_weights": {"ears": 1}}}, "full_face"),
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
