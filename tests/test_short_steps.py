# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The short way of `generate()` on a recurrent decoder against the modules' own."""

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq import short_steps as short_steps_module
from hf_attn_seq2seq.recorder import Recorder, recording
from hf_attn_seq2seq.short_steps import HEAP_BYTES, PackedWeight, ShortSteps, keep_heap, plain_steps, short_steps

from .helpers import SCANNED, START, padded_batch, scrambled, tiny_config, tiny_model
from .test_generation import PAIRINGS


BATCH = padded_batch((5, 3, 7, 4))
# The steps do not see the encoder: of those beside scan cells, one is enough.
RECURRENT = [
    pairing
    for pairing in PAIRINGS
    if pairing.values[0]["decoder_type"] != "transformer"
    and pairing.values[0]["attention_query"] != "between"  # which goes the long way
    and (pairing.values[0]["encoder_type"] == "gru" or not {*SCANNED} & {*pairing.id.split("-")})
]
DEEP: dict[str, dict[str, Any]] = {
    "deep_gru": {"decoder_layers": 3, "residual": True, "layer_norm": True, "readout": "maxout"},
    "deep_lstm": {
        "encoder_type": "lstm",
        "decoder_type": "lstm",
        "decoder_layers": 2,
        "input_feeding": True,
        "attention_query": "current",
    },
    "heads": {"num_attention_heads": 2, "input_feeding": True},
    "affine": {
        "readout": "affine",
        "input_feeding": True,
        "output_bias": True,
        "attention_bias": True,
        "attention_weight_norm": True,
    },
    "linear": {"readout": "linear", "decoder_layers": 2},
    "concat": {
        "readout": "concat",
        "input_feeding": True,
        "tie_word_embeddings": False,
        "embedding_size": 12,
        "encoder_hidden_size": 20,
    },
    "wide": {
        "tie_word_embeddings": False,
        "embedding_size": 12,
        "encoder_hidden_size": 20,
        "input_feeding": True,
        "readout": "maxout",
    },
}


@contextmanager
def counted() -> Iterator[list[int]]:
    """Within, the rows of every step that goes the short way are listed."""
    taken: list[int] = []
    step = ShortSteps.step

    def count(self: ShortSteps, ids: torch.Tensor, *args: Any) -> torch.Tensor:
        taken.append(len(ids))
        return step(self, ids, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShortSteps, "step", count)
        yield taken


def run(model: AttnSeq2SeqForConditionalGeneration, batch: Any = BATCH, **options: Any) -> Any:
    options = {"max_new_tokens": 6, "return_dict_in_generate": True, "output_logits": True, **options}
    return model.generate(batch.input_ids, attention_mask=batch.attention_mask, **options)


def compare(
    model: AttnSeq2SeqForConditionalGeneration,
    batch: Any = BATCH,
    tolerance: float | None = None,
    taken: bool = True,
    **options: Any,
) -> Any:
    """Both ways must give the same tokens and logits; the short one must be `taken`, or must not."""
    with plain_steps(), counted() as steps:
        plain = run(model, batch, **options)
    assert not steps
    with counted() as steps:
        short = run(model, batch, **options)
    assert len(steps) == (len(short.logits) - 1 if taken else 0)
    assert torch.equal(short.sequences, plain.sequences)
    if tolerance is None:
        tolerance = 1e-9 if model.dtype == torch.float64 else 1e-5
    scale = max(1.0, *(float(logits.abs().max()) for logits in plain.logits))
    for ours, theirs in zip(short.logits, plain.logits, strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance * scale, rtol=0)
    return short


def test_a_cell_behind_the_attention_goes_the_long_way() -> None:
    compare(tiny_model(attention_query="between"), taken=False)


@pytest.mark.parametrize("fields", [*RECURRENT, *(pytest.param(fields, id=name) for name, fields in DEEP.items())])
def test_both_ways_give_the_same(fields: dict[str, Any]) -> None:
    model = scrambled(AttnSeq2SeqForConditionalGeneration(tiny_config(**fields))).double()
    batch = padded_batch((5, 3, 7, 4), vocab_size=12)
    one = batch._replace(input_ids=batch.input_ids[:1], attention_mask=batch.attention_mask[:1])
    left = padded_batch((5, 3, 7, 4), vocab_size=12, side="left")
    for rows in (batch, one, left):
        for beams in (1, 3):
            compare(model, rows, num_beams=beams)
    scrambled(model, scale=0.4).float()  # louder noise makes rounding grow from step to step
    for rows in (batch, one):
        compare(model, rows, num_beams=3)  # on a CPU on packed weights


def test_other_searches() -> None:
    model = tiny_model(input_feeding=True)
    compare(model, num_beams=4, num_return_sequences=3)
    compare(model, decoder_input_ids=torch.tensor([[START, 5, 9]] * 4))
    for options in ({"num_return_sequences": 2}, {"num_beams": 2}):
        draws = []
        for way in (plain_steps(), nullcontext()):
            torch.manual_seed(0)
            with way:
                draws.append(run(model, do_sample=True, **options).sequences)
        assert torch.equal(*draws)
    # An assistant goes back in its cache, and a static one is compiled.
    assistant = tiny_model(seed=1, input_feeding=True)
    one = {"input_ids": BATCH.input_ids[1:2, :3], "max_new_tokens": 6}
    with counted() as steps:
        assert torch.equal(model.generate(**one, assistant_model=assistant), model.generate(**one))
    assert set(steps) == {1}


def test_a_returned_cache_goes_on() -> None:
    model = tiny_model()
    whole = run(model, num_beams=1, max_new_tokens=6)
    part = run(model, num_beams=1, max_new_tokens=3)
    source = {"attention_mask": BATCH.attention_mask, "decoder_input_ids": part.sequences}
    for way in (plain_steps(), nullcontext()):
        with way:
            cache = copy.deepcopy(part.past_key_values)
            rest = model.generate(BATCH.input_ids, **source, past_key_values=cache, max_new_tokens=3)
        assert torch.equal(rest, whole.sequences)


def test_memory_is_kept_for_the_length_of_a_search_alone() -> None:
    model = tiny_model()
    keep_heap(HEAP_BYTES[0] // 4)  # outside of any search: for nobody
    with short_steps(model):
        kept = short_steps_module._kept.get()
        for numbers, count in ((HEAP_BYTES[0] // 4 - 1, 0), (HEAP_BYTES[0] // 4, 1), (HEAP_BYTES[1] // 4, 1)):
            keep_heap(numbers)
            assert len(kept) == count
        with short_steps(model):
            assert short_steps_module._kept.get() == []
        assert short_steps_module._kept.get() is kept
    assert short_steps_module._kept.get() is None


# --------------------------------------------------------------------------------------------------------------------
# Where it steps aside
# --------------------------------------------------------------------------------------------------------------------


class Watcher(Recorder):
    """A recorder that changes nothing."""


class Doubled(nn.Module):
    """A parametrization."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def parts(model: AttnSeq2SeqForConditionalGeneration) -> dict[str, nn.Module]:
    """Every module that a step on the modules' own way calls."""
    called = {}
    handles = [
        module.register_forward_hook(lambda module, *_: called.setdefault(module))
        for module in (*model.model.decoder.modules(), model.model, model.lm_head)
    ]
    with torch.no_grad():
        model(**{"input_ids": BATCH.input_ids, "decoder_input_ids": BATCH.input_ids[:, :1]})
    for handle in handles:
        handle.remove()
    return {name: module for name, module in model.named_modules() if module in called}


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_called(register: str) -> None:
    model = tiny_model(input_feeding=True, decoder_layers=2)
    before = ("key_projection", "bridge")  # called before the steps
    for name, module in parts(model).items():
        calls: list[str] = []
        handle = getattr(module, register)(lambda *_, name=name, calls=calls: calls.append(name))
        # An attention is called as it is, and no step calls the bridge.
        compare(model, taken="attention" in name or "bridge" in name)
        handle.remove()
        assert len(calls) >= (2 if any(part in name for part in before) else 10), name
    compare(model)


def test_pruned_and_parametrized_weights() -> None:
    model = tiny_model(input_feeding=True)
    cell = model.model.decoder.stack.steps.cells[0]
    prune.random_unstructured(cell.hidden_projection, "weight", 0.5)
    compare(model, taken=False)
    prune.remove(cell.hidden_projection, "weight")
    compare(model)
    parametrize.register_parametrization(model.lm_head, "weight", Doubled())
    compare(model, taken=False)


def test_other_layers_in_the_place_of_ours() -> None:
    class Louder(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(inputs)

    model = tiny_model(tie_word_embeddings=False)
    for name in ("lm_head", "model.decoder.stack.steps.attention.query_projection"):
        changed = copy.deepcopy(model)
        linear = changed.get_submodule(name)
        louder = Louder(linear.in_features, linear.out_features, bias=False)
        louder.weight = linear.weight
        changed.set_submodule(name, louder)
        out = compare(changed, taken="attention" in name)  # an attention is called as it is
        assert not torch.equal(out.logits[-1], run(model).logits[-1])
    quantized = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)
    compare(quantized, taken=False)


@pytest.mark.parametrize(
    "options",
    [
        {"output_attentions": True},
        {"output_hidden_states": True},
        {"decoder_input_ids": torch.full((4, 2), START), "decoder_attention_mask": torch.tensor([[0, 1]] * 4)},
        {"use_cache": False},
        {"cache_implementation": "static", "disable_compile": True},
    ],
    ids=str,
)
def test_options_of_the_modules(options: dict[str, Any]) -> None:
    compare(tiny_model(), taken=False, **options)


def test_recorders_autocast_dropout_and_configuration() -> None:
    model = tiny_model(dropout=0.5)
    with recording(Watcher()):
        compare(model, taken=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compare(model, taken=False)
    model.config.output_hidden_states = True
    compare(model, taken=False)
    model.config.output_hidden_states = False
    with counted() as steps:
        run(model.train())
    assert not steps
    compare(model.eval())


def test_gradients_and_plain_calls() -> None:
    model = tiny_model()
    source = {"input_ids": BATCH.input_ids, "attention_mask": BATCH.attention_mask}
    with counted() as steps:
        first = model(**source, decoder_input_ids=torch.full((4, 1), START), use_cache=True)
        second = model(**source, decoder_input_ids=torch.full((4, 1), 5), past_key_values=first.past_key_values)
        second.logits.sum().backward()
    assert not steps
    assert model.lm_head.weight.grad is not None


def test_models_beside_each_other() -> None:
    # An ensemble or an assistant calls other models within one's search.
    model, other = tiny_model(), tiny_model(seed=1)
    wanted = run(other).sequences
    found = []

    class Inside:
        def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            found.append(run(other).sequences)
            return scores

    with plain_steps():
        plain = run(model).sequences
    assert torch.equal(run(model, logits_processor=[Inside()]).sequences, plain)
    assert all(torch.equal(each, wanted) for each in found)


# --------------------------------------------------------------------------------------------------------------------
# Weights that change
# --------------------------------------------------------------------------------------------------------------------


def nudge(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)


def nudge_data(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data.mul_(1.1)  # counts no version


def swap_data(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = 1.1 * parameter.data


def swap_parameters(model: nn.Module) -> None:
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(1.1 * parameter.data))


def load(model: nn.Module) -> None:
    model.load_state_dict({name: 1.1 * value for name, value in model.state_dict().items()})


def train(model: nn.Module) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()(input_ids=BATCH.input_ids, labels=BATCH.input_ids).loss.backward()
    optimizer.step()
    model.eval()


def one_number(model: nn.Module) -> None:
    model.lm_head.weight.data[5, 3] += 4.0


@pytest.mark.parametrize(
    "change", [nudge, nudge_data, swap_data, swap_parameters, load, train, one_number], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("beams", [1, 3])
def test_changed_weights_are_used(change: Callable[[nn.Module], None], beams: int) -> None:
    model = tiny_model(scale=0.4, input_feeding=True, tie_word_embeddings=False)
    before = compare(model, num_beams=beams)
    change(model)
    after = compare(model, num_beams=beams)
    assert not torch.equal(before.logits[-1], after.logits[-1])


def test_packed_weights_are_kept_while_nothing_changes() -> None:
    model = tiny_model(input_feeding=True)
    if not PackedWeight.can_pack(model.lm_head.weight):
        pytest.skip("This build of torch has no oneDNN.")
    made = []
    with pytest.MonkeyPatch.context() as patch:
        make = PackedWeight.__init__
        patch.setattr(PackedWeight, "__init__", lambda self, *args: (made.append(args), make(self, *args))[1])
        run(model)
        assert len(made) == 4  # what the cell reads, its state, the readout, the output layer
        run(model, num_beams=2)
        assert len(made) == 4
        run(model.double())
        assert len(made) == 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    for fields in ({"input_feeding": True}, {"decoder_type": "lstm", "encoder_type": "lstm"}):
        model = tiny_model(scale=0.4, **fields)
        compare(model)
        compare(model.to(dtype), num_beams=2)
        compare(model.to(torch.float32), num_beams=2)


def test_models_that_have_generated_are_copied_and_saved(tmp_path: Any) -> None:
    model = tiny_model(input_feeding=True)
    wanted = compare(model).sequences
    copied = copy.deepcopy(model)
    nudge(model)
    pickled = pickle.loads(pickle.dumps(copied))
    copied.save_pretrained(tmp_path)
    loaded = AttnSeq2SeqForConditionalGeneration.from_pretrained(tmp_path)
    for each in (copied, pickled, loaded):
        assert torch.equal(compare(each).sequences, wanted)
    assert set(loaded.state_dict()) == set(model.state_dict())


def test_inference_mode() -> None:
    model = tiny_model(input_feeding=True)
    with torch.inference_mode():
        compare(model)
        inside = tiny_model(input_feeding=True)  # its weights count no versions
        compare(inside)
        nudge(inside)
        compare(inside)
