# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
What an encoder reads: tokens, speech, or pictures, one class each, under one contract.

    out = frontend(inputs, mask)      # embeds (batch, states, embedding), and the mask that belongs to them

A front end may give fewer states than it was given frames or pixels, so it hands on a mask of its own. Padding, on any
side, never changes the states of what is real.

A new kind is one class, one entry in `FRONTENDS`, and its name in `FRONTEND_TYPES`, with what it reads.
"""

import functools
import importlib
import math
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.utils.import_utils import is_tracing

from .configuration_attn_seq2seq import AttnSeq2SeqConfig
from .fused import runs_plainly
from .modality import AUDIO, modality_of
from .recorder import record


class FrontendOutput(NamedTuple):
    """What a front end hands to the encoder's stack."""

    embeds: torch.Tensor  # (batch, states, embedding)
    mask: torch.Tensor | None  # (batch, states), nonzero on real states; None: all are real


def to_front(
    inputs: torch.Tensor, mask: torch.Tensor | None, dim: int = 1
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """
    Move what is real to the front of dimension `dim`, in its order, and make padding 0.

    Args:
        inputs: `(batch, ...)`.
        mask: `(batch, length of that dimension)`, nonzero on what is real; None: all is.
    """
    if mask is None:
        return inputs, None
    mask = mask.bool()
    shape = [1] * inputs.dim()
    shape[0], shape[dim] = mask.shape
    if is_tracing(mask) or bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        length = mask.shape[1]
        steps = torch.arange(length, device=mask.device).expand(mask.shape[0], -1)
        # Padding is scattered into one place too many, which is cut off.
        places = torch.where(mask, mask.long().cumsum(1) - 1, length)
        order = steps.new_zeros(mask.shape[0], length + 1).scatter(1, places, steps)[:, :length]
        inputs = inputs.gather(dim, order.view(shape).expand(inputs.shape))
        mask = steps < mask.sum(1, keepdim=True)
    return inputs.masked_fill(~mask.view(shape), 0.0), mask


class Frontend(nn.Module):
    """The contract of all front ends."""

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.convolutions = nn.ModuleList()  # which explanations show, if there are any

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None) -> FrontendOutput:
        """`inputs` and their mask, as the class says, to states and the mask that belongs to them."""
        raise NotImplementedError

    @classmethod
    def stride(cls, config: AttnSeq2SeqConfig) -> tuple[int, int]:
        """How much a state stands for: `(frames, 1)`, `(pixels down, pixels across)`, or `(1, 1)` of tokens."""
        return 1, 1

    @classmethod
    def check(cls, config: AttnSeq2SeqConfig, inputs: torch.Tensor | None, mask: torch.Tensor | None) -> None:
        """Refuse what would fail deep inside, or silently give nonsense; raises a ValueError of one sentence."""

    @classmethod
    def dummy_inputs(cls, config: AttnSeq2SeqConfig, device: torch.device) -> dict[str, torch.Tensor]:
        """A small batch of two, the second with padding."""
        raise NotImplementedError


class TokenFrontend(Frontend):
    """Token ids, which the encoder's table has turned into embeddings: nothing is left to do."""

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None) -> FrontendOutput:
        """`(batch, src_len, embedding)` and `(batch, src_len)`, as they are."""
        return FrontendOutput(inputs, mask)

    @classmethod
    def dummy_inputs(cls, config: AttnSeq2SeqConfig, device: torch.device) -> dict[str, torch.Tensor]:
        ids = torch.tensor([[4, 5, 2], [4, 2, 0]], device=device) % config.vocab_size
        return {"input_ids": ids, "attention_mask": ids.ne(0).long()}


class Convolution(nn.Module):
    """A strided 3 x 3 convolution over a plane and ReLU; where channels are normalized, each point by itself."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int], eps: float | None = None) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1)
        self.norm = nn.Identity() if eps is None else nn.LayerNorm(outputs, eps=eps)

    def forward(self, planes: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
        """
        `(batch, inputs, height, width)` to `(batch, outputs, ceil(height / stride), ceil(width / stride))`, 0 where
        `real`, which is bool and broadcastable to that, is False.
        """
        if not is_tracing(planes):  # graphs have one order of numbers
            # The channels of a point side by side: what the norm needs, and faster on a CPU.
            planes = planes.to(memory_format=torch.channels_last)
        planes = self.convolution(planes)
        if isinstance(self.norm, nn.LayerNorm):
            planes = self.norm(planes.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if real is not None and runs_plainly(planes):
            # What is 0 before ReLU gets no gradient through it: autograd need not know, and copy, twice.
            planes.detach().masked_fill_(~real, 0.0)
            planes = torch.relu_(planes)
        else:
            planes = torch.relu(planes if real is None else planes.masked_fill(~real, 0.0))
        record(self, planes=planes)
        return planes


class SpeechFrontend(Frontend):
    """
    Log-mel frames through strided convolutions over time and frequency (Dong et al. 2018, "Speech-Transformer",
    section 3.3), then a linear map and layer normalization.

    With the default of two convolutions of stride 2, a state stands for four frames.
    """

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        channels = [1, *config.frontend_channels]
        self.convolutions.extend(
            Convolution(inputs, outputs, (time, mel))
            for inputs, outputs, (time, mel) in zip(channels, channels[1:], config.frontend_strides)
        )
        bins = config.num_mel_bins
        for _, mel in config.frontend_strides:
            bins = math.ceil(bins / mel)
        self.projection = nn.Linear(channels[-1] * bins, config.embedding_size)
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None) -> FrontendOutput:
        """`(batch, frames, num_mel_bins)` and `(batch, frames)` to a state for every `stride` frames."""
        record(self, inputs=inputs)
        frames, mask = to_front(inputs.to(self.projection.weight.dtype), mask)
        planes = frames.unsqueeze(1)
        for convolution, (stride, _) in zip(self.convolutions, self.config.frontend_strides):
            mask = None if mask is None else mask[:, ::stride]
            planes = convolution(planes, None if mask is None else mask[:, None, :, None])
        embeds = self.norm(self.projection(planes.transpose(1, 2).flatten(2)))
        if mask is not None:
            embeds = embeds.masked_fill(~mask.unsqueeze(-1), 0.0)
        record(self, embeds=embeds)
        return FrontendOutput(embeds, mask)

    @classmethod
    def stride(cls, config: AttnSeq2SeqConfig) -> tuple[int, int]:
        return math.prod(time for time, _ in config.frontend_strides), 1

    @classmethod
    def check(cls, config: AttnSeq2SeqConfig, inputs: torch.Tensor | None, mask: torch.Tensor | None) -> None:
        bins = config.num_mel_bins
        if inputs is None:
            raise ValueError("This model hears: give input_features, which its processor makes of audio.")
        if inputs.dim() != 3 or inputs.shape[-1] != bins:
            raise ValueError(
                f"The input_features have shape {tuple(inputs.shape)}: they must be (batch, frames, {bins}), as the "
                "model's own processor makes them."
            )
        if 0 in inputs.shape:
            raise ValueError("The input_features are empty: they need at least one utterance of one frame.")
        if mask is not None and tuple(mask.shape) != tuple(inputs.shape[:2]):
            raise ValueError(
                f"The attention_mask has shape {tuple(mask.shape)}: it must be {tuple(inputs.shape[:2])}, one number "
                "per frame."
            )
        if not inputs.is_floating_point():
            raise ValueError(f"The input_features must be floating-point numbers, not {inputs.dtype}.")

    @classmethod
    def dummy_inputs(cls, config: AttnSeq2SeqConfig, device: torch.device) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(2, 24, config.num_mel_bins, generator=generator).to(device)
        mask = torch.ones(2, 24, dtype=torch.long, device=device)
        mask[1, 16:] = 0
        return {"input_features": features, "attention_mask": mask}


class ImageFrontend(Frontend):
    """
    Pictures through strided convolutions, or a backbone of `timm`, then a linear map and layer normalization.

    `image_layout="grid"`: a state for each cell of the grid that is left, row by row (Xu et al. 2015, section 3.1.1),
    with the sum of sinusoidal positions of its row, in one half of the numbers, and of its column, in the other.
    `"columns"`: a state for each column, for lines of text: what lies above each other is one vector (Shi et al.
    2017, "CRNN", section 2.1).
    """

    def __init__(self, config: AttnSeq2SeqConfig) -> None:
        super().__init__(config)
        self.backbone: nn.Module | None = None
        if config.image_backbone is not None:
            self.backbone = build_backbone(config.image_backbone, config.image_channels)
            info: Any = self.backbone.feature_info
            width = info.channels()[-1]
        else:
            channels = [config.image_channels, *config.frontend_channels]
            self.convolutions.extend(
                Convolution(inputs, outputs, (down, across), config.layer_norm_eps)
                for inputs, outputs, (down, across) in zip(channels, channels[1:], config.frontend_strides)
            )
            width = channels[-1]
        if config.image_layout == "columns":
            rows = config.image_height
            for down, _ in config.frontend_strides:
                rows = math.ceil(rows / down)
            width = width * rows
        self.projection = nn.Linear(width, config.embedding_size)
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None) -> FrontendOutput:
        """
        `(batch, channels, height, width)` and `(batch, height, width)`, whose real pixels are whole rows and columns,
        to states.
        """
        record(self, inputs=inputs)
        planes, rows, columns = inputs.to(self.projection.weight.dtype), None, None
        if mask is not None:
            planes, rows = to_front(planes, mask.bool().any(2), dim=2)
            planes, columns = to_front(planes, mask.bool().any(1), dim=3)
        if self.backbone is not None:
            planes, rows, columns = unpadded_maps(self.backbone, planes, rows, columns)
        for convolution, (down, across) in zip(self.convolutions, self.config.frontend_strides or []):
            rows = None if rows is None else rows[:, ::down]
            columns = None if columns is None else columns[:, ::across]
            planes = convolution(planes, real_cells(rows, columns))
        if self.config.image_layout == "columns":
            states, mask = planes.permute(0, 3, 2, 1).flatten(2), columns
        else:
            states = planes.permute(0, 2, 3, 1).flatten(1, 2)
            real = real_cells(rows, columns)
            mask = None if real is None else real.flatten(1)
        embeds = self.norm(self.projection(states))
        if self.config.image_layout == "grid":
            embeds = embeds + grid_positions(planes.shape[2], planes.shape[3], embeds)
        if mask is not None:
            embeds = embeds.masked_fill(~mask.unsqueeze(-1), 0.0)
        record(self, embeds=embeds)
        return FrontendOutput(embeds, mask)

    @classmethod
    def stride(cls, config: AttnSeq2SeqConfig) -> tuple[int, int]:
        if config.image_backbone is not None:
            return (backbone_reduction(config.image_backbone),) * 2
        down, across = (math.prod(stride[side] for stride in config.frontend_strides) for side in (0, 1))
        return config.image_height if config.image_layout == "columns" else down, across

    @classmethod
    def check(cls, config: AttnSeq2SeqConfig, inputs: torch.Tensor | None, mask: torch.Tensor | None) -> None:
        height = "height" if config.image_height is None else config.image_height
        if inputs is None:
            raise ValueError("This model sees: give pixel_values, which its processor makes of pictures.")
        if (
            inputs.dim() != 4
            or inputs.shape[1] != config.image_channels
            or (config.image_height is not None and inputs.shape[2] != config.image_height)
        ):
            raise ValueError(
                f"The pixel_values have shape {tuple(inputs.shape)}: they must be (batch, {config.image_channels}, "
                f"{height}, width), as the model's own processor makes them."
            )
        if 0 in inputs.shape:
            raise ValueError("The pixel_values are empty: they need at least one picture of one pixel.")
        expected = (inputs.shape[0], *inputs.shape[2:])
        if mask is not None and tuple(mask.shape) != expected:
            raise ValueError(
                f"The pixel_mask has shape {tuple(mask.shape)}: it must be {expected}, one number per pixel."
            )
        if not inputs.is_floating_point():
            raise ValueError(f"The pixel_values must be floating-point numbers, not {inputs.dtype}.")

    @classmethod
    def dummy_inputs(cls, config: AttnSeq2SeqConfig, device: torch.device) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        height = config.image_height or 32
        pixels = torch.randn(2, config.image_channels, height, 48, generator=generator).to(device)
        mask = torch.ones(2, height, 48, dtype=torch.long, device=device)
        mask[1, :, 32:] = 0
        return {"pixel_values": pixels, "pixel_mask": mask}


def real_cells(rows: torch.Tensor | None, columns: torch.Tensor | None) -> torch.Tensor | None:
    """The real cells `(batch, 1, height, width)` of real rows `(batch, height)` and columns `(batch, width)`."""
    if rows is None or columns is None:
        return None
    return rows[:, None, :, None] & columns[:, None, None, :]


def unpadded_maps(
    network: nn.Module, planes: torch.Tensor, rows: torch.Tensor | None, columns: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """
    The last map of a network that knows no mask: pictures of one size pass it together, without any padding.

    Args:
        planes: `(batch, channels, height, width)`, what is real in the upper left.
        rows, columns: The real ones, `(batch, height)` and `(batch, width)`; None: all are.

    Returns:
        The maps, 0 behind what is real, and their real rows and columns.
    """
    if rows is None or columns is None:
        return network(planes)[-1], None, None
    sizes = torch.stack([rows.sum(1), columns.sum(1)], dim=1)
    found, group = sizes.unique(dim=0, return_inverse=True)
    places = [(group == number).nonzero().squeeze(1) for number in range(len(found))]
    maps = [network(planes[place, :, :height, :width])[-1] for place, (height, width) in zip(places, found.tolist())]
    most = [max(each.shape[side] for each in maps) for side in (2, 3)]
    joined = maps[0].new_zeros(len(planes), maps[0].shape[1], *most)
    counts = sizes.new_zeros(sizes.shape)
    for place, each in zip(places, maps):
        joined[place, :, : each.shape[2], : each.shape[3]] = each
        counts[place] = counts.new_tensor(each.shape[2:])
    rows, columns = (torch.arange(most[side], device=counts.device) < counts[:, side, None] for side in (0, 1))
    return joined, rows, columns


def grid_positions(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """
    `(height * width, embedding)`: half of the numbers tell the row and half the column, each by the sines and cosines
    of Vaswani et al. 2017, section 3.5.
    """
    size = like.shape[-1]
    halves = []
    for count, numbers in ((height, size // 2), (width, size - size // 2)):
        pairs = torch.arange(math.ceil(numbers / 2), device=like.device, dtype=torch.float32)
        rates = torch.exp(pairs * (-2 * math.log(10000.0) / numbers))
        angles = torch.arange(count, device=like.device, dtype=torch.float32).unsqueeze(1) * rates
        halves.append(torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :numbers])
    rows, columns = halves
    grid = torch.cat([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=-1)
    return grid.flatten(0, 1).to(like.dtype)


def build_backbone(name: str, channels: int = 3) -> nn.Module:
    """
    A network of `timm`, as far as its last map of features, with random weights.

    Raises:
        ImportError: `timm` is not installed.
        ValueError: It has no such network, or one without maps of features.
    """
    try:
        # Not an import statement: Transformers would demand the package wherever this file's code is loaded.
        timm = importlib.import_module("timm")
    except ImportError:
        raise ImportError(
            f"image_backbone='{name}' needs timm, which is not installed: run pip install 'hf_attn_seq2seq[timm]'."
        ) from None
    try:
        return timm.create_model(name, pretrained=False, features_only=True, in_chans=channels)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"image_backbone='{name}' is no network of timm that gives maps of features ({error}): "
            "choose one of timm.list_models()."
        ) from None


@functools.cache
def backbone_reduction(name: str) -> int:
    """How many pixels, down and across, a cell of a network's last map stands for; the network itself must say."""
    with torch.random.fork_rng([]):
        info: Any = build_backbone(name).feature_info
    return info.reduction()[-1]


FRONTENDS: dict[str, type[Frontend]] = {
    "tokens": TokenFrontend,
    "speech": SpeechFrontend,
    "image": ImageFrontend,
}


def source_stride(config: AttnSeq2SeqConfig) -> tuple[int, int]:
    """[`Frontend.stride`] of a state of the encoder, which may be joined of several by its pyramid."""
    first, second = FRONTENDS[config.frontend].stride(config)
    joined = 2**config.pyramid_layers
    return (first * joined, second) if modality_of(config) == AUDIO else (first, second * joined)


__all__ = ["FRONTENDS", "Frontend", "FrontendOutput", "source_stride"]
