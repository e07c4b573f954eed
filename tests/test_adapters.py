# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""PEFT: each kind of adapter trains, is saved and loaded the same, and merges into a model that is saved whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from tests.helpers import FAMILIES, families, padded_batch
from tests.test_ecosystem import TYINGS, inputs, logits, make, tables, train_adapter, tyings


pytestmark = [
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings"),
    pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied"),
]

TASK = "SEQ_2_SEQ_LM"
QUERY = ["query_projection"]


def recurrent_linears(family: str) -> list[str]:
    if FAMILIES[family]["decoder_type"] == "transformer":
        return QUERY
    return [*QUERY, "hidden_projection", "input_projections.0"]


ADAPTERS: dict[str, Callable[[list[str]], peft.PeftConfig]] = {
    "lora": lambda parts: peft.LoraConfig(task_type=TASK, r=2, target_modules=parts),
    "dora": lambda parts: peft.LoraConfig(task_type=TASK, r=2, use_dora=True, target_modules=parts),
    "ia3": lambda parts: peft.IA3Config(task_type=TASK, target_modules=parts, feedforward_modules=[]),
    "prompt tuning": lambda parts: peft.PromptTuningConfig(task_type=TASK, num_virtual_tokens=3),
    "p-tuning": lambda parts: peft.PromptEncoderConfig(task_type=TASK, num_virtual_tokens=3, encoder_hidden_size=8),
    "head saved": lambda parts: peft.LoraConfig(
        task_type=TASK, r=2, target_modules=QUERY, modules_to_save=["lm_head"]
    ),
    "tables saved": lambda parts: peft.LoraConfig(
        task_type=TASK, r=2, target_modules=QUERY, modules_to_save=["embed_tokens"]
    ),
    "lora on tables": lambda parts: peft.LoraConfig(task_type=TASK, r=2, target_modules=["embed_tokens"]),
    "new tokens": lambda parts: peft.LoraConfig(
        task_type=TASK, r=2, target_modules=QUERY, trainable_token_indices={"encoder.embed_tokens": [5, 6]}
    ),
    "new tokens on both sides": lambda parts: peft.LoraConfig(
        task_type=TASK, r=2, target_modules=QUERY, trainable_token_indices={"embed_tokens": [5, 6]}
    ),
}
# Where the target's table is the head too, PEFT merges into both what one of them was trained with: docs/ecosystem.md.
NOT_MERGED_WHERE_TIED = ("lora on tables", "new tokens on both sides")


@families
@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_trains_saves_loads_and_merges(family: str, kind: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"tie_word_embeddings": kind not in NOT_MERGED_WHERE_TIED}
    adapted = peft.get_peft_model(make(family, **fields), ADAPTERS[kind](recurrent_linears(family)))
    start = {name: part.clone() for name, part in adapted.named_parameters()}
    before = logits(adapted)
    train_adapter(adapted)
    moved = {name for name, part in adapted.named_parameters() if not torch.equal(part, start[name])}
    assert moved == {name for name, part in adapted.named_parameters() if part.requires_grad}
    after = logits(adapted)
    assert (after - before).abs().max() > 1e-4
    source = padded_batch((5, 3, 7))
    options = {"attention_mask": source.attention_mask, "num_beams": 3, "max_new_tokens": 8}
    generated = adapted.generate(input_ids=source.input_ids, **options)

    adapted.save_pretrained(tmp_path / "adapter")
    again = peft.PeftModel.from_pretrained(make(family, **fields), tmp_path / "adapter").eval()
    torch.testing.assert_close(logits(again), after)
    assert torch.equal(again.generate(input_ids=source.input_ids, **options), generated)
    if adapted.active_peft_config.is_prompt_learning:
        return

    merged = adapted.merge_and_unload()
    torch.testing.assert_close(logits(merged), after, rtol=1e-4, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    loaded, report = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "merged", output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    torch.testing.assert_close(logits(loaded), logits(merged))


@tyings
@pytest.mark.parametrize(
    "saved", [[], ["lm_head"], ["embed_tokens"], ["encoder.embed_tokens"], ["decoder.embed_tokens"]], ids=" ".join
)
def test_a_merged_model_is_saved_with_the_tying_that_holds(tying: str, saved: list[str], tmp_path: Path) -> None:
    model = make("gru", **TYINGS[tying])
    lora = peft.LoraConfig(task_type=TASK, r=2, target_modules=QUERY, modules_to_save=saved or None)
    adapted = peft.get_peft_model(model, lora)
    train_adapter(adapted)
    merged = adapted.merge_and_unload()
    one = [left is right for left in tables(merged) for right in tables(merged)]
    merged.save_pretrained(tmp_path)
    assert [left is right for left in tables(merged) for right in tables(merged)] == one  # saving changes nothing
    loaded, report = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for ours, theirs in zip(tables(loaded), tables(merged)):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(logits(loaded), logits(merged))
    source, target, head = tables(loaded)
    assert loaded.config.share_encoder_decoder_embeddings == (source is target)
    assert loaded.config.tie_word_embeddings == (target is head)
    if not (tying == "three-way" and saved == ["decoder.embed_tokens"]):  # which has to be saved as two tables
        assert [left is right for left in tables(loaded) for right in tables(loaded)] == one
    loaded.tie_weights()
    for ours, theirs in zip(tables(loaded), tables(merged)):
        assert torch.equal(ours, theirs)


@families
def test_a_merged_model_of_two_tables_can_be_resized(family: str) -> None:
    adapted = peft.get_peft_model(make(family), peft.LoraConfig(task_type=TASK, r=2, target_modules=QUERY))
    merged = adapted.merge_and_unload()
    merged.resize_token_embeddings(23)
    _, target, head = tables(merged)
    assert head is target
    assert merged.config.tie_word_embeddings


@pytest.mark.parametrize("family", ["gru", "lstm"])
def test_ids_outside_the_vocabulary_are_refused_behind_an_adapter(family: str) -> None:
    lora = peft.LoraConfig(task_type=TASK, r=2, target_modules=["embed_tokens"])
    adapted = peft.get_peft_model(make(family, decoder_vocab_size=30), lora)
    batch = inputs(target_vocabulary=30)
    logits(adapted, batch)
    for name, wrong in (("input_ids", 20), ("decoder_input_ids", 30)):
        ids = batch[name].clone()
        ids[0, 0] = wrong
        with pytest.raises(ValueError, match=f"hold {wrong}, which is outside the vocabulary of {wrong} tokens"):
            logits(adapted, {**batch, name: ids})


@pytest.mark.parametrize("family", ["gru", "lstm", "transformer-gru"])
def test_keys_and_values_are_no_state_of_a_recurrent_decoder(family: str) -> None:
    """Prefix tuning puts keys and values before a decoder's own."""
    prefix = peft.PrefixTuningConfig(task_type=TASK, num_virtual_tokens=3)
    adapted = peft.get_peft_model(make(family), prefix)
    with pytest.raises(ValueError, match=r"not this decoder's state.*use prompt tuning"):
        logits(adapted)
