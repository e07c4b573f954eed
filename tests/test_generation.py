# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Every way of generating, for every kind of model, against searches that know no cache, no padding and no batch.

The models' weights are noise. The seeds are chosen so that the four sentences of `BATCH` get four translations, of
which some end early; `test_models_are_worth_testing` holds them to it.
"""

import copy
import functools
import itertools
from typing import Any, NamedTuple

import pytest
import torch
from transformers import CompileConfig, GenerationConfig, TextStreamer, WatermarkDetector, WatermarkingConfig
from transformers.cache_utils import DynamicCache, EncoderDecoderCache, StaticCache
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutput

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, gather_beam_attentions
from hf_attn_seq2seq.attention import ATTENTIONS, NORMALIZERS
from hf_attn_seq2seq.cache_attn_seq2seq import AttnSeq2SeqCache, SharedSourceCache, new_state_cache
from hf_attn_seq2seq.configuration_attn_seq2seq import STACK_TYPES
from hf_attn_seq2seq.decoding import Ensemble

from .helpers import END, PAD, SCANNED, START, padded_batch, scrambled, tiny_config, tiny_model


STEPS = 8
LENGTHS = (5, 3, 7, 4)
BATCH = padded_batch(LENGTHS)

_TRANSFORMER = {"encoder_type": "transformer", "decoder_type": "transformer", "attention_type": "multi_head"}
_LSTM = {"encoder_type": "lstm", "decoder_type": "lstm"}
_FREE = {"tie_word_embeddings": False}
MODELS: dict[str, dict[str, Any]] = {
    "bahdanau": {"readout": "maxout", "embedding_size": 12, "encoder_hidden_size": 20, **_FREE},
    "luong": {
        **_LSTM,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "attention_type": "multi_head",
        "attention_query": "current",
        "input_feeding": True,
        "bridge": "last",
    },
    "lstm_general": {**_LSTM, "attention_type": "general", "attention_query": "current"},
    "lstm_local_m": {**_LSTM, "attention_type": "local_m"},
    "gru_coverage": {"attention_type": "coverage", "num_attention_heads": 2, **_FREE},
    "gru_location_aware": {"attention_type": "location_aware", "attention_query": "current"},
    "gru_monotonic": {"attention_type": "monotonic"},
    "gru_none": {"attention_type": "none", "bridge": "mean"},
    "final_states": {
        "encoder_type": "lstm",
        "decoder_type": "lstm",
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_hidden_size": 12,
        "attention_query": "current",
        "input_feeding": True,
        "bridge": "final",
        "readout": "affine",
        "attention_bias": True,
        "output_bias": True,
    },
    "conditional": {
        "decoder_layers": 2,
        "attention_query": "between",
        "attention_bias": True,
        "bridge": "mean_dense",
        "readout": "deep",
        "embedding_size": 12,
        "encoder_hidden_size": 20,
    },
    "min_lstm_to_ssru": {
        "encoder_type": "min_lstm",
        "decoder_type": "ssru",
        "decoder_layers": 2,
        "attention_query": "current",
        "bridge": "last",
    },
    "min_gru": {"encoder_type": "ssru", "decoder_type": "min_gru", "input_feeding": True, **_FREE},
    "transformer_to_gru": {"encoder_type": "transformer", "attention_normalizer": "sparsemax"},
    "gru_to_transformer": {"decoder_type": "transformer", "attention_type": "multi_head", **_FREE},
    "lstm_to_transformer_local_m": {
        "encoder_type": "lstm",
        "decoder_type": "transformer",
        "attention_type": "local_m",
        "position_type": "learned",
        **_FREE,
    },
    "transformer_sinusoidal": {**_TRANSFORMER, **_FREE},
    "transformer_rotary": {
        **_TRANSFORMER,
        "position_type": "rotary",
        "encoder_layers": 2,
        "decoder_layers": 2,
        "num_key_value_heads": 2,
        "encoder_key_value_heads": 4,
        **_FREE,
    },
    "transformer_pre_norm": {
        **_TRANSFORMER,
        "norm_position": "pre",
        "decoder_layers": 2,
        "share_encoder_decoder_embeddings": True,
    },
    "transformer_ssru": {**_TRANSFORMER, "decoder_mixer": "ssru", "decoder_layers": 2, **_FREE},
    "gru_to_transformer_average": {
        "decoder_type": "transformer",
        "attention_type": "general",
        "decoder_mixer": "average",
        "position_type": "learned",
        "norm_position": "pre",
        "decoder_layers": 2,
        **_FREE,
    },
}
SEEDS = {
    "bahdanau": 67,
    "luong": 23,
    "lstm_general": 104,
    "lstm_local_m": 58,
    "gru_coverage": 36,
    "gru_location_aware": 48,
    "gru_monotonic": 1,
    "gru_none": 117,
    "final_states": 2,
    "conditional": 1,
    "min_lstm_to_ssru": 2,
    "min_gru": 1,
    "transformer_to_gru": 8,
    "gru_to_transformer": 92,
    "lstm_to_transformer_local_m": 111,
    "transformer_sinusoidal": 108,
    "transformer_rotary": 57,
    "transformer_pre_norm": 106,
    "transformer_ssru": 19,
    "gru_to_transformer_average": 15,
}

every_model = pytest.mark.parametrize("name", MODELS)
attending = pytest.mark.parametrize("name", [name for name in MODELS if name != "gru_none"])
with_state = pytest.mark.parametrize(
    "name", [name for name, fields in MODELS.items() if tiny_config(**fields).carries_state]
)


@functools.cache
def build(name: str) -> AttnSeq2SeqForConditionalGeneration:
    return tiny_model(SEEDS[name], **MODELS[name])


def generate(model: AttnSeq2SeqForConditionalGeneration, batch: Any = BATCH, **options: Any) -> Any:
    options = {"attention_mask": batch.attention_mask, "max_new_tokens": STEPS, **options}
    return model.generate(batch.input_ids, **options)


def details(model: AttnSeq2SeqForConditionalGeneration, batch: Any = BATCH, **options: Any) -> Any:
    return generate(model, batch, return_dict_in_generate=True, output_scores=True, output_logits=True, **options)


def cut(sequence: torch.Tensor, prefix: int = 1) -> list[int]:
    """The tokens of a result up to its end token; what `generate` appends after that has no meaning."""
    tokens = sequence.tolist()
    ends = [index for index in range(prefix, len(tokens)) if tokens[index] == END]
    return tokens[: ends[0] + 1] if ends else tokens


def texts(sequences: torch.Tensor, prefix: int = 1) -> list[list[int]]:
    return [cut(sequence, prefix) for sequence in sequences]


def forced(
    model: AttnSeq2SeqForConditionalGeneration, sentence: torch.Tensor, tokens: list[list[int]], **options: Any
) -> Any:
    """The plain forward pass on `tokens`, without cache, batch of other sentences, or padding."""
    with torch.no_grad():
        target = torch.tensor(tokens)
        return model(sentence.expand(len(tokens), -1), decoder_input_ids=target, use_cache=False, **options)


class Found(NamedTuple):
    score: float  # sum of log-probabilities
    tokens: list[int]


def search(
    model: AttnSeq2SeqForConditionalGeneration,
    sentence: torch.Tensor,
    num_beams: int,
    steps: int = STEPS,
    prefix: tuple[int, ...] = (START,),
) -> list[Found]:
    """
    Beam search written anew: all prefixes are read from their first token at each step. Nothing is divided by a
    length, so that a score only falls and nothing can be gained by stopping early.
    """
    beams, finished = [Found(0.0, list(prefix))], []
    for step in range(steps):
        log_probs = forced(model, sentence, [beam.tokens for beam in beams]).logits[:, -1].log_softmax(-1)
        candidates = [
            Found(beam.score + score, [*beam.tokens, token])
            for beam, scores in zip(beams, log_probs.tolist())
            for token, score in enumerate(scores)
        ]
        candidates = sorted(candidates, key=lambda found: -found.score)[: 2 * num_beams]
        ended = [found.tokens[-1] == END or step + 1 == steps for found in candidates]
        finished += [found for found, end in zip(candidates[:num_beams], ended) if end]
        beams = [found for found, end in zip(candidates, ended) if not end][:num_beams]
        if not beams:
            break
    return sorted(finished, key=lambda found: -found.score)[:num_beams]


@functools.cache
def expected(name: str, num_beams: int) -> list[list[Found]]:
    """What each sentence of `BATCH` gives alone."""
    return [search(build(name), sentence, num_beams) for sentence in BATCH.sentences]


def best(name: str, num_beams: int = 1) -> list[list[int]]:
    return [found[0].tokens for found in expected(name, num_beams)]


@every_model
def test_models_are_worth_testing(name: str) -> None:
    for num_beams in (1, 3):
        translations = best(name, num_beams)
        assert len({tuple(tokens) for tokens in translations}) == len(LENGTHS)
        ends = [len(tokens) <= STEPS for tokens in translations]
        assert any(ends)
        assert not all(ends)


# --------------------------------------------------------------------------------------------------------------------
# Search, batches, padding, caches
# --------------------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("num_beams", [1, 3])
def test_batch_gives_what_each_sentence_gives_alone(name: str, num_beams: int) -> None:
    sequences = generate(build(name), num_beams=num_beams, length_penalty=0.0)
    assert texts(sequences) == best(name, num_beams)


@every_model
@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("side", ["left", "inside"])
def test_padding_anywhere_changes_nothing(name: str, side: str, num_beams: int) -> None:
    batch = padded_batch(LENGTHS, side=side, extra=2)
    for mask in (batch.attention_mask, batch.attention_mask.bool(), None):
        sequences = generate(build(name), batch, num_beams=num_beams, length_penalty=0.0, attention_mask=mask)
        assert texts(sequences) == best(name, num_beams)


@every_model
def test_padding_changes_no_logits(name: str) -> None:
    model = build(name)
    target = torch.tensor([[START, 5, 9, 4]]).expand(len(LENGTHS), -1)
    alone = torch.cat([forced(model, sentence, [target[0].tolist()]).logits for sentence in BATCH.sentences])
    for side in ("right", "left", "inside"):
        batch = padded_batch(LENGTHS, side=side, extra=2)
        with torch.no_grad():
            logits = model(batch.input_ids, batch.attention_mask, decoder_input_ids=target).logits
        torch.testing.assert_close(logits, alone, atol=2e-4, rtol=1e-4)
    with torch.no_grad():
        unmasked = model(BATCH.input_ids, decoder_input_ids=target).logits
    assert (unmasked[1] - alone[1]).abs().max() > 1e-2  # the shortest sentence: its padding would be read as words


@every_model
@pytest.mark.parametrize("num_beams", [1, 3])
def test_without_cache(name: str, num_beams: int) -> None:
    outputs = details(build(name), num_beams=num_beams, length_penalty=0.0, use_cache=False)
    assert outputs.past_key_values is None
    assert texts(outputs.sequences) == best(name, num_beams)


@every_model
def test_all_results_of_a_beam_search(name: str) -> None:
    outputs = details(build(name), num_beams=3, num_return_sequences=3, length_penalty=0.0)
    found = [result for results in expected(name, 3) for result in results]
    assert texts(outputs.sequences) == [result.tokens for result in found]
    scores = torch.tensor([result.score for result in found])
    torch.testing.assert_close(outputs.sequences_scores, scores, atol=1e-3, rtol=1e-4)


@every_model
def test_cached_steps_give_the_logits_of_the_whole(name: str) -> None:
    model = build(name)
    tokens = torch.tensor([[START, 5, 9, 4, 4, 17, 3]]).expand(len(LENGTHS), -1)
    source = {"input_ids": BATCH.input_ids, "attention_mask": BATCH.attention_mask}
    with torch.no_grad():
        whole = model(**source, decoder_input_ids=tokens, use_cache=False).logits
        for cuts in ((0, 1, 2, 3, 4, 5, 6, 7), (0, 3, 4, 7), (0, 1, 7)):
            cache, parts = None, []
            for start, stop in itertools.pairwise(cuts):
                out = model(**source, decoder_input_ids=tokens[:, start:stop], past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                assert cache.get_seq_length() == stop
                parts.append(out.logits)
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=2e-4, rtol=1e-4)


# --------------------------------------------------------------------------------------------------------------------
# Sampling
# --------------------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("num_beams", [1, 3])
def test_sampling_draws_the_same_with_and_without_cache(name: str, num_beams: int) -> None:
    model, drawn = build(name), []
    # Warm enough that no draw falls on tokens whose probability is rounding noise.
    draw = {"do_sample": True, "temperature": 5.0, "num_beams": num_beams, "num_return_sequences": 2}
    for options in ({"use_cache": True}, {"use_cache": False}, {"cache_implementation": "static"}):
        torch.manual_seed(3)
        outputs = generate(model, **draw, **options)
        assert len(outputs) == 2 * len(LENGTHS)
        drawn.append(texts(outputs))
    assert drawn[0] == drawn[1] == drawn[2]
    torch.manual_seed(4)
    assert texts(generate(model, **draw)) != drawn[0]


@every_model
def test_sampling_among_one_is_greedy(name: str) -> None:
    assert texts(generate(build(name), do_sample=True, top_k=1)) == best(name)


def test_samples_follow_the_distribution() -> None:
    model = build("bahdanau")
    torch.manual_seed(0)
    options = {"do_sample": True, "temperature": 20.0, "num_return_sequences": 4000, "max_new_tokens": 1}
    sample = model.generate(BATCH.sentences[0].unsqueeze(0), **options)[:, 1]
    share = torch.bincount(sample, minlength=20) / len(sample)
    wanted = forced(model, BATCH.sentences[0], [[START]]).logits[0, -1].div(20.0).softmax(-1)
    assert (share - wanted).abs().max() < 0.03
    assert wanted.max() < 0.5


# --------------------------------------------------------------------------------------------------------------------
# Scores
# --------------------------------------------------------------------------------------------------------------------


MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "sample": {"do_sample": True, "num_return_sequences": 2},
    "beam_sample": {"do_sample": True, "num_beams": 3, "num_return_sequences": 2},
}


@every_model
@pytest.mark.parametrize("mode", MODES)
def test_transition_scores_are_the_models_own(name: str, mode: str) -> None:
    model = build(name)
    torch.manual_seed(5)
    outputs = details(model, **MODES[mode])
    beam_indices = getattr(outputs, "beam_indices", None)
    transitions = model.compute_transition_scores(
        outputs.sequences, outputs.scores, beam_indices, normalize_logits=beam_indices is None
    )
    results = len(outputs.sequences) // len(LENGTHS)
    for row, tokens in enumerate(texts(outputs.sequences)):
        sentence = BATCH.sentences[row // results]
        log_probs = forced(model, sentence, [tokens[:-1]]).logits[0].log_softmax(-1)
        wanted = log_probs.gather(-1, torch.tensor(tokens[1:]).unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(transitions[row, : len(wanted)], wanted, atol=1e-3, rtol=1e-3)
        if beam_indices is not None:
            score = wanted.sum() / len(wanted)
            torch.testing.assert_close(outputs.sequences_scores[row], score, atol=1e-3, rtol=1e-3)
    if mode == "greedy":
        logits = forced(model, BATCH.sentences[2], [outputs.sequences[2, :-1].tolist()]).logits[0]
        for step, row in enumerate(logits[: len(texts(outputs.sequences)[2]) - 1]):
            torch.testing.assert_close(outputs.logits[step][2], row, atol=1e-3, rtol=1e-3)


# --------------------------------------------------------------------------------------------------------------------
# Ends, prefixes, forced tokens
# --------------------------------------------------------------------------------------------------------------------


@every_model
def test_stops_at_the_end_token_or_the_longest_length(name: str) -> None:
    model = build(name)
    sequences = generate(model)
    assert sequences.shape[1] == 1 + STEPS
    for sequence, tokens in zip(sequences.tolist(), best(name)):
        assert sequence[len(tokens) :] == [PAD] * (1 + STEPS - len(tokens))
    ended = [row for row, tokens in enumerate(best(name)) if tokens[-1] == END]
    alone = model.generate(BATCH.sentences[ended[0]].unsqueeze(0), max_new_tokens=30)
    assert alone[0].tolist() == best(name)[ended[0]]
    assert generate(model, max_new_tokens=None, max_length=5).shape[1] == 5
    longer = generate(model, min_new_tokens=STEPS)
    assert not longer.eq(END)[:, 1:-1].any()


def test_any_of_several_end_tokens_stops() -> None:
    model = build("bahdanau")
    tokens = generate(model, min_new_tokens=STEPS)[2, 1:].tolist()
    other = next(token for token in tokens if token != END)
    stopped = generate(model, eos_token_id=[END, other])[2].tolist()
    assert stopped[tokens.index(other) + 1] == other
    assert set(stopped[tokens.index(other) + 2 :]) <= {PAD}


@every_model
def test_target_prefix(name: str) -> None:
    model = build(name)
    prefix = torch.tensor([[START, 7, 4]]).expand(len(LENGTHS), -1)
    wanted = {
        beams: [search(model, each, beams, 4, (START, 7, 4))[0].tokens for each in BATCH.sentences] for beams in (1, 3)
    }
    for beams, tokens in wanted.items():
        for start in (prefix, prefix[:, 1:]):  # the start token is put in front where it is missing
            sequences = generate(model, decoder_input_ids=start, num_beams=beams, length_penalty=0.0, max_new_tokens=4)
            assert texts(sequences, 3) == tokens


@every_model
@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("cache", ["dynamic", "static", "none"])
def test_left_padded_target_prefixes(name: str, num_beams: int, cache: str) -> None:
    model = build(name)
    prefixes = [(START, 7, 4), (START,), (START, 9), (START, 5, 5)]
    ids = torch.tensor([[PAD] * (3 - len(prefix)) + list(prefix) for prefix in prefixes])
    how = {"use_cache": False} if cache == "none" else {"cache_implementation": cache}
    sequences = generate(
        model,
        decoder_input_ids=ids,
        decoder_attention_mask=ids.ne(PAD).long(),
        num_beams=num_beams,
        length_penalty=0.0,
        max_new_tokens=4,
        **how,
    )
    for row, prefix in enumerate(prefixes):
        wanted = search(model, BATCH.sentences[row], num_beams, 4, prefix)[0].tokens
        assert cut(sequences[row, 3 - len(prefix) :], len(prefix)) == wanted


@every_model
def test_forced_tokens(name: str) -> None:
    for num_beams in (1, 3):
        sequences = generate(build(name), num_beams=num_beams, forced_bos_token_id=6, forced_eos_token_id=END)
        assert sequences[:, 1].tolist() == [6] * len(LENGTHS)
        for tokens in texts(sequences):
            assert tokens[-1] == END
        wanted = [search(build(name), each, num_beams, STEPS - 2, (START, 6))[0].tokens for each in BATCH.sentences]
        for tokens, start in zip(texts(sequences), wanted):
            if num_beams == 1:
                assert tokens[: len(start)] == start


def test_length_penalty_changes_the_choice() -> None:
    changed = 0
    for name in MODELS:
        short, long = (details(build(name), num_beams=3, length_penalty=power) for power in (-3.0, 3.0))
        for power, outputs in ((-3.0, short), (3.0, long)):
            for row, tokens in enumerate(texts(outputs.sequences)):
                log_probs = forced(build(name), BATCH.sentences[row], [tokens[:-1]]).logits[0].log_softmax(-1)
                total = log_probs.gather(-1, torch.tensor(tokens[1:]).unsqueeze(-1)).sum().item()
                wanted = total / (len(tokens) - 1) ** power
                assert outputs.sequences_scores[row].item() == pytest.approx(wanted, rel=1e-3)
        for before, after in zip(texts(short.sequences), texts(long.sequences)):
            assert len(before) <= len(after)
            changed += before != after
    assert changed >= 5


class ListStreamer(BaseStreamer):
    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.ended = False

    def put(self, value: torch.Tensor) -> None:
        self.tokens += value.flatten().tolist()

    def end(self) -> None:
        self.ended = True


@every_model
def test_streamers_see_what_is_returned(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Letters:
        def decode(self, tokens: list[int], **options: Any) -> str:
            return "".join(chr(ord("a") + int(token)) for token in tokens)

    for sentence, tokens in zip(BATCH.sentences, best(name)):
        streamer = ListStreamer()
        build(name).generate(sentence.unsqueeze(0), max_new_tokens=STEPS, streamer=streamer)
        assert streamer.ended
        assert streamer.tokens == tokens
    build(name).generate(BATCH.sentences[0].unsqueeze(0), max_new_tokens=STEPS, streamer=TextStreamer(Letters()))
    assert capsys.readouterr().out.strip() == Letters().decode(best(name)[0])


# --------------------------------------------------------------------------------------------------------------------
# Assisted decoding
# --------------------------------------------------------------------------------------------------------------------


def draft(name: str, noise: float) -> AttnSeq2SeqForConditionalGeneration:
    """A model that mostly agrees with `name`, so that drafts are accepted, accepted in part, and refused."""
    model = copy.deepcopy(build(name))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * noise)
    model.generation_config = GenerationConfig.from_dict(model.generation_config.to_dict())
    model.generation_config.num_assistant_tokens = 3
    model.generation_config.num_assistant_tokens_schedule = "constant"
    model.generation_config.assistant_confidence_threshold = 0.0
    return model


def check_assisted(name: str, assistant: AttnSeq2SeqForConditionalGeneration) -> None:
    for sentence, tokens in zip(BATCH.sentences, best(name)):
        sequences = build(name).generate(sentence.unsqueeze(0), max_new_tokens=STEPS, assistant_model=assistant)
        assert texts(sequences) == [tokens]


@every_model
@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
def test_assisted_by_a_likeness(name: str, noise: float) -> None:
    check_assisted(name, draft(name, noise))


@every_model
@pytest.mark.parametrize("assistant", ["bahdanau", "luong", "gru_coverage", "transformer_rotary"])
@pytest.mark.costly
def test_assisted_by_another_kind(name: str, assistant: str) -> None:
    check_assisted(name, draft(assistant, 0.0))


@every_model
def test_assisted_drafts_are_used(name: str) -> None:
    model, assistant, calls = build(name), draft(name, 0.0), []
    source = BATCH.sentences[2].unsqueeze(0)
    with model.register_forward_hook(lambda *args: calls.append(1)):
        sequences = model.generate(source, max_new_tokens=16, suppress_tokens=[END], assistant_model=assistant)
    assert sequences.shape[1] == 17
    assert len(calls) <= 5  # a call confirms three tokens and adds a fourth, where all drafts are right


@every_model
def test_assisted_sampling_stays_in_the_vocabulary_and_ends(name: str) -> None:
    torch.manual_seed(0)
    source = BATCH.sentences[2].unsqueeze(0)
    options = {"do_sample": True, "max_new_tokens": STEPS, "assistant_model": draft(name, 0.05)}
    outputs = build(name).generate(source, return_dict_in_generate=True, output_logits=True, **options)
    tokens = cut(outputs.sequences[0])
    logits = forced(build(name), BATCH.sentences[2], [tokens[:-1]]).logits[0]
    for step, row in enumerate(logits):
        torch.testing.assert_close(outputs.logits[step][0], row, atol=1e-3, rtol=1e-3)


@every_model
def test_prompt_lookup(name: str) -> None:
    for sentence, tokens in zip(BATCH.sentences, best(name)):
        sequences = build(name).generate(
            sentence.unsqueeze(0), max_new_tokens=STEPS, prompt_lookup_num_tokens=3, max_matching_ngram_size=1
        )
        assert texts(sequences) == [tokens]


# --------------------------------------------------------------------------------------------------------------------
# Static caches and compilation
# --------------------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("num_beams", [1, 3])
def test_static_cache(name: str, num_beams: int) -> None:
    model = build(name)
    reversed_batch = BATCH._replace(input_ids=BATCH.input_ids.flip(0), attention_mask=BATCH.attention_mask.flip(0))
    for batch, order in ((BATCH, 1), (reversed_batch, -1)):  # twice: nothing of the first source may stay behind
        outputs = details(
            model, batch, num_beams=num_beams, length_penalty=0.0, cache_implementation="static", disable_compile=True
        )
        assert isinstance(outputs.past_key_values.self_attention_cache, StaticCache)
        assert texts(outputs.sequences) == best(name, num_beams)[::order]


@pytest.mark.costly
@pytest.mark.parametrize(
    "name", ["bahdanau", "luong", "gru_coverage", "lstm_local_m", "gru_none", "transformer_rotary"]
)
def test_compiled_steps(name: str) -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    compile_config = CompileConfig(fullgraph=True, backend=backend, mode=None)
    compile_config._compile_all_devices = True
    model = copy.deepcopy(build(name))
    for num_beams in (1, 3):
        sequences = generate(
            model,
            num_beams=num_beams,
            length_penalty=0.0,
            cache_implementation="static",
            compile_config=compile_config,
        )
        assert texts(sequences) == best(name, num_beams)
    assert 1 <= len(graphs) <= 4


@every_model
def test_stock_caches_given_by_the_user(name: str) -> None:
    model = build(name)
    config = model.config.get_text_config(decoder=True)
    for num_beams in (1, 3):
        caches = [
            EncoderDecoderCache(DynamicCache(), DynamicCache()),
            EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config)),
            EncoderDecoderCache(
                StaticCache(config=config, max_cache_len=STEPS + 3),
                StaticCache(config=config, max_cache_len=BATCH.input_ids.shape[1] + 3),
            ),
        ]
        for cache in caches:
            sequences = generate(model, num_beams=num_beams, length_penalty=0.0, past_key_values=cache)
            assert texts(sequences) == best(name, num_beams)
            assert int(cache.get_seq_length()) > 0


# --------------------------------------------------------------------------------------------------------------------
# What generate() takes and hands back
# --------------------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("masked", [False, True])
def test_continue_from_a_returned_cache(name: str, masked: bool) -> None:
    model = build(name)
    open_ended = {"suppress_tokens": [END], "return_dict_in_generate": True}
    whole = generate(model, **open_ended).sequences
    start = generate(model, **open_ended, max_new_tokens=3)
    rest = {"decoder_input_ids": start.sequences, "max_new_tokens": STEPS - 3, **open_ended}
    if masked:
        rest["decoder_attention_mask"] = torch.ones_like(start.sequences)
    damaged = copy.deepcopy(start.past_key_values)
    for layer in damaged.self_attention_cache.layers:
        layer.keys.neg_()
    assert start.past_key_values.get_seq_length() == 3
    again = generate(model, past_key_values=start.past_key_values, **rest, output_logits=True)
    assert again.sequences.tolist() == whole.tolist()
    wrong = generate(model, past_key_values=damaged, **rest, output_logits=True)
    assert (wrong.logits[0] - again.logits[0]).abs().max() > 1e-2  # else the cache was not looked at


@every_model
@pytest.mark.parametrize("num_beams", [1, 3])
def test_encoder_outputs_in_place_of_a_source(name: str, num_beams: int) -> None:
    model = build(name)
    options = {"attention_mask": BATCH.attention_mask, "max_new_tokens": STEPS, "num_beams": num_beams}
    with torch.no_grad():
        encoded = model.get_encoder()(BATCH.input_ids, BATCH.attention_mask)
    if not model.config.needs_final_state:
        encoded = BaseModelOutput(encoded.last_hidden_state)
    sequences = model.generate(encoder_outputs=encoded, length_penalty=0.0, **options)
    assert texts(sequences) == best(name, num_beams)


@every_model
def test_forward_takes_encoder_outputs_of_any_form(name: str) -> None:
    model = build(name)
    target = torch.tensor([[START, 5]]).expand(len(LENGTHS), -1)
    with torch.no_grad():
        wanted = model(BATCH.input_ids, BATCH.attention_mask, target).logits
        encoded = model.get_encoder()(BATCH.input_ids, BATCH.attention_mask)
        states, final = encoded.last_hidden_state, encoded.final_state
        forms: list[Any] = [encoded, encoded.to_tuple(), (states, None, None, final)]
        if final is None:
            forms += [BaseModelOutput(states), (states,), [states, None]]
        for outputs in forms:
            given = model(attention_mask=BATCH.attention_mask, decoder_input_ids=target, encoder_outputs=outputs)
            torch.testing.assert_close(given.logits, wanted)


def test_a_bridge_asks_for_the_final_state() -> None:
    model = build("final_states")
    states = model.get_encoder()(BATCH.input_ids, BATCH.attention_mask).last_hidden_state
    with pytest.raises(ValueError, match="give the encoder's whole output as encoder_outputs"):
        model(encoder_outputs=(states,), decoder_input_ids=torch.full((len(states), 1), START))


@every_model
@pytest.mark.parametrize("num_beams", [1, 3])
def test_inputs_embeds_in_place_of_a_source(name: str, num_beams: int) -> None:
    model = build(name)
    embeds = model.get_input_embeddings()(BATCH.input_ids).detach()
    sequences = model.generate(
        inputs_embeds=embeds,
        attention_mask=BATCH.attention_mask,
        num_beams=num_beams,
        length_penalty=0.0,
        max_new_tokens=STEPS,
    )
    assert texts(sequences) == best(name, num_beams)


@every_model
@pytest.mark.parametrize("mode", MODES)
def test_shapes_of_attentions_and_hidden_states(name: str, mode: str) -> None:
    model, config = build(name), build(name).config
    torch.manual_seed(0)
    wants = {"output_hidden_states": True, "output_attentions": name != "gru_none"}
    batch = padded_batch((5, 6, 4))
    outputs = details(model, batch, **MODES[mode], **wants)
    rows = 3 * max(MODES[mode].get("num_beams", 1), MODES[mode].get("num_return_sequences", 1))
    steps, source = len(outputs.scores), 6
    assert outputs.sequences.shape[0] == 3 * MODES[mode].get("num_return_sequences", 1)
    assert outputs.scores[0].shape == outputs.logits[0].shape == (rows, config.decoder_vocab_size)

    assert len(outputs.decoder_hidden_states) == steps
    for states in outputs.decoder_hidden_states:
        assert [tuple(each.shape) for each in states] == [
            (rows, 1, config.embedding_size),
            *[(rows, 1, config.hidden_size)] * config.decoder_layers,
        ]
    assert [tuple(each.shape) for each in outputs.encoder_hidden_states] == [
        (3, source, config.embedding_size),
        *[(3, source, config.encoder_hidden_size)] * config.encoder_layers,
    ]
    if name == "gru_none":
        assert outputs.cross_attentions is None
        return
    heads = config.num_attention_heads
    layers = 1 if config.is_recurrent_decoder else config.decoder_layers
    assert len(outputs.cross_attentions) == len(outputs.decoder_attentions) == steps
    for step, (cross, own) in enumerate(zip(outputs.cross_attentions, outputs.decoder_attentions)):
        assert [tuple(each.shape) for each in cross] == [(rows, heads, 1, source)] * layers
        if config.carries_state:
            assert own == ()
        else:
            assert [tuple(each.shape) for each in own] == [(rows, heads, 1, step + 1)] * layers
        for each in cross:
            torch.testing.assert_close(each.sum(-1), torch.ones(rows, heads, 1))
    if config.is_recurrent_encoder:
        assert outputs.encoder_attentions == ()
    else:
        shape = (3, config.encoder_attention_heads, source, source)
        assert [tuple(each.shape) for each in outputs.encoder_attentions] == [shape] * config.encoder_layers


@every_model
def test_asking_for_details_changes_no_result(name: str) -> None:
    wants = {"output_hidden_states": True, "output_attentions": name != "gru_none"}
    for num_beams in (1, 3):
        outputs = details(build(name), num_beams=num_beams, length_penalty=0.0, **wants)
        assert texts(outputs.sequences) == best(name, num_beams)


# --------------------------------------------------------------------------------------------------------------------
# Attentions of results
# --------------------------------------------------------------------------------------------------------------------


@attending
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_sample": True, "num_return_sequences": 2},
        {"num_beams": 3},
        {"num_beams": 3, "num_return_sequences": 3},
        {"num_beams": 3, "num_return_sequences": 2, "decoder_input_ids": (START, 7, 4)},
        {"decoder_input_ids": (START, 7, 4)},
        {"num_beams": 3, "cache_implementation": "static"},
        {"num_beams": 3, "use_cache": False},
    ],
    ids=["greedy", "sample", "beams", "n_best", "beams_prefix", "greedy_prefix", "static", "no_cache"],
)
@pytest.mark.costly
def test_gathered_attentions_are_those_of_the_results(name: str, options: dict[str, Any]) -> None:
    # In double precision: what one processor rounds unlike another grows from step to step of these weights.
    model, options = build(name).double(), dict(options)
    prefix = options.pop("decoder_input_ids", (START,))
    if len(prefix) > 1:
        options["decoder_input_ids"] = torch.tensor([prefix]).expand(len(LENGTHS), -1)
    torch.manual_seed(1)
    outputs = generate(model, return_dict_in_generate=True, output_attentions=True, **options)
    for layer in range(-1, 1 if model.config.is_recurrent_decoder else model.config.decoder_layers):
        # Beams say by themselves where a result ends.
        end = None if "num_beams" in options else END
        gathered = gather_beam_attentions(outputs, layer, eos_token_id=end)
        results = options.get("num_return_sequences", 1)
        assert gathered.shape[0] == results * len(LENGTHS)
        assert gathered.shape[2] >= outputs.sequences.shape[1] - len(prefix)
        for row, tokens in enumerate(texts(outputs.sequences, len(prefix))):
            sentence = BATCH.sentences[row // results]
            rows = forced(model, sentence, [tokens[:-1]], output_attentions=True).cross_attentions[layer][0]
            wanted = torch.zeros_like(gathered[row])
            steps = len(tokens) - len(prefix)
            wanted[:, :steps, : len(sentence)] = rows[:, len(prefix) - 1 :]
            torch.testing.assert_close(gathered[row], wanted, atol=1e-5, rtol=1e-5)


def test_gathering_needs_attentions() -> None:
    for options in ({}, {"return_dict_in_generate": True}):
        with pytest.raises(ValueError, match="output_attentions=True"):
            gather_beam_attentions(generate(build("bahdanau"), **options))


# --------------------------------------------------------------------------------------------------------------------
# The cache itself
# --------------------------------------------------------------------------------------------------------------------


def fill(model: AttnSeq2SeqForConditionalGeneration, cache: Any, tokens: torch.Tensor, rows: Any = slice(None)) -> Any:
    with torch.no_grad():
        source = {"input_ids": BATCH.input_ids[rows], "attention_mask": BATCH.attention_mask[rows]}
        return model(**source, decoder_input_ids=tokens, past_key_values=cache, use_cache=True)


def start_cache(model: AttnSeq2SeqForConditionalGeneration, recorded: bool = False) -> EncoderDecoderCache:
    if model.config.carries_state:
        cache = new_state_cache(model.config.num_states)
    else:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    if recorded:
        cache.activate_past_recording()
    return cache


TARGETS = torch.tensor([[START, 5, 9, 4, 7], [START, 3, 3, 8, 11], [START, 19, 6, 4, 7], [START, 10, 9, 17, 12]])


@every_model
@pytest.mark.parametrize("removed", [0, 1, 2, 3, 4, 5])
def test_crop_goes_back_to_any_token(name: str, removed: int) -> None:
    model = build(name)
    whole = fill(model, None, TARGETS).logits
    for cuts in ((5,), (1, 4), (2, 1, 2)):
        cache = start_cache(model, recorded=True)
        for part in TARGETS.split(cuts, dim=1):
            fill(model, cache, part)
        cache.crop(-removed)
        assert cache.get_seq_length() == 5 - removed
        for part in TARGETS[:, 5 - removed :].split(2, dim=1) if removed else ():
            start = cache.get_seq_length()
            logits = fill(model, cache, part).logits
            torch.testing.assert_close(logits, whole[:, start : start + part.shape[1]], atol=2e-4, rtol=1e-4)
        assert cache.get_seq_length() == 5


@with_state
def test_crop_says_what_it_cannot_do(name: str) -> None:
    model = build(name)
    cache = new_state_cache(model.config.num_states)
    fill(model, cache, TARGETS)
    cache.crop(0)
    assert cache.get_seq_length() == 5
    with pytest.raises(RuntimeError, match="activate_past_recording"):
        cache.crop(-2)
    with pytest.raises(ValueError, match="negative"):
        cache.crop(2)
    cache.crop(-5)
    torch.testing.assert_close(fill(model, cache, TARGETS).logits, fill(model, None, TARGETS).logits)


@every_model
def test_reordered_cache_holds_other_sentences(name: str) -> None:
    # Beams of one sentence share its source, so only a permutation of sentences shows whether that half moves too.
    model = build(name)
    head, tail = TARGETS[:, :3], TARGETS[:, 3:]
    whole = fill(model, None, TARGETS).logits[:, 3:]
    order = torch.tensor([2, 0, 3, 1])
    change = {
        "reorder": (lambda cache: cache.reorder_cache(order), order),
        "select": (lambda cache: cache.batch_select_indices(order[:2]), order[:2]),
        "repeat": (lambda cache: cache.batch_repeat_interleave(2), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])),
    }
    for act, rows in change.values():
        for recorded in (False, True):
            cache = start_cache(model, recorded)
            fill(model, cache, head)
            act(cache)
            logits = fill(model, cache, tail[rows], rows).logits
            torch.testing.assert_close(logits, whole[rows], atol=2e-4, rtol=1e-4)
    assert (whole[order] - whole).abs().max() > 0.1


@every_model
def test_beams_share_their_source(name: str) -> None:
    model, beams = build(name), 3
    cross = details(model, num_beams=beams).past_key_values.cross_attention_cache
    assert {layer.keys.shape[0] for layer in cross.layers} == {len(LENGTHS)}

    # Beams that stay with their source move nothing; rows that leave it, or are chosen or repeated, take theirs along.
    rows = torch.arange(len(LENGTHS)).repeat_interleave(beams)
    targets = torch.randint(3, 20, (len(rows), 5), generator=torch.Generator().manual_seed(0))
    targets[:, 0] = START
    whole = fill(model, None, targets, rows).logits[:, 3:]
    within = torch.tensor([2, 0, 1, 3, 3, 5, 8, 7, 6, 10, 9, 11])
    across = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    change = {
        "within": (lambda cache: cache.reorder_cache(within), within),
        "across": (lambda cache: cache.reorder_cache(across), across),
        "select": (lambda cache: cache.batch_select_indices(across[:5]), across[:5]),
        "repeat": (lambda cache: cache.batch_repeat_interleave(2), torch.arange(len(rows)).repeat_interleave(2)),
    }
    for what, (act, order) in change.items():
        cache = start_cache(model)
        cache.cross_attention_cache = SharedSourceCache(beams)
        torch.testing.assert_close(
            fill(model, cache, targets[:, :3], rows).logits[:, -1:],
            fill(model, None, targets[:, :3], rows).logits[:, -1:],
            atol=2e-4,
            rtol=1e-4,
        )
        act(cache)
        logits = fill(model, cache, targets[order, 3:], rows[order]).logits
        torch.testing.assert_close(logits, whole[order], atol=2e-4, rtol=1e-4)
        held = len(cache.cross_attention_cache.layers[0].keys)
        assert held == (len(LENGTHS) if what in ("within", "repeat") else len(order))


@with_state
def test_empty_caches_can_be_moved_about(name: str) -> None:
    model = build(name)
    cache = new_state_cache(model.config.num_states)
    assert cache.get_seq_length() == 0
    cache.reorder_cache(torch.tensor([1, 0]))
    cache.batch_repeat_interleave(2)
    cache.batch_select_indices(torch.tensor([0]))
    cache.crop(-3)
    torch.testing.assert_close(fill(model, cache, TARGETS).logits, fill(model, None, TARGETS).logits)
    cache.reset()
    assert cache.get_seq_length() == 0
    shifted = torch.roll(torch.arange(len(LENGTHS)), 1)
    logits = fill(model, cache, TARGETS[shifted], shifted).logits  # another source after a reset
    torch.testing.assert_close(logits, fill(model, None, TARGETS).logits[shifted], atol=2e-4, rtol=1e-4)


@with_state
def test_a_cache_of_states_does_not_grow(name: str) -> None:
    model = build(name)
    outputs = details(model, num_beams=3)
    cache = outputs.past_key_values.self_attention_cache
    assert isinstance(cache, AttnSeq2SeqCache)
    assert [layer.keys.shape[2] for layer in cache.layers] == [1] * model.config.num_states
    assert outputs.past_key_values.get_seq_length() == len(outputs.scores)


# --------------------------------------------------------------------------------------------------------------------
# Bad input
# --------------------------------------------------------------------------------------------------------------------


SENTENCE = torch.tensor([[5, 6, END]])
BAD_INPUT: dict[str, tuple[dict[str, Any], str]] = {
    "length_penalty_nan": (
        {"input_ids": SENTENCE, "num_beams": 2, "length_penalty": float("nan")},
        "length_penalty=nan must be a finite number",
    ),
    "empty_source": ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, "source is empty"),
    "source_all_padding": (
        {"input_ids": torch.tensor([[5, END], [PAD, PAD]])},
        "Source 1 of the batch is all padding",
    ),
    "mask_all_zero": (
        {"input_ids": SENTENCE, "attention_mask": torch.zeros(1, 3, dtype=torch.long)},
        "Source 0 of the batch is all padding",
    ),
    "mask_too_long": (
        {"input_ids": SENTENCE, "attention_mask": torch.ones(1, 4)},
        r"attention_mask has shape \(1, 4\)",
    ),
    "mask_of_another_batch": (
        {"input_ids": SENTENCE, "attention_mask": torch.ones(2, 3)},
        r"attention_mask has shape \(2, 3\)",
    ),
    "source_outside_the_vocabulary": ({"input_ids": torch.tensor([[5, 20, END]])}, "hold 20, which is outside"),
    "negative_source": ({"input_ids": torch.tensor([[5, -1, END]])}, "hold -1, which is outside"),
    "single_token_outside_the_vocabulary": ({"input_ids": torch.tensor([[20]])}, "hold 20, which is outside"),
    "target_outside_the_vocabulary": (
        {"input_ids": SENTENCE, "decoder_input_ids": torch.tensor([[START, 20]])},
        "hold 20, which is outside",
    ),
    "source_not_of_integers": ({"input_ids": torch.ones(1, 3)}, "must be integers"),
    "source_of_one_dimension": ({"input_ids": torch.tensor([5, 6, END])}, r"must be \(batch, length\)"),
    "encoder_mask_does_not_fit": (
        {"encoder_outputs": BaseModelOutput(torch.zeros(1, 3, 16)), "attention_mask": torch.ones(1, 4)},
        r"attention_mask has shape \(1, 4\)",
    ),
    # The fused kernels of torch check no sizes: what passes here reads and writes past the end of its memory.
    "target_of_another_batch": (
        {"input_ids": SENTENCE, "decoder_input_ids": torch.tensor([[START, 5], [START, 6]])},
        r"\b2\b.*\b1\b|\b1\b.*\b2\b",
    ),
    "embeddings_of_another_width": ({"inputs_embeds": torch.ones(1, 3, 7)}, r"\b7\b.*\b16\b|\b16\b.*\b7\b"),
    "encoder_states_of_another_width": (
        {"encoder_outputs": BaseModelOutput(torch.ones(1, 3, 7))},
        r"\b7\b.*\b16\b|\b16\b.*\b7\b",
    ),
    "no_beams": ({"input_ids": SENTENCE, "num_beams": 0}, "num_beams"),
    "no_steps": ({"input_ids": SENTENCE, "max_new_tokens": 0}, "max_new_tokens"),
    "prefix_too_long": (
        {
            "input_ids": SENTENCE,
            "decoder_input_ids": torch.tensor([[START, 5, 6, 7]]),
            "max_new_tokens": None,
            "max_length": 4,
        },
        "max_length",
    ),
    "more_results_than_beams": (
        {"input_ids": SENTENCE, "num_beams": 2, "num_return_sequences": 3},
        "num_return_sequences",
    ),
    "unknown_argument": ({"input_ids": SENTENCE, "numb_beams": 2}, "numb_beams"),
    "wrong_cache": ({"input_ids": SENTENCE, "past_key_values": DynamicCache()}, "must be an EncoderDecoderCache"),
}


@pytest.mark.parametrize("name", ["lstm_general", "transformer_sinusoidal"])
@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gets_a_sentence(name: str, case: str) -> None:
    given, sentence = BAD_INPUT[case]
    with pytest.raises(ValueError, match=sentence):
        build(name).generate(**{"max_new_tokens": 4, **given})


def test_attentions_of_a_model_without_attention() -> None:
    with pytest.raises(ValueError, match="has no attention weights"):
        generate(build("gru_none"), return_dict_in_generate=True, output_attentions=True)


# --------------------------------------------------------------------------------------------------------------------
# All of the registry
# --------------------------------------------------------------------------------------------------------------------


def pairings() -> list[Any]:
    """
    Every encoder, decoder, attention and normalizer that the configuration allows together; with scan cells, every
    encoder, decoder and attention, whose normalizers take turns.
    """
    allowed = []
    for encoder, decoder, attention, normalizer in itertools.product(
        STACK_TYPES, STACK_TYPES, ATTENTIONS, NORMALIZERS
    ):
        if encoder in SCANNED or decoder in SCANNED:
            turn = sum([*STACK_TYPES, *ATTENTIONS].index(kind) for kind in (encoder, decoder, attention))
            turn = 0 if attention in ("monotonic", "none") else turn % len(NORMALIZERS)
            if normalizer != list(NORMALIZERS)[turn]:
                continue
        bridge = ("dense", "last", "mean", "zeros", "final", "final_dense", "last_both")[len(allowed) % 7]
        fits = encoder != "transformer" and (encoder == "lstm") == (decoder == "lstm")
        if bridge.startswith("final") and decoder != "transformer" and not fits:
            bridge = "dense"
        readout = ("tanh", "maxout", "affine", "linear", "concat")[len(allowed) // 2 % 5]
        query = "current" if len(allowed) % 2 else "previous"
        if readout == "linear" and (query == "current" or decoder == "ssru"):
            readout = "affine"  # the state alone is read where the context enters the cell, and if it is not often 0
        if len(allowed) % 11 == 3:
            query, readout, bridge = "between", "deep", "mean_dense"
        fields = {
            "encoder_type": encoder,
            "decoder_type": decoder,
            "attention_type": attention,
            "attention_normalizer": normalizer,
            # What else a pairing may have takes turns.
            "attention_query": query,
            "input_feeding": len(allowed) % 3 == 0 and decoder != "transformer",
            "bridge": bridge,
            "position_type": ("sinusoidal", "rotary", "learned")[len(allowed) % 3],
            "readout": readout,
            "tie_word_embeddings": len(allowed) % 5 == 0 and readout != "concat",
            "vocab_size": 12,
            "hidden_size": 8,
            "attention_size": 4,
            "intermediate_size": 8,
            "max_position_embeddings": 16,
        }
        try:
            tiny_config(**fields)
        except ValueError:
            continue
        allowed.append(pytest.param(fields, id=f"{encoder}-{decoder}-{attention}-{normalizer}"))
    return allowed


PAIRINGS = pairings()


def test_pairings_are_all_there() -> None:
    # 11 kinds under 3 normalizers and 2 under one; a Transformer decoder has 3 kinds less.
    found = [pairing for pairing in PAIRINGS if not {*SCANNED} & {*pairing.id.split("-")}]
    assert len(found) == 3 * (2 * (11 * 3 + 2) + 9 * 3 + 1)
    scanned = {tuple(pairing.id.split("-")[:3]) for pairing in PAIRINGS if pairing not in found}
    assert len(scanned) == len(PAIRINGS) - len(found) == (6 * 5 - 3 * 2) * 13 + 3 * 10


def beams_of(model: AttnSeq2SeqForConditionalGeneration, batch: Any) -> Any:
    return details(model, batch, num_beams=2, num_return_sequences=2, length_penalty=0.0, max_new_tokens=4)


def beams_without_reordering(model: AttnSeq2SeqForConditionalGeneration, batch: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderDecoderCache, "reorder_cache", lambda self, beam_idx: None)
        return beams_of(model, batch)


@pytest.mark.parametrize("fields", PAIRINGS)
@pytest.mark.costly
def test_every_pairing_searches_trains_and_saves(fields: dict[str, Any], tmp_path: Any) -> None:
    model = AttnSeq2SeqForConditionalGeneration(tiny_config(**fields))
    batch = padded_batch((4, 2), vocab_size=12)
    source = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    # Large logits would leave the beams no choice.
    bounded = fields["readout"] in ("tanh", "maxout") and fields["decoder_type"] not in SCANNED
    bounded = bounded or fields["readout"] == "deep"

    for seed in range(40):  # until the beams change places, so that a cache that does not follow them is found out
        outputs = beams_of(scrambled(model, seed, 1.0 if bounded else 0.4), batch)
        wrong = beams_without_reordering(model, batch)
        if (outputs.sequences_scores - wrong.sequences_scores).abs().max() > 0.1:
            break
    else:
        pytest.fail("No beams changed places.")
    found = [result for sentence in batch.sentences for result in search(model, sentence, 2, 4)]
    assert texts(outputs.sequences) == [result.tokens for result in found]
    scores = torch.tensor([result.score for result in found])
    torch.testing.assert_close(outputs.sequences_scores, scores, atol=1e-3, rtol=1e-3)

    target = torch.tensor([[5, 6, END], [7, END, -100]])
    model.train()
    before = model(**source, labels=target).loss
    before.backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not silent
    with torch.no_grad():
        norm = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()
        for parameter in model.parameters():
            parameter -= 2e-4 / norm * parameter.grad
    assert model(**source, labels=target).loss < before

    model.eval().save_pretrained(tmp_path)
    again = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(again(**source, labels=target).logits, model(**source, labels=target).logits)


# --------------------------------------------------------------------------------------------------------------------
# Tied tables
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stacks", [{}, _TRANSFORMER], ids=["recurrent", "transformer"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_tables_are_shared_as_configured(stacks: dict[str, Any], tied: bool, shared: bool, tmp_path: Any) -> None:
    fields = {"tie_word_embeddings": tied, "share_encoder_decoder_embeddings": shared, **stacks}
    model = tiny_model(**fields)
    model.save_pretrained(tmp_path)
    for each in (model, AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path), copy.deepcopy(model)):
        source, target, output = each.get_encoder().embed_tokens, each.get_decoder().embed_tokens, each.lm_head
        assert (output.weight is target.weight) == tied
        assert (source.weight is target.weight) == shared
        torch.testing.assert_close(output.weight, model.lm_head.weight)
        decoder_states = torch.eye(16)[None]
        logits = each.lm_head(decoder_states)
        with torch.no_grad():
            target.weight[7] += 1.0
        assert ((each.lm_head(decoder_states) - logits)[..., 7].abs().min() > 0.5) == tied
        with torch.no_grad():
            target.weight[7] -= 1.0


# --------------------------------------------------------------------------------------------------------------------
# Two vocabularies
# --------------------------------------------------------------------------------------------------------------------

SIZES = [(20, 33), (33, 20)]
two_sizes = pytest.mark.parametrize("sizes", SIZES, ids=["more target tokens", "fewer target tokens"])
SOURCE = torch.tensor([[5, 6, 7, 8, END], [9, 10, END, PAD, PAD]])


def of_two_vocabularies(sizes: tuple[int, int], kind: str = "gru", seed: int = 0) -> Any:
    """A model or, named "ensemble", two of them behind one `generate()`."""
    fields = {"vocab_size": sizes[0], "decoder_vocab_size": sizes[1]}
    if kind == "ensemble":
        return Ensemble([of_two_vocabularies(sizes, "gru"), of_two_vocabularies(sizes, "transformer", 1)]).eval()
    return tiny_model(seed, **fields, **(_TRANSFORMER if kind == "transformer" else {}))


@two_sizes
@pytest.mark.parametrize("kind", ["gru", "transformer", "ensemble"])
def test_scores_of_two_vocabularies(kind: str, sizes: tuple[int, int]) -> None:
    model = of_two_vocabularies(sizes, kind)
    options = {"max_new_tokens": 6, "do_sample": False, "return_dict_in_generate": True, "output_scores": True}
    outputs = model.generate(SOURCE, num_beams=3, **options)
    steps = model.compute_transition_scores(
        outputs.sequences, outputs.scores, outputs.beam_indices, normalize_logits=False
    )
    lengths = (outputs.beam_indices >= 0).sum(1)
    torch.testing.assert_close(steps.sum(1) / lengths, outputs.sequences_scores, atol=1e-5, rtol=0)

    outputs = model.generate(SOURCE, num_beams=1, **options)
    steps = model.compute_transition_scores(outputs.sequences, outputs.scores, normalize_logits=True)
    for step, scores in enumerate(outputs.scores):
        assert scores.shape == (2, sizes[1])
        expected = scores.log_softmax(-1).gather(1, outputs.sequences[:, step + 1, None])[:, 0]
        torch.testing.assert_close(steps[:, step], expected)


@two_sizes
@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_drafts_of_two_vocabularies(kind: str, sizes: tuple[int, int]) -> None:
    model, options = of_two_vocabularies(sizes, kind), {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False}
    alone = model.generate(SOURCE[:1], **options)
    assert model.generate(SOURCE[:1], prompt_lookup_num_tokens=3, **options).tolist() == alone.tolist()
    assistant = of_two_vocabularies(sizes, "transformer", seed=5)
    assert model.generate(SOURCE[:1], assistant_model=assistant, **options).tolist() == alone.tolist()
    other = of_two_vocabularies((sizes[0] + 1, sizes[1]))
    with pytest.raises(ValueError, match=f"The assistant's source vocabulary has {sizes[0] + 1} tokens"):
        model.generate(SOURCE[:1], assistant_model=other, **options)


@two_sizes
def test_watermarks_of_two_vocabularies(sizes: tuple[int, int]) -> None:
    model = of_two_vocabularies(sizes)
    marking = WatermarkingConfig(greenlist_ratio=0.5, bias=50.0)
    options = {"max_new_tokens": 40, "min_new_tokens": 40, "do_sample": True}
    torch.manual_seed(0)
    marked, plain = (model.generate(SOURCE, watermarking_config=config, **options) for config in (marking, None))
    # The detector asks the configuration it is given for vocab_size, which is the source's.
    detector = WatermarkDetector(model.config.get_text_config(decoder=True), "cpu", marking)
    assert detector(marked).tolist() == [True, True]
    assert detector(marked, return_dict=True).green_fraction.tolist() == [1.0, 1.0]
    assert detector(plain, return_dict=True).green_fraction.max() < 0.9
    assert model.config.get_text_config().vocab_size == sizes[0]


@two_sizes
@pytest.mark.parametrize("option", [{"encoder_repetition_penalty": 1.5}, {"encoder_no_repeat_ngram_size": 2}], ids=str)
def test_what_mixes_two_vocabularies_is_refused(option: dict[str, Any], sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="source and target have vocabularies of their own") as error:
        of_two_vocabularies(sizes).generate(SOURCE, max_new_tokens=6, **option)
    assert "\n" not in str(error.value)
    of_two_vocabularies((20, 20)).generate(SOURCE, max_new_tokens=6, **option)


@two_sizes
def test_processors_of_two_vocabularies_take_any_target_token(sizes: tuple[int, int]) -> None:
    model, last = of_two_vocabularies(sizes), sizes[1] - 1
    options = {"max_new_tokens": 6, "num_beams": 2}
    assert (model.generate(SOURCE, sequence_bias=[[[last], 100.0]], **options)[:, 1:] == last).all()
    assert not (model.generate(SOURCE, bad_words_ids=[[last]], **options) == last).any()
    assert not (model.generate(SOURCE, suppress_tokens=[last], **options) == last).any()
    ids = model.generate(SOURCE, no_repeat_ngram_size=1, repetition_penalty=2.0, **options)
    assert ids.max() <= last
