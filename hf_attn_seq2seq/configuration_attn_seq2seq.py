# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""One configuration for every attention encoder-decoder: which encoder, which decoder, which attention joins them."""

import copy
import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers.activations import ACT2FN
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import TRANSFORMERS_DYNAMIC_MODULE_NAME

from .messages import shortened
from .modality import AUDIO, FRONTEND_TYPES, IMAGE, TEXT, Modality, modality_of


# Incremented when older versions of this code would compute something else from a new configuration.
FORMAT_VERSION = 1

CELL_TYPES = ("gru", "lstm", "ssru", "min_gru", "min_lstm")
STACK_TYPES = (*CELL_TYPES, "transformer")
ATTENTION_TYPES = (
    "additive",
    "dot",
    "general",
    "concat",
    "scaled_dot",
    "multi_head",
    "local_m",
    "local_p",
    "location",
    "location_aware",
    "coverage",
    "monotonic",
    "none",
)
ATTENTION_NORMALIZERS = ("softmax", "sparsemax", "entmax15")
BRIDGES = ("zeros", "last", "last_both", "mean", "dense", "mean_dense", "final", "final_dense")
# Those that read the state in which each layer of the encoder ends.
FINAL_STATE_BRIDGES = ("final", "final_dense")
READOUTS = ("tanh", "maxout", "affine", "deep", "linear", "concat")
DECODER_MIXERS = ("attention", "ssru", "min_gru", "average")
POSITION_TYPES = ("sinusoidal", "sinusoidal_concat", "sinusoidal_halves", "learned", "rotary")
SINUSOIDAL_POSITIONS = ("sinusoidal", "sinusoidal_concat", "sinusoidal_halves")
IMAGE_LAYOUTS = ("grid", "columns")

# Cells whose state is two vectors, h and c; that of the others is one.
TWO_PART_CELLS = ("lstm",)
# Kinds whose next step needs the weights of earlier steps; a Transformer decoder computes all steps at once.
RUNNING_STATE_ATTENTIONS = ("location_aware", "coverage", "monotonic")
# Kinds whose scoring network may have a bias and a normalised vector, or not; others are as in their papers.
FREE_SCORE_ATTENTIONS = ("additive", "concat")
# Kinds that compare query and key without a projection, so that both must have the same width.
UNPROJECTED_ATTENTIONS = ("dot", "scaled_dot")
# Kinds that end in a projection to the decoder's width; the context of the others is as wide as the encoder's states.
PROJECTING_ATTENTIONS = ("multi_head",)

_CHOICES: dict[str, tuple[str, ...]] = {
    "encoder_type": STACK_TYPES,
    "decoder_type": STACK_TYPES,
    "attention_type": ATTENTION_TYPES,
    "attention_normalizer": ATTENTION_NORMALIZERS,
    "attention_query": ("previous", "current", "between"),
    "bridge": BRIDGES,
    "readout": READOUTS,
    "norm_position": ("post", "pre"),
    "decoder_mixer": DECODER_MIXERS,
    "position_type": POSITION_TYPES,
    "frontend": tuple(FRONTEND_TYPES),
    "image_layout": IMAGE_LAYOUTS,
}
# Channels of the convolutions of a front end, where none are given.
_CONVOLUTIONS = {"speech": (32, 32), "image": (32, 64, 128)}


def _front_ends(*modalities: Modality) -> tuple[str, ...]:
    return tuple(name for name, modality in FRONTEND_TYPES.items() if modality in modalities)


# Fields that not every front end reads.
_FRONTEND_FIELDS = {
    "num_mel_bins": _front_ends(AUDIO),
    "image_channels": _front_ends(IMAGE),
    "image_height": _front_ends(IMAGE),
    "image_layout": _front_ends(IMAGE),
    "image_backbone": ("image",),
    "frontend_channels": tuple(_CONVOLUTIONS),
    "frontend_strides": tuple(_CONVOLUTIONS),
    "pyramid_layers": _front_ends(AUDIO, IMAGE),
    "ctc_weight": _front_ends(AUDIO, IMAGE),
}
_POSITIVE = (
    "vocab_size",
    "decoder_vocab_size",
    "hidden_size",
    "embedding_size",
    "encoder_hidden_size",
    "encoder_layers",
    "decoder_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "encoder_attention_heads",
    "encoder_key_value_heads",
    "attention_size",
    "attention_window",
    "location_filters",
    "location_kernel_size",
    "intermediate_size",
    "encoder_intermediate_size",
    "max_position_embeddings",
    "num_mel_bins",
    "image_channels",
)
# Names in other libraries for two of our fields.
_NAMES_ELSEWHERE = {
    "num_layers": "encoder_layers and decoder_layers",
    "rnn_type": "encoder_type and decoder_type",
    "cell_type": "encoder_type and decoder_type",
}
_generating: ContextVar[bool] = ContextVar("generating", default=False)


@contextmanager
def target_vocabulary() -> Iterator[None]:
    """
    Inside this context, `get_text_config().vocab_size` is that of the target: helpers of `generate()` in Transformers
    (prompt lookup, watermarks, transition scores) read the number of tokens that can be generated there.
    """
    token = _generating.set(True)
    try:
        yield
    finally:
        _generating.reset(token)


DROPOUTS = ("dropout", "attention_dropout", "activation_dropout", "recurrent_dropout")


@strict
class AttnSeq2SeqConfig(PreTrainedConfig):
    r"""
    Configuration of [`AttnSeq2SeqModel`] and [`AttnSeq2SeqForConditionalGeneration`].

    Any `encoder_type` can be combined with any `decoder_type` and any `attention_type`. Sizes left at `None` follow
    `hidden_size`; the object has and saves the resolved values, so if you change `hidden_size` in a saved
    configuration, change the other sizes too.

    Args:
        vocab_size: Number of source tokens, and of target tokens unless `decoder_vocab_size` differs.
        decoder_vocab_size: Number of target tokens; `None` means `vocab_size`.
        hidden_size: Width of the decoder state and of the output layer's input.
        embedding_size: Width of the token embeddings; for Transformer stacks it must equal their width.
        encoder_hidden_size: Width of the encoder's output states; in a bidirectional encoder, half for each direction.
        encoder_type, decoder_type: `"gru"` (Cho et al. 2014), `"lstm"` (Hochreiter and Schmidhuber 1997), `"ssru"`
            (Kim et al. 2019), `"min_gru"`, `"min_lstm"` (Feng et al. 2024) or `"transformer"` (Vaswani et al. 2017).
        encoder_layers, decoder_layers: Depths, in layers.
        bidirectional: Whether each layer of a recurrent encoder reads in both directions.
        attention_type: One of `"additive"` (Bahdanau et al. 2015), `"dot"`, `"general"`, `"concat"`, `"local_m"`,
            `"local_p"`, `"location"` (Luong et al. 2015), `"scaled_dot"`, `"multi_head"` (Vaswani et al. 2017),
            `"location_aware"` (Chorowski et al. 2015), `"coverage"` (See et al. 2017), `"monotonic"` (Raffel et al.
            2017), `"none"` (a fixed context vector, Cho et al. 2014).
        attention_normalizer: `"softmax"`, `"sparsemax"` (Martins and Astudillo 2016) or `"entmax15"` (Peters et al.
            2019): how scores become weights.
        attention_query: Recurrent decoders only. `"previous"`: the query is the state before the step, and the context
            is an input of the cell (Bahdanau et al. 2015); `"current"`: the query is the state after the step (Luong
            et al. 2015); `"between"`: the query is the state after the first of two cells, and the context is the
            input of the second (conditional GRU, Sennrich et al. 2017).
        input_feeding: Whether the attentional vector of a step is an input of the cell at the next step (Luong et al.
            2015, section 3.3). Recurrent decoders only.
        num_attention_heads: Heads of the attention between encoder and decoder, and of a Transformer decoder's
            self-attention. `None`: 4 with a Transformer decoder or `"multi_head"` (2 or 1 if 4 does not divide the
            width), else 1.
        num_key_value_heads: The number of their key-value heads (grouped-query attention, Ainslie et al. 2023);
            `None`: one per head. Only `"multi_head"` and Transformer decoders support grouping.
        encoder_attention_heads, encoder_key_value_heads: The same for a Transformer encoder's self-attention; `None`:
            as `num_attention_heads` and `num_key_value_heads`, or 4 (2, 1) heads if those are not set either.
        attention_size: Inner width of the scoring networks with a tanh (additive, concat, location_aware, coverage,
            monotonic, and the position network of local_p).
        attention_bias: Whether the scoring network of `"additive"` and `"concat"` adds a bias inside its tanh.
        attention_weight_norm: Whether its vector v is g v / |v|, with a gain g for each head (Salimans and Kingma
            2016); with `attention_bias`, TensorFlow's `normed_bahdanau`.
        attention_window: `D` of local attention, which attends to `2 D + 1` source positions.
        location_filters, location_kernel_size: The convolution over the previous weights in `"location_aware"`; the
            kernel size must be odd.
        monotonic_noise: Standard deviation of the noise added to monotonic energies in training.
        monotonic_hard: Whether monotonic attention selects a single position (hard attention) outside training.
        pointer: Whether a step may copy a token of the source instead of writing one (See et al. 2017, eq. 8 and 9),
            by the attention's weights, or those of a Transformer decoder's last layer; needs a shared vocabulary. The
            model's logits are then log-probabilities.
        pointer_slots: How many words of a source that are outside the vocabulary can be copied: they have the ids
            from `vocab_size` on; 0 where a vocabulary can spell everything, as subwords can.
        coverage_loss_weight: Weight of the coverage loss in training (See et al. 2017, eq. 12 and 13); 0: none.
        bridge: How the first decoder state is computed from the encoder: `"zeros"`, `"last"` state, `"last_both"`
            (that state for h and for an LSTM's c too, as in JoeyNMT), `"mean"` state, or `"dense"` (tanh of a linear
            map) of the last state, or of a Transformer's mean; `"mean_dense"`, the same of the mean in all cases; each
            layer from the `"final"` state, h and c, of the same layer of the encoder (Sutskever et al. 2014), through
            linear maps where widths differ; or `"final_dense"`: relu of linear maps of all layers' final states (as
            OpenNMT's). Recurrent decoders only.
        readout: What the output layer reads. `"tanh"`: tanh(W [state; context] + b) (Luong et al. 2015, eq. 5);
            `"affine"`: the same without its tanh; `"deep"`: tanh(W [state; context; previous word] + b), as wide as an
            embedding (Sennrich et al. 2017); `"maxout"`: deep output with maxout units over state, context and
            the previous word (Bahdanau et al. 2015, A.2.2); `"linear"`: the state alone; `"concat"`: state, context
            and the previous word's embedding side by side. Recurrent decoders only.
        residual, layer_norm: Residual connections between, and layer normalization after, the layers of recurrent
            stacks.
        dropout: Dropout probability on embeddings, between layers and before the output layer.
        attention_dropout: Dropout probability on attention weights.
        activation_dropout: Dropout probability inside Transformer feed-forward blocks.
        recurrent_dropout: Dropout probability on the hidden-to-hidden connections of GRU and LSTM layers, with one
            mask per sequence (Gal and Ghahramani 2016); other cells have none.
        variational_dropout: Whether `dropout` in recurrent stacks draws one mask per sequence, instead of per step.
        decoder_mixer: How a step of a Transformer decoder's layer learns of the steps before it: `"attention"`
            (Vaswani et al. 2017); by the recurrent cells `"ssru"` (Kim et al. 2019) or `"min_gru"` (Feng et al. 2024);
            or `"average"`: their mean, a feed-forward network and gates (Zhang et al. 2018). All but attention
            remember a state of fixed size and have no self-attention weights. Transformer decoders only.
        average_size: Width inside the feed-forward network of `"average"`; `None` means `intermediate_size`.
        average_layers: How many inner layers it has; 0 leaves the network out.
        average_act: Its activation; `None` means `hidden_act`.
        average_gate: Whether gates weigh its result against the input.
        intermediate_size: Width of Transformer feed-forward blocks; `None` means `4 * hidden_size`.
        encoder_intermediate_size: The same for a Transformer encoder; `None`: as `intermediate_size`.
        hidden_act: Activation of Transformer feed-forward blocks.
        norm_position: `"post"` (Vaswani et al. 2017) or `"pre"` (Xiong et al. 2020) layer normalization.
        residual_alpha: What a Transformer decoder's layers multiply a sum by before they add to it: 1 in most, a
            larger number in DeepNorm (Wang et al. 2022, alpha).
        encoder_residual_alpha: The same for a Transformer encoder; `None`: as `residual_alpha`.
        scale_embeddings: Whether Transformer stacks multiply embeddings by the square root of their width.
        position_type: `"sinusoidal"` (Vaswani et al. 2017), `"sinusoidal_concat"` (the same numbers, all sines before
            all cosines, as in Sockeye), `"sinusoidal_halves"` (in this order, at the angles of Marian and
            Tensor2Tensor), `"learned"` or `"rotary"` (Su et al. 2021) positions of Transformer stacks.
        position_offset: The number of the first position, where they are sinusoidal: 0 in most, 2 in fairseq.
        embedding_norm: Whether Transformer stacks normalize the sums of embeddings and positions.
        max_position_embeddings: Longest sequence for learned positions, and longest source for `"location"`.
        rope_theta: Base of the rotary angles.
        layer_norm_eps: Added to the variance in layer normalization.
        tie_word_embeddings: Whether the output layer shares the target embedding table (two-way tying, Press and Wolf
            2017); needs an output layer that reads as many numbers as an embedding has.
        output_bias: Whether the output layer adds a bias.
        unk_token_id: The token as which words outside the vocabulary are read; only for `pointer_slots`.
        zero_start: Whether the decoder reads zeros, instead of an embedding, where it is fed the start token, as in
            Marian.
        frontend: What the encoder reads: `"tokens"`, `"speech"` (log-mel frames: Chan et al. 2016, "Listen, Attend and
            Spell") or `"image"` (pixels: Xu et al. 2015, "Show, Attend and Tell"). For the latter two there is no
            source vocabulary: `vocab_size` is the target's.
        num_mel_bins: Numbers in a frame of speech.
        image_channels: 1 for grey pictures, 3 for colour.
        image_height: Height of all pictures, in pixels; None: any. `image_layout="columns"` needs it.
        image_layout: `"grid"`: a state for each cell of what the convolutions leave, with positions in two
            dimensions; `"columns"`: a state for each column, for lines of text.
        image_backbone: Name of a network of `timm` to read pictures with, instead of the convolutions. It knows no
            mask: pictures of one size pass it together, without any padding; a norm over the batch sees these.
        frontend_channels: Channels of each of the convolutions; None: 32 and 32 for speech, 32, 64 and 128 for
            pictures.
        frontend_strides: Their strides, each a pair: time and frequency, or height and width; None: 2 throughout.
        pyramid_layers: Between how many layers of a recurrent encoder, from the first on, pairs of neighbouring
            states are joined into one, so that each halves the length (Chan et al. 2016, section 3.1). Speech, and
            pictures read in columns.
        ctc_weight: Share of CTC in the loss, w in (1 - w) attention + w CTC, by a second output layer on the encoder
            (Watanabe et al. 2017, eq. 21); its blank is `pad_token_id`. 0: none. Speech and pictures.
        share_encoder_decoder_embeddings: Whether source and target share one table (with `tie_word_embeddings`:
            three-way tying); needs a shared vocabulary.
        split_sentences: Whether `translate`, `explain`, the pipeline and the app let the model read each sentence of a
            text separately, and join what it writes; False for a model that learnt to read whole texts, such as one
            that sums them up.
        format_version: Format of the code that saved the model; a model saved by newer code is refused.

    Raises:
        ValueError: A field has an invalid value, or fields contradict each other; the message names them.

    Example:

    ```python
    >>> from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration

    >>> config = AttnSeq2SeqConfig(vocab_size=1000, encoder_type="lstm", decoder_type="gru", attention_type="general")
    >>> model = AttnSeq2SeqForConditionalGeneration(config)

    ```
    """

    model_type = "attn_seq2seq"
    keys_to_ignore_at_inference = [
        "past_key_values",
        "encoder_last_hidden_state",
        "encoder_hidden_states",
        "encoder_attentions",
        "decoder_hidden_states",
        "decoder_attentions",
        "cross_attentions",
    ]
    attribute_map = {
        "num_hidden_layers": "encoder_layers",
        # Names of these fields in other encoder-decoders of Transformers.
        "d_model": "hidden_size",
        "d_ff": "intermediate_size",
        "encoder_ffn_dim": "encoder_intermediate_size",
        "decoder_ffn_dim": "intermediate_size",
        "num_heads": "num_attention_heads",
        "decoder_attention_heads": "num_attention_heads",
    }

    vocab_size: int = 8000
    decoder_vocab_size: int | None = None
    hidden_size: int = 256
    embedding_size: int | None = None
    encoder_hidden_size: int | None = None
    encoder_type: str = "gru"
    decoder_type: str = "gru"
    encoder_layers: int = 1
    decoder_layers: int = 1
    bidirectional: bool = True

    attention_type: str = "additive"
    attention_normalizer: str = "softmax"
    attention_query: str = "previous"
    input_feeding: bool = False
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    encoder_attention_heads: int | None = None
    encoder_key_value_heads: int | None = None
    attention_size: int | None = None
    attention_bias: bool = False
    attention_weight_norm: bool = False
    attention_window: int = 10
    location_filters: int = 10
    location_kernel_size: int = 11
    monotonic_noise: float = 0.0
    monotonic_hard: bool = False
    pointer: bool = False
    pointer_slots: int = 0
    coverage_loss_weight: float | int = 0.0

    bridge: str = "dense"
    readout: str = "tanh"
    residual: bool = False
    layer_norm: bool = False
    dropout: float | int = 0.1
    attention_dropout: float | int = 0.0
    activation_dropout: float | int = 0.0
    recurrent_dropout: float | int = 0.0
    variational_dropout: bool = False

    decoder_mixer: str = "attention"
    average_size: int | None = None
    average_layers: int = 1
    average_act: str | None = None
    average_gate: bool = True
    intermediate_size: int | None = None
    encoder_intermediate_size: int | None = None
    hidden_act: str = "relu"
    norm_position: str = "post"
    residual_alpha: float | int = 1.0
    encoder_residual_alpha: float | int | None = None
    scale_embeddings: bool = True
    position_type: str = "sinusoidal"
    position_offset: int = 0
    embedding_norm: bool = False
    max_position_embeddings: int = 1024
    rope_theta: float = 10000.0
    layer_norm_eps: float = 1e-5

    frontend: str = "tokens"
    num_mel_bins: int = 80
    image_channels: int = 3
    image_height: int | None = None
    image_layout: str = "grid"
    image_backbone: str | None = None
    frontend_channels: list[int] | None = None
    frontend_strides: list[list[int]] | None = None
    pyramid_layers: int = 0
    ctc_weight: float | int = 0.0

    tie_word_embeddings: bool = True
    share_encoder_decoder_embeddings: bool = False
    output_bias: bool = False
    zero_start: bool = False
    split_sentences: bool = True
    use_cache: bool = True
    is_encoder_decoder: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    decoder_start_token_id: int | None = 1
    unk_token_id: int | None = 3
    format_version: int = FORMAT_VERSION

    def __post_init__(self, **kwargs: Any) -> None:
        if self.format_version > FORMAT_VERSION:
            raise ValueError(
                f"This model was saved by a newer version of hf_attn_seq2seq (format {self.format_version}; this "
                f"version reads up to {FORMAT_VERSION}): update with pip install -U hf_attn_seq2seq."
            )
        self.format_version = FORMAT_VERSION  # the format it will be saved in
        # Set before sizes are resolved, which depend on these; Transformers would set them afterwards.
        for name in [name for name in kwargs if name in self.attribute_map]:
            setattr(self, name, kwargs.pop(name))
        self._refuse_misspelt_fields(kwargs)
        self._resolve_sizes()
        # Called here too, and not only as a validator of @strict, so that users get a plain ValueError.
        self.validate_architecture()
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        left_out = set()
        if config_dict.get("use_cache") is False:
            # Every Trainer turns the cache off in training, and older versions saved that with the model: generate()
            # would then read the whole target again at each step. Nothing else depends on it.
            left_out.add("use_cache")
        if not cls.__module__.startswith(TRANSFORMERS_DYNAMIC_MODULE_NAME):
            # The pipeline saved with the weights is for machines without this package; here the package's is used.
            left_out.add("custom_pipelines")
        return super().from_dict(
            {name: value for name, value in config_dict.items() if name not in left_out}, **kwargs
        )

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "AttnSeq2SeqConfig":
        """
        Return the configuration of a paper, by its name in `PRESETS`.

        `overrides` may be any fields. If `hidden_size` is overridden, widths that are not given follow it.

        Raises:
            ValueError: The name is unknown.
        """
        if name not in PRESETS:
            raise ValueError(f"Unknown preset '{shortened(name)}': choose one of {', '.join(PRESETS)}.")
        return PRESETS[name](**overrides)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        config = super().get_text_config(decoder=decoder, encoder=encoder)
        if config is self and _generating.get() and self.output_size != self.vocab_size:
            config = copy.copy(self)
            config.vocab_size = self.output_size
        return config

    @property
    def is_recurrent_encoder(self) -> bool:
        return self.encoder_type != "transformer"

    @property
    def is_recurrent_decoder(self) -> bool:
        return self.decoder_type != "transformer"

    @property
    def reads_tokens(self) -> bool:
        """Whether the source are tokens, so that there is a table of their embeddings."""
        return modality_of(self) == TEXT

    @property
    def context_size(self) -> int:
        """Width of the context that a recurrent decoder's attention gives."""
        return self.hidden_size if self.attention_type in PROJECTING_ATTENTIONS else self.encoder_hidden_size

    @property
    def readout_size(self) -> int:
        """Width of what the output layer reads."""
        if self.is_recurrent_decoder and self.readout == "concat":
            return self.hidden_size + self.context_size + self.embedding_size
        if self.is_recurrent_decoder and self.readout == "deep":
            return self.embedding_size
        return self.hidden_size

    @property
    def output_size(self) -> int:
        """How many tokens can be generated: the target's vocabulary and the words outside it."""
        return self.decoder_vocab_size + self.pointer_slots

    @property
    def reads_weights(self) -> bool:
        """Whether the model's output or loss depends on attention weights, not on contexts alone."""
        return self.pointer or self.coverage_loss_weight > 0

    @property
    def needs_final_state(self) -> bool:
        """Whether the decoder starts from the state in which each layer of the encoder ends."""
        return self.is_recurrent_decoder and self.bridge in FINAL_STATE_BRIDGES

    @property
    def carries_state(self) -> bool:
        """Whether the decoder remembers the target in states that pass from step to step, not in keys and values."""
        return self.is_recurrent_decoder or self.decoder_mixer != "attention"

    @property
    def num_states(self) -> int:
        """How many layers of the cache hold them: a recurrent decoder packs those of all its layers into one."""
        return 1 if self.is_recurrent_decoder else self.decoder_layers

    def _refuse_misspelt_fields(self, unknown: dict[str, Any]) -> None:
        # Transformers keeps any keyword as an attribute: a misspelled `atention_type="dot"` would be ignored silently.
        fields = [name for name in type(self).__dataclass_fields__ if not name.startswith("_")]
        for name in unknown:
            if name in _NAMES_ELSEWHERE:
                raise ValueError(f"AttnSeq2SeqConfig has no field '{name}': set {_NAMES_ELSEWHERE[name]}.")
            close = difflib.get_close_matches(name, fields, n=1, cutoff=0.9)
            if close and not hasattr(self, name):
                raise ValueError(f"AttnSeq2SeqConfig has no field '{shortened(name)}': did you mean '{close[0]}'?")

    def _resolve_sizes(self) -> None:
        def default(name: str, value: Any) -> None:
            if getattr(self, name) is None:
                setattr(self, name, value)

        default("decoder_vocab_size", self.vocab_size)
        if self.frontend in _CONVOLUTIONS and self.image_backbone is None:
            default("frontend_channels", list(_CONVOLUTIONS[self.frontend]))
            default("frontend_strides", [[2, 2] for _ in self.frontend_channels])
        default("embedding_size", self.hidden_size)
        default("encoder_hidden_size", self.hidden_size)
        default("attention_size", self.hidden_size)
        default("intermediate_size", 4 * self.hidden_size)
        default("encoder_intermediate_size", self.intermediate_size)
        default("encoder_residual_alpha", self.residual_alpha)
        several = self.attention_type == "multi_head" or not self.is_recurrent_decoder
        if self.num_attention_heads is None and not several and not self.is_recurrent_encoder:
            # A single head for cross-attention, as in the papers; the encoder's self-attention is better with several.
            default("encoder_attention_heads", _most_heads(self.encoder_hidden_size))
        default("num_attention_heads", _most_heads(self.hidden_size) if several else 1)
        default("num_key_value_heads", self.num_attention_heads)
        default("encoder_attention_heads", self.num_attention_heads)
        alike = self.encoder_attention_heads == self.num_attention_heads
        default("encoder_key_value_heads", self.num_key_value_heads if alike else self.encoder_attention_heads)

    def validate_architecture(self) -> None:
        """Check all fields and their combinations; raises a ValueError of one sentence."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}='{shortened(str(getattr(self, name)))}' is unknown: choose one of {', '.join(choices)}."
                )
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={shortened(str(getattr(self, name)))} must be at least 1.")
        for name in DROPOUTS:
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, 1).")
        if self.position_offset < 0:
            raise ValueError(f"position_offset={shortened(str(self.position_offset))} must be at least 0.")
        if self.position_offset and self.position_type not in SINUSOIDAL_POSITIONS:
            raise ValueError(
                f"position_offset={shortened(str(self.position_offset))} is for sinusoidal positions, not "
                f"position_type='{self.position_type}': leave it out."
            )
        if self.monotonic_noise < 0.0:
            raise ValueError(f"monotonic_noise={self.monotonic_noise} is a standard deviation: give 0 or more.")
        for name in ("rope_theta", "layer_norm_eps", "residual_alpha", "encoder_residual_alpha"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}={getattr(self, name)} must be greater than 0 and finite.")
        for name in ("hidden_act", "average_act"):
            value = getattr(self, name)
            if value is not None and value not in ACT2FN:
                raise ValueError(f"{name}='{shortened(value)}' is unknown: choose one of {', '.join(ACT2FN)}.")
        if self.average_size is not None and self.average_size < 1:
            raise ValueError(f"average_size={self.average_size} must be at least 1.")
        if self.average_layers < 0:
            raise ValueError(f"average_layers={self.average_layers} must be at least 0.")
        if self.location_kernel_size % 2 == 0:
            raise ValueError(
                f"location_kernel_size={self.location_kernel_size} must be odd, so that the kernel has a center."
            )
        self._validate_frontend()
        self._validate_stacks()
        self._validate_attention()
        self._validate_pointer()
        self._validate_embeddings()

    def _validate_frontend(self) -> None:
        fields, modality = type(self).__dataclass_fields__, modality_of(self)
        for name, frontends in _FRONTEND_FIELDS.items():
            if self.frontend not in frontends and getattr(self, name) != fields[name].default:
                raise ValueError(
                    f"{name}={shortened(str(getattr(self, name)))} is for frontend {' or '.join(frontends)}, not "
                    f"'{self.frontend}': leave it out."
                )
        if not 0.0 <= self.ctc_weight < 1.0:
            raise ValueError(f"ctc_weight={self.ctc_weight} is a share of the loss: give 0 or more, and less than 1.")
        if self.ctc_weight and self.pad_token_id is None:
            raise ValueError("ctc_weight needs pad_token_id, which is CTC's blank and is not set: name a token.")
        if self.ctc_weight and modality == IMAGE and self.image_layout == "grid":
            raise ValueError(
                f"ctc_weight={self.ctc_weight} needs states in the order of what is said, which cells of a grid are "
                "not: set image_layout='columns', or leave it out."
            )
        if self.reads_tokens:
            return
        if self.decoder_vocab_size != self.vocab_size:
            raise ValueError(
                f"frontend='{self.frontend}' has no source vocabulary, vocab_size={self.vocab_size} is the target's: "
                f"leave out decoder_vocab_size={self.decoder_vocab_size}."
            )
        if self.share_encoder_decoder_embeddings:
            raise ValueError(
                f"frontend='{self.frontend}' has no source embeddings to share: set share_encoder_decoder_embeddings="
                "False."
            )
        columns = modality == IMAGE and self.image_layout == "columns"
        if columns and self.image_height is None:
            raise ValueError("image_layout='columns' needs image_height, which is not set: give it in pixels.")
        if self.image_height is not None and self.image_height < 1:
            raise ValueError(f"image_height={self.image_height} must be at least 1.")
        if self.image_backbone is not None:
            if self.frontend_channels is not None or self.frontend_strides is not None:
                raise ValueError(
                    "image_backbone takes the place of frontend_channels and frontend_strides: leave these out."
                )
            if columns:
                raise ValueError("image_backbone gives a grid: set image_layout='grid'.")
        elif self.frontend in _CONVOLUTIONS:
            self._validate_convolutions()
        if self.pyramid_layers and not (self.is_recurrent_encoder and (columns or modality == AUDIO)):
            raise ValueError(
                f"pyramid_layers={self.pyramid_layers} joins pairs of states between layers of a recurrent encoder "
                "of speech, or of a picture's columns: choose an encoder_type such as 'lstm', or leave it out."
            )
        if not 0 <= self.pyramid_layers < self.encoder_layers:
            raise ValueError(
                f"pyramid_layers={self.pyramid_layers} must be at least 0 and less than encoder_layers="
                f"{self.encoder_layers}, between which states are joined."
            )
        if self.embedding_size % 2 and modality == IMAGE and not columns:
            raise ValueError(
                f"embedding_size={self.embedding_size} must be even: half of the numbers tell a cell's row and half "
                "its column."
            )

    def _validate_convolutions(self) -> None:
        channels, strides = self.frontend_channels, self.frontend_strides
        if len(channels) != len(strides) or not channels:
            raise ValueError(
                f"frontend_channels={channels} and frontend_strides={strides} go together: give as many strides as "
                "channels, at least one of each."
            )
        if any(count < 1 for count in channels):
            raise ValueError(f"frontend_channels={channels} must each be at least 1.")
        if any(len(pair) != 2 or min(pair) < 1 for pair in strides):
            raise ValueError(f"frontend_strides={strides} must each be a pair of numbers of at least 1.")

    def _validate_stacks(self) -> None:
        if self.is_recurrent_encoder:
            if self.bidirectional and self.encoder_hidden_size % 2:
                raise ValueError(
                    f"encoder_hidden_size={self.encoder_hidden_size} must be even, because each direction of the "
                    "encoder gets half of it: change it, or set bidirectional=False."
                )
        else:
            self._validate_transformer("encoder", self.encoder_hidden_size)
            _check_heads(self, "encoder_hidden_size", "encoder_attention_heads", "encoder_key_value_heads")
        if not self.is_recurrent_decoder:
            self._validate_transformer("decoder", self.hidden_size)
            _check_heads(self, "hidden_size", "num_attention_heads", "num_key_value_heads")
            if self.attention_type in RUNNING_STATE_ATTENTIONS:
                raise ValueError(
                    f"attention_type='{self.attention_type}' needs the weights of earlier steps, which a Transformer "
                    "decoder does not have: choose a recurrent decoder_type such as 'gru', or another attention_type."
                )
            if self.input_feeding:
                raise ValueError("input_feeding=True needs a recurrent decoder: choose a decoder_type such as 'gru'.")
        elif self.needs_final_state:
            self._validate_final_states()
        if self.is_recurrent_decoder and self.decoder_mixer != "attention":
            raise ValueError(
                f"decoder_mixer='{self.decoder_mixer}' stands in for a Transformer's self-attention, which "
                f"decoder_type='{self.decoder_type}' does not have: choose decoder_type 'transformer', or leave "
                "decoder_mixer out."
            )

    def _validate_final_states(self) -> None:
        if not self.is_recurrent_encoder:
            raise ValueError(
                f"bridge='{self.bridge}' reads the final states of a recurrent encoder, which a Transformer does not "
                "have: choose 'mean' or 'dense'."
            )
        if (self.encoder_type in TWO_PART_CELLS) != (self.decoder_type in TWO_PART_CELLS):
            raise ValueError(
                f"bridge='{self.bridge}' hands over h and an LSTM's c, so encoder_type='{self.encoder_type}' and "
                f"decoder_type='{self.decoder_type}' do not fit: choose one type, or 'dense'."
            )
        if self.bridge == "final" and self.encoder_layers != self.decoder_layers:
            raise ValueError(
                f"bridge='final' hands over layer by layer, so encoder_layers={self.encoder_layers} must equal "
                f"decoder_layers={self.decoder_layers} (or choose 'final_dense')."
            )

    def _validate_transformer(self, side: str, width: int) -> None:
        if self.embedding_size != width:
            name = "hidden_size" if side == "decoder" else "encoder_hidden_size"
            raise ValueError(
                f"A Transformer {side} needs embeddings of the same width, but embedding_size={self.embedding_size} "
                f"and {name}={width}: set both to one value."
            )
        heads = self.num_attention_heads if side == "decoder" else self.encoder_attention_heads
        if self.position_type == "rotary" and (width // heads) % 2:
            raise ValueError(
                f"position_type='rotary' rotates pairs of numbers, so the {side}'s head size {width // heads} must be "
                "even."
            )
        if self.position_type in SINUSOIDAL_POSITIONS and width % 2:
            raise ValueError(f"position_type='{self.position_type}' needs an even width, not {width}, in the {side}.")
        if self.position_type == "sinusoidal_halves" and width < 4:
            raise ValueError(f"position_type='sinusoidal_halves' needs a width of 4 or more, not {width}.")

    def _validate_attention(self) -> None:
        kind = self.attention_type
        if kind in ("none", "monotonic") and self.attention_normalizer != "softmax":
            raise ValueError(
                f"attention_type='{kind}' does not normalize scores: leave attention_normalizer at 'softmax', instead "
                f"of '{self.attention_normalizer}'."
            )
        for name in ("attention_bias", "attention_weight_norm"):
            if getattr(self, name) and kind not in FREE_SCORE_ATTENTIONS:
                raise ValueError(
                    f"{name}=True is for attention_type {' and '.join(FREE_SCORE_ATTENTIONS)}, not '{kind}': leave "
                    "it out."
                )
        unread = self.readout == "linear" and self.attention_query == "current" and kind != "none"
        if unread and self.is_recurrent_decoder:
            raise ValueError(
                "readout='linear' leaves out the context, which nothing else reads where attention_query='current': "
                "choose 'previous', another readout, or attention_type='none'."
            )
        if kind in UNPROJECTED_ATTENTIONS and self.encoder_hidden_size != self.hidden_size:
            raise ValueError(
                f"attention_type='{kind}' multiplies decoder and encoder states, so hidden_size={self.hidden_size} "
                f"must equal encoder_hidden_size={self.encoder_hidden_size} (or choose 'general')."
            )
        if kind == "multi_head":
            _check_heads(self, "hidden_size", "num_attention_heads", "num_key_value_heads")
        elif kind != "none":
            heads = self.num_attention_heads
            if self.is_recurrent_decoder and self.num_key_value_heads != heads:
                raise ValueError(
                    f"num_key_value_heads={self.num_key_value_heads} differs from num_attention_heads={heads}: only "
                    "'multi_head' attention and Transformer decoders group key-value heads."
                )
            for name in ("hidden_size", "encoder_hidden_size", "attention_size"):
                size = getattr(self, name)
                if size % heads:
                    raise ValueError(f"{name}={size} must be a multiple of num_attention_heads={heads}.")

    def _validate_pointer(self) -> None:
        if not 0.0 <= self.coverage_loss_weight < float("inf"):
            raise ValueError(f"coverage_loss_weight={self.coverage_loss_weight} must be 0 or more, and finite.")
        for name in ("pointer", "coverage_loss_weight"):
            if getattr(self, name) and self.attention_type == "none":
                raise ValueError(
                    f"{name}={getattr(self, name)} needs attention weights, which attention_type='none' does not "
                    "have: choose another attention_type."
                )
        if self.pointer and not self.reads_tokens:
            raise ValueError(
                f"pointer=True copies source tokens, which frontend='{self.frontend}' does not have: leave it out."
            )
        if self.pointer and self.decoder_vocab_size != self.vocab_size:
            raise ValueError(
                f"pointer=True copies source tokens, but vocab_size={self.vocab_size} and decoder_vocab_size="
                f"{self.decoder_vocab_size} differ: set both to the size of one shared vocabulary."
            )
        if self.pointer_slots < 0:
            raise ValueError(f"pointer_slots={self.pointer_slots} must be 0 or more.")
        if self.pointer_slots and not self.pointer:
            raise ValueError(f"pointer_slots={self.pointer_slots} is for pointer=True: set it, or leave them out.")
        unknown = self.unk_token_id
        if self.pointer_slots and (unknown is None or not 0 <= unknown < self.vocab_size):
            raise ValueError(
                f"pointer_slots={self.pointer_slots} needs the unknown token, but unk_token_id={unknown} is not a "
                f"token: use an id from 0 to {self.vocab_size - 1}."
            )

    def _validate_embeddings(self) -> None:
        target = self.decoder_vocab_size
        for name, size in (
            ("pad_token_id", min(self.vocab_size, target)),
            ("bos_token_id", target),
            ("eos_token_id", target),
            ("decoder_start_token_id", target),
        ):
            value = getattr(self, name)
            for token in value if isinstance(value, list) else [value]:
                if token is not None and not 0 <= token < size:
                    raise ValueError(
                        f"{name}={shortened(str(token))} is outside the vocabulary of {size} tokens: use an id "
                        f"from 0 to {size - 1}."
                    )
        if self.zero_start and self.decoder_start_token_id is None:
            raise ValueError("zero_start=True needs decoder_start_token_id, which is not set: name a token.")
        if self.tie_word_embeddings and self.readout_size > max(self.hidden_size, self.embedding_size):
            raise ValueError(
                f"readout='{self.readout}' gives the output layer {self.readout_size} numbers, more than an embedding "
                "has, so its weights cannot be the table's: set tie_word_embeddings=False."
            )
        if self.tie_word_embeddings and self.embedding_size != self.readout_size:
            raise ValueError(
                f"tie_word_embeddings=True needs embedding_size={self.embedding_size} equal to "
                f"hidden_size={self.hidden_size}: change one of them or set tie_word_embeddings=False."
            )
        if self.share_encoder_decoder_embeddings and self.decoder_vocab_size != self.vocab_size:
            raise ValueError(
                f"share_encoder_decoder_embeddings=True needs a shared vocabulary, but vocab_size={self.vocab_size} "
                f"and decoder_vocab_size={self.decoder_vocab_size} differ: set both to the same size."
            )


def _most_heads(width: int) -> int:
    return next(heads for heads in (4, 2, 1) if width % heads == 0)


def _check_heads(config: AttnSeq2SeqConfig, width: str, heads: str, key_value_heads: str) -> None:
    for whole, part in ((width, heads), (heads, key_value_heads)):
        if getattr(config, whole) % getattr(config, part):
            raise ValueError(f"{whole}={getattr(config, whole)} must be a multiple of {part}={getattr(config, part)}.")


def _preset(overrides: dict[str, Any], sizes: dict[str, Any], **fields: Any) -> AttnSeq2SeqConfig:
    # The paper's other widths belong to its hidden_size: with another one, they follow that.
    hidden_size = overrides.get("hidden_size", sizes["hidden_size"])
    if hidden_size != sizes["hidden_size"]:
        heads = sizes.get("num_attention_heads", 1)
        kept = {"vocab_size"} | ({"num_attention_heads"} if hidden_size % heads == 0 else set())
        sizes = {name: size for name, size in sizes.items() if name in kept}
    return AttnSeq2SeqConfig(**{**sizes, **fields, **overrides})


def cho2014(**overrides: Any) -> AttnSeq2SeqConfig:
    """GRU encoder-decoder with a fixed context vector and maxout readout, no attention (Cho et al. 2014, "Learning
    Phrase Representations using RNN Encoder-Decoder": 1000 units, embeddings of 100)."""
    sizes = {"hidden_size": 1000, "embedding_size": 100, "encoder_hidden_size": 1000, "vocab_size": 15000}
    return _preset(
        overrides,
        sizes,
        encoder_type="gru",
        decoder_type="gru",
        bidirectional=False,
        attention_type="none",
        bridge="dense",
        readout="maxout",
        dropout=0.0,
        tie_word_embeddings=False,
    )


def bahdanau2015(**overrides: Any) -> AttnSeq2SeqConfig:
    """RNNsearch: bidirectional GRU, additive attention with the previous state as query, maxout readout (Bahdanau et
    al. 2015, A.2: 1000 units, embeddings of 620, alignment network of 1000; the 500 maxout units are 1000 here, as the
    readout is as wide as the state). The first decoder state uses both directions; in the paper, one."""
    sizes = {
        "hidden_size": 1000,
        "embedding_size": 620,
        "encoder_hidden_size": 2000,
        "attention_size": 1000,
        "vocab_size": 30000,
    }
    return _preset(
        overrides,
        sizes,
        encoder_type="gru",
        decoder_type="gru",
        bidirectional=True,
        attention_type="additive",
        attention_query="previous",
        bridge="dense",
        readout="maxout",
        dropout=0.0,
        tie_word_embeddings=False,
    )


def luong2015(**overrides: Any) -> AttnSeq2SeqConfig:
    """Four LSTM layers, general attention with the current state as query, input feeding, dropout 0.2 (Luong et al.
    2015, section 4.1: 1000 cells and embeddings of 1000, vocabulary 50,000). The paper passes on all states of a
    unidirectional encoder; the bridge here passes the last top state to every layer."""
    return _preset(
        overrides,
        {"hidden_size": 1000, "vocab_size": 50000},
        encoder_type="lstm",
        decoder_type="lstm",
        encoder_layers=4,
        decoder_layers=4,
        bidirectional=False,
        attention_type="general",
        attention_query="current",
        input_feeding=True,
        bridge="last",
        readout="tanh",
        dropout=0.2,
        tie_word_embeddings=False,
    )


def gnmt(**overrides: Any) -> AttnSeq2SeqConfig:
    """Eight residual LSTM layers per side, additive attention with the previous state as query, dropout 0.2 (Wu et al.
    2016, 1024 units, 32,000 word pieces). Differences from the paper: every encoder layer is bidirectional (there only
    the first), the query is the top state (there the bottom one), and the context is an input of the first layer
    (there of every layer)."""
    return _preset(
        overrides,
        {"hidden_size": 1024, "vocab_size": 32000},
        encoder_type="lstm",
        decoder_type="lstm",
        encoder_layers=8,
        decoder_layers=8,
        attention_type="additive",
        attention_query="previous",
        residual=True,
        bridge="zeros",
        dropout=0.2,
        tie_word_embeddings=False,
    )


def _transformer(overrides: dict[str, Any], sizes: dict[str, Any], **fields: Any) -> AttnSeq2SeqConfig:
    return _preset(
        overrides,
        sizes,
        encoder_type="transformer",
        decoder_type="transformer",
        attention_type="multi_head",
        share_encoder_decoder_embeddings=True,
        **fields,
    )


def transformer_tiny(**overrides: Any) -> AttnSeq2SeqConfig:
    """Transformer of width 128, 4+4 layers, 4 heads, feed-forward 256, dropout 0.3 (Wu et al. 2021, "Good for
    Misconceived Reasons", for Multi30k)."""
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "vocab_size": 10000}
    return _transformer(overrides, sizes, encoder_layers=4, decoder_layers=4, dropout=0.3)


def transformer_base(**overrides: Any) -> AttnSeq2SeqConfig:
    """The base model of Vaswani et al. 2017, table 3: width 512, 6+6 layers, 8 heads, feed-forward 2048."""
    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "vocab_size": 37000}
    return _transformer(overrides, sizes, encoder_layers=6, decoder_layers=6, dropout=0.1)


def transformer_big(**overrides: Any) -> AttnSeq2SeqConfig:
    """The big model of Vaswani et al. 2017, table 3: width 1024, 6+6 layers, 16 heads, feed-forward 4096."""
    sizes = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "vocab_size": 37000}
    return _transformer(overrides, sizes, encoder_layers=6, decoder_layers=6, dropout=0.3)


def bergamot_tiny(**overrides: Any) -> AttnSeq2SeqConfig:
    """The tiny student of Bogoychev et al. 2020, "Edinburgh's Submissions to the 2020 Machine Translation Efficiency
    Task", as Firefox runs it: width 256, 8 heads, feed-forward 1536, six encoder layers, two decoder layers with SSRU,
    in every detail as Marian computes it."""
    sizes = {"hidden_size": 256, "intermediate_size": 1536, "num_attention_heads": 8, "vocab_size": 32000}
    return _transformer(
        overrides,
        sizes,
        encoder_layers=6,
        decoder_layers=2,
        decoder_mixer="ssru",
        position_type="sinusoidal_halves",
        zero_start=True,
        output_bias=True,
        layer_norm_eps=1e-6,
        dropout=0.1,
    )


PRESETS: dict[str, Callable[..., AttnSeq2SeqConfig]] = {
    preset.__name__: preset
    for preset in (
        cho2014,
        bahdanau2015,
        luong2015,
        gnmt,
        transformer_tiny,
        transformer_base,
        transformer_big,
        bergamot_tiny,
    )
}

__all__ = ["AttnSeq2SeqConfig", "PRESETS"]
