"""Where the network runs, in which precision, and by how many processes."""

import os
from typing import Literal

import torch

from difffake.config import BackboneConfig
from difffake.errors import ConfigError

_MOST_AUTO_LOADERS = 12
_CROPS_ON_LARGE_GPU, _CROPS_ON_GPU, _CROPS_ON_CPU = 256, 64, 4
_LARGE_GPU_BYTES = 35 * 2**30
_MEASURED_PX = 224


def resolve_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device a configuration names; auto: the GPU where there is one.

    Raises:
        ConfigError: cuda is asked for and torch sees none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "backbone.device is cuda, and torch sees no CUDA device: set it to auto or cpu, "
            "or look at nvidia-smi and the installed torch build"
        )
    return torch.device(name)


def resolve_processes(config: BackboneConfig, device: torch.device) -> int:
    """How many processes train the network together; auto: one a visible GPU, one on a CPU.

    Raises:
        ConfigError: more than there are GPUs, or than a batch has pairs.
    """
    visible = torch.cuda.device_count() if device.type == "cuda" else None
    if config.processes == "auto":
        return min(visible or 1, config.batch_pairs)
    if visible is not None and config.processes > visible:
        raise ConfigError(
            f"backbone.processes is {config.processes}, and torch sees {visible} GPUs, one for each process: lower it, "
            "set it to auto, or look at CUDA_VISIBLE_DEVICES"
        )
    if config.processes > config.batch_pairs:
        raise ConfigError(
            f"backbone.processes is {config.processes}, and a batch has {config.batch_pairs} pairs to share: raise "
            "backbone.batch_pairs or lower backbone.processes"
        )
    return config.processes


def resolve_loader_workers(config: BackboneConfig, device: torch.device, processes: int) -> int:
    """How many loader processes feed each training process; auto: the cores a GPU leaves free, none on a CPU."""
    if config.loader_workers != "auto":
        return config.loader_workers
    if device.type == "cpu":
        return 0
    return max(1, min(_MOST_AUTO_LOADERS, len(os.sched_getaffinity(0)) // processes - 1))


def resolve_embed_batch(config: BackboneConfig, device: torch.device) -> int:
    """How many crops go through the network at once when embedding; auto: as `crops_at_once` says."""
    return crops_at_once(device, config.input_size_px) if config.embed_batch == "auto" else config.embed_batch


def crops_at_once(device: torch.device, input_size_px: int) -> int:
    """How many crops in a forward pass are fastest: many on a GPU, as far as its memory goes; few on a CPU.

    256 crops of 224 px take EfficientNet-B4 5.5 GB, as many pixels of larger crops the same. On a CPU the C library
    gives large layers back to the system after each pass, and the next one waits for their pages.
    """
    if device.type == "cpu":
        return _CROPS_ON_CPU
    return crops_in_memory(torch.cuda.get_device_properties(device).total_memory, input_size_px)


def crops_in_memory(gpu_bytes: int, input_size_px: int) -> int:
    """How many crops a GPU of so much memory takes at once; of crops above 224 px as many pixels."""
    crops = _CROPS_ON_LARGE_GPU if gpu_bytes >= _LARGE_GPU_BYTES else _CROPS_ON_GPU
    return max(1, min(crops, crops * _MEASURED_PX**2 // input_size_px**2))


def uses_bf16(config: BackboneConfig, device: torch.device) -> bool:
    """Whether the training's forward passes run in bfloat16.

    Raises:
        ConfigError: bf16 is asked for on a GPU without it.
    """
    if config.precision == "fp32" or (config.precision == "auto" and device.type == "cpu"):
        return False
    supported = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if config.precision == "bf16" and not supported:
        raise ConfigError(
            f"backbone.precision is bf16, which {torch.cuda.get_device_name(device)} does not have: set it to auto or "
            "fp32"
        )
    return supported


def require_compiler(device: torch.device) -> None:
    """Compile and run one small function.

    Raises:
        ConfigError: torch.compile does not work here.
    """
    # Imported here: the compiler takes seconds to load.
    from torch._dynamo.exc import BackendCompilerFailed

    def small(values: torch.Tensor) -> torch.Tensor:
        return values.sin() + 1

    try:
        torch.compile(small)(torch.ones(8, device=device))
    except BackendCompilerFailed as error:
        needed = "Triton" if device.type == "cuda" else "a C++ compiler (g++)"
        raise ConfigError(
            f"backbone.compile is true, and torch.compile does not work here ({error!s:.300}): install {needed}, or "
            "set backbone.compile to false"
        ) from error
