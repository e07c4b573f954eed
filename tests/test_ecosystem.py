# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Life beside other tools: saving, tying, resizing, adapters, quantisation, compilation, code beside the weights."""

import json
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, CompileConfig

from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqModel
from hf_attn_seq2seq.cells import GatedCell, RecurrentCell
from tests.helpers import FAMILIES, families, padded_batch, tiny_config, tiny_model


TYINGS = {
    "untied": {"tie_word_embeddings": False},
    "two-way": {"tie_word_embeddings": True},
    "shared": {"tie_word_embeddings": False, "share_encoder_decoder_embeddings": True},
    "three-way": {"tie_word_embeddings": True, "share_encoder_decoder_embeddings": True},
}
tyings = pytest.mark.parametrize("tying", TYINGS)


def make(family: str, **fields: Any) -> AttnSeq2SeqForConditionalGeneration:
    return tiny_model(scale=0.4, **{**FAMILIES[family], **fields})


def inputs(target_vocabulary: int = 20) -> dict[str, torch.Tensor]:
    source = padded_batch((5, 3, 7))
    target = padded_batch((4, 6, 6), vocab_size=target_vocabulary, seed=1).input_ids
    return {"input_ids": source.input_ids, "attention_mask": source.attention_mask, "decoder_input_ids": target}


@torch.no_grad()
def logits(model: nn.Module, batch: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
    return model(**(batch or inputs())).logits


def assert_same(ours: nn.Module, theirs: nn.Module, batch: dict[str, torch.Tensor] | None = None) -> None:
    """
    All weights equal bit for bit, and the logits as far as they can be.

    On some processors oneDNN sums in another order where the same weights begin at another address: safetensors maps
    them at 8 modulo 64, torch allocates at multiples of 64. Logits of about 1 then move by some 5e-7.
    """
    assert_same_weights(ours, theirs)
    made, expected = logits(ours, batch), logits(theirs, batch)
    assert made.dtype == expected.dtype
    bound = {"rtol": 1e-5, "atol": 1e-5}
    if expected.dtype in (torch.bfloat16, torch.float16):  # four roundings
        bound = dict.fromkeys(bound, 4 * torch.finfo(expected.dtype).eps)
    torch.testing.assert_close(made, expected, **bound)


def assert_same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    left, right = ours.state_dict(), theirs.state_dict()
    assert left.keys() == right.keys()
    for name, weight in left.items():
        assert torch.equal(weight, right[name]), name


def tokens(model: nn.Module) -> torch.Tensor:
    source = padded_batch((5, 3, 7))
    return model.generate(source.input_ids, attention_mask=source.attention_mask, num_beams=3, max_new_tokens=8)


def tables(model: AttnSeq2SeqForConditionalGeneration) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
    return model.model.encoder.embed_tokens.weight, model.model.decoder.embed_tokens.weight, model.lm_head.weight


def assert_tied(model: AttnSeq2SeqForConditionalGeneration, tying: str) -> None:
    source, target, head = tables(model)
    assert (source is target) == (tying in ("shared", "three-way"))
    assert (target is head) == (tying in ("two-way", "three-way"))
    assert (source is head) == (tying == "three-way")


# --------------------------------------------------------------------------------------------------------------------
# Saving and loading
# --------------------------------------------------------------------------------------------------------------------


@families
def test_save_and_load(family: str, tmp_path: Path) -> None:
    model = make(family)
    model.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".bin", ".pt", ".safetensors")] == [
        "model.safetensors"
    ]
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert type(loaded) is AttnSeq2SeqForConditionalGeneration
    assert not loaded.training
    assert_same(loaded, model)
    assert torch.equal(tokens(loaded), tokens(model))
    base = AutoModel.from_pretrained(tmp_path)
    assert type(base) is AttnSeq2SeqModel
    assert_same_weights(base, model.model)
    with torch.no_grad():
        expected = model.model(**inputs()).last_hidden_state
        torch.testing.assert_close(base(**inputs()).last_hidden_state, expected)
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is AttnSeq2SeqConfig
    assert config.encoder_type == model.config.encoder_type


@families
def test_loading_reports_nothing_missing(family: str, tmp_path: Path) -> None:
    make(family).save_pretrained(tmp_path)
    _, report = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@families
def test_base_weights_load_into_a_model_with_a_head(family: str, tmp_path: Path) -> None:
    base = make(family).model
    base.save_pretrained(tmp_path)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert_same_weights(model.model, base)
    with torch.no_grad():
        expected = base(**inputs()).last_hidden_state
        torch.testing.assert_close(model.model(**inputs()).last_hidden_state, expected)


@families
def test_sharded_weights(family: str, tmp_path: Path) -> None:
    model = make(family)
    model.save_pretrained(tmp_path, max_shard_size="5KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert_same(AutoModelForSeq2SeqLM.from_pretrained(tmp_path), model)


@families
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = make(family)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in loaded.parameters()} == {dtype}
    half = logits(loaded)
    assert half.dtype == dtype
    expected = logits(model)
    assert (half.float() - expected).abs().max() < 0.1 * expected.abs().max()
    assert tokens(loaded).shape[0] == 3
    loaded.save_pretrained(tmp_path / "half")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "half")
    assert again.dtype == dtype
    assert_same(again, loaded)


@families
@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_device_map(family: str, device_map: Any, tmp_path: Path) -> None:
    model = make(family)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, device_map=device_map).cpu()
    torch.testing.assert_close(logits(loaded), logits(model))


# Beside the families, what has parameters of its own outside Linears.
OFFLOADED: dict[str, dict[str, Any]] = {
    **FAMILIES,
    "transformer-ssru": {**FAMILIES["transformer"], "decoder_mixer": "ssru"},
}


@pytest.mark.parametrize("fields", OFFLOADED.values(), ids=OFFLOADED)
def test_disk_offload(fields: dict[str, Any], tmp_path: Path) -> None:
    model = tiny_model(scale=0.4, **fields, tie_word_embeddings=False)
    model.save_pretrained(tmp_path)
    places = {
        "model.encoder.embed_tokens": "cpu",
        "model.encoder.stack": "disk",
        "model.decoder": "disk",
        "lm_head": "cpu",
    }
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, device_map=places, offload_folder=tmp_path / "offload")
    torch.testing.assert_close(logits(loaded), logits(model))
    assert torch.equal(tokens(loaded), tokens(model))


# --------------------------------------------------------------------------------------------------------------------
# Embedding tables
# --------------------------------------------------------------------------------------------------------------------


@families
@tyings
def test_tying_survives_saving(family: str, tying: str, tmp_path: Path) -> None:
    model = make(family, **TYINGS[tying])
    assert_tied(model, tying)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert_tied(loaded, tying)
    assert_same(loaded, model)
    base = AutoModel.from_pretrained(tmp_path)
    shared = base.encoder.embed_tokens.weight is base.decoder.embed_tokens.weight
    assert shared == (tying in ("shared", "three-way"))
    count = len({id(table) for table in tables(loaded)})
    assert count == {"untied": 3, "two-way": 2, "shared": 2, "three-way": 1}[tying]
    # One step of training moves tied tables together.
    loaded.train()(**inputs(), labels=inputs()["decoder_input_ids"]).loss.backward()
    torch.optim.SGD(loaded.parameters(), lr=0.1).step()
    assert_tied(loaded, tying)
    loaded.save_pretrained(tmp_path / "trained")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "trained")
    assert_same(again, loaded.eval())
    assert not torch.allclose(logits(again), logits(model), rtol=1e-3, atol=1e-3)


@families
@tyings
@pytest.mark.parametrize("size", [23, 14])
def test_resizing_one_vocabulary(family: str, tying: str, size: int, tmp_path: Path) -> None:
    model = make(family, **TYINGS[tying])
    batch = {name: ids.clamp(max=13) if name != "attention_mask" else ids for name, ids in inputs().items()}
    before, rows = logits(model, batch), [table.clone() for table in tables(model)]
    model.resize_token_embeddings(size)
    assert model.config.vocab_size == model.config.decoder_vocab_size == size
    assert [len(table) for table in tables(model)] == [size, size, size]
    assert model.model.encoder.embed_tokens.num_embeddings == model.model.decoder.embed_tokens.num_embeddings == size
    assert model.lm_head.out_features == size
    assert_tied(model, tying)
    after = logits(model, batch)
    assert after.shape[-1] == size
    kept = min(size, 20)
    assert all(torch.equal(table[:kept], old[:kept]) for table, old in zip(tables(model), rows))
    torch.testing.assert_close(after[..., :kept], before[..., :kept])
    model(input_ids=torch.tensor([[size - 1]]), decoder_input_ids=torch.tensor([[size - 1]]))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert_tied(loaded, tying)
    assert_same(loaded, model, batch)


@families
@pytest.mark.parametrize("tying", ["untied", "two-way"])
def test_resizing_two_vocabularies(family: str, tying: str, tmp_path: Path) -> None:
    model = make(family, decoder_vocab_size=30, **TYINGS[tying])
    batch = inputs(target_vocabulary=30)
    before, rows = logits(model, batch), [table.clone() for table in tables(model)]
    model.resize_token_embeddings(25)
    assert (model.config.vocab_size, model.config.decoder_vocab_size) == (25, 30)
    assert [len(table) for table in tables(model)] == [25, 30, 30]
    torch.testing.assert_close(logits(model, batch), before)
    returned = model.resize_decoder_token_embeddings(33)
    assert returned is model.get_decoder().embed_tokens
    assert (model.config.vocab_size, model.config.decoder_vocab_size) == (25, 33)
    assert [len(table) for table in tables(model)] == [25, 33, 33]
    assert_tied(model, tying)
    assert all(torch.equal(table[: len(old)], old) for table, old in zip(tables(model), rows))
    torch.testing.assert_close(logits(model, batch)[..., :30], before)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert_tied(loaded, tying)
    assert_same(loaded, model, batch)


def test_a_shared_table_is_resized_by_its_own_method() -> None:
    with pytest.raises(ValueError, match="resize_token_embeddings"):
        make("gru", share_encoder_decoder_embeddings=True).resize_decoder_token_embeddings(30)
    model = make("gru")  # two tables that happen to be of one size
    model.resize_decoder_token_embeddings(30)
    assert [len(table) for table in tables(model)] == [20, 30, 30]


def test_resizing_pads_to_a_multiple() -> None:
    model = make("gru")
    model.resize_token_embeddings(21, pad_to_multiple_of=8)
    assert [len(table) for table in tables(model)] == [24, 24, 24]
    assert model.config.vocab_size == model.config.decoder_vocab_size == 24


@tyings
def test_set_input_embeddings(tying: str) -> None:
    model = make("gru", **TYINGS[tying])
    table = nn.Embedding(20, 16)
    model.set_input_embeddings(table)
    model.tie_weights()
    assert model.get_input_embeddings() is table
    assert_tied(model, tying)


# --------------------------------------------------------------------------------------------------------------------
# Adapters and quantisation
# --------------------------------------------------------------------------------------------------------------------


def train_adapter(model: nn.Module) -> None:
    model.train()
    optimizer = torch.optim.SGD([part for part in model.parameters() if part.requires_grad], lr=0.5)
    for _ in range(2):  # LoRA's B is 0 at first, so A moves at the second step
        optimizer.zero_grad()
        model(**inputs(), labels=inputs()["decoder_input_ids"]).loss.backward()
        optimizer.step()
    model.eval()


@families
@pytest.mark.parametrize("target", ["all-linear", "recurrent"])
def test_lora(family: str, target: str, tmp_path: Path) -> None:
    model = make(family, tie_word_embeddings=False)
    plain = logits(model)
    recurrent = "input_projections.0" if family == "ssru" else "hidden_projection"  # which a scan cell has not
    parts = "all-linear" if target == "all-linear" else [recurrent, "query_projection", "key_projection"]
    lora = peft.LoraConfig(task_type="SEQ_2_SEQ_LM", r=2, lora_alpha=8, target_modules=parts, lora_dropout=0.0)
    adapted = peft.get_peft_model(model, lora)
    torch.testing.assert_close(logits(adapted), plain)
    names = [name for name, module in adapted.named_modules() if hasattr(module, "lora_A")]
    if model.config.is_recurrent_decoder:
        assert any(name.endswith(recurrent) for name in names)
    trained = [name for name, part in adapted.named_parameters() if part.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    frozen = {name: part.clone() for name, part in adapted.named_parameters() if not part.requires_grad}
    start = {name: part.clone() for name, part in adapted.named_parameters() if part.requires_grad}
    train_adapter(adapted)
    parameters = dict(adapted.named_parameters())
    assert all(torch.equal(parameters[name], part) for name, part in frozen.items())
    assert all(not torch.equal(parameters[name], part) for name, part in start.items())
    after = logits(adapted)
    assert (after - plain).abs().max() > 1e-3
    source = padded_batch()
    generated = adapted.generate(
        input_ids=source.input_ids, attention_mask=source.attention_mask, num_beams=3, max_new_tokens=8
    )

    adapted.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(make(family, tie_word_embeddings=False), tmp_path)
    torch.testing.assert_close(logits(again), after)

    merged = adapted.merge_and_unload()
    assert type(merged) is AttnSeq2SeqForConditionalGeneration
    torch.testing.assert_close(logits(merged), after, rtol=1e-4, atol=1e-4)
    assert torch.equal(tokens(merged), generated)


@families
def test_dynamic_int8(family: str) -> None:
    model = make(family, tie_word_embeddings=False)
    expected = logits(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao's announcement of its successor
        small = torch.ao.quantization.quantize_dynamic(make(family, tie_word_embeddings=False), {nn.Linear})
    linears = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    for name in linears:
        assert type(small.get_submodule(name)) is torch.ao.nn.quantized.dynamic.Linear, name
    cells = [module for module in small.modules() if isinstance(module, RecurrentCell)]
    assert bool(cells) == model.config.is_recurrent_decoder
    assert not any(cell.is_plain for cell in cells if isinstance(cell, GatedCell))
    result = logits(small)
    assert not torch.equal(result, expected)
    assert (result - expected).std() < 0.1 * expected.std()
    assert tokens(small).shape[0] == 3


# --------------------------------------------------------------------------------------------------------------------
# Shards
# --------------------------------------------------------------------------------------------------------------------


@families
def test_what_is_not_split_is_used_in_its_own_forward_alone(family: str) -> None:
    """FSDP gathers, and device maps move, the weights of such a module while its forward runs."""
    model = make(family)
    units = [module for module in model.modules() if type(module).__name__ in model._no_split_modules]
    assert units
    running: list[nn.Module] = []
    used = set()
    for unit in units:
        unit.register_forward_pre_hook(lambda module, _: running.append(module))
        unit.register_forward_hook(lambda module, *_: running.remove(module))
        for part in unit.modules():
            if isinstance(part, nn.Linear):

                def note(module: nn.Module, _: Any, unit: nn.Module = unit) -> None:
                    assert unit in running, module
                    used.add(module)

                part.register_forward_pre_hook(note)
    tokens(model)
    model(**inputs(), labels=inputs()["decoder_input_ids"]).loss.backward()
    assert used


SHARDED = """
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard

from tests.test_ecosystem import inputs, make

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
for family in ("gru", "lstm", "transformer"):
    model = make(family).train()
    for module in model.modules():
        if type(module).__name__ in model._no_split_modules:
            fully_shard(module)
    fully_shard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(**inputs(), labels=inputs()["decoder_input_ids"]).loss.backward()
        optimizer.step()
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if rank == 0:
        model.save_pretrained(f"{folder}/{family}", state_dict=state)
    dist.barrier()
dist.destroy_process_group()
"""


def test_two_processes_with_sharded_weights(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([sys.executable, "-c", SHARDED, str(rank), str(tmp_path)], env=environment)
        for rank in range(2)
    ]
    assert [process.wait() for process in running] == [0, 0]
    for family in ("gru", "lstm", "transformer"):
        loaded, report = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / family, output_loading_info=True)
        assert not report["missing_keys"]
        assert_tied(loaded, "two-way")
        alone = make(family).train()
        optimizer = torch.optim.SGD(alone.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            alone(**inputs(), labels=inputs()["decoder_input_ids"]).loss.backward()
            optimizer.step()
        torch.testing.assert_close(logits(loaded), logits(alone.eval()), rtol=1e-4, atol=1e-4)


# --------------------------------------------------------------------------------------------------------------------
# Compilation
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.costly
@families
def test_compiled_forward_is_one_graph(family: str) -> None:
    model = make(family)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(logits(compiled), logits(model), rtol=1e-4, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.costly
@families
def test_compiled_generation(family: str) -> None:
    model = make(family)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    config = CompileConfig(fullgraph=True, backend="eager", mode=None)
    config._compile_all_devices = True
    source = padded_batch((5, 3, 7))
    compiled = model.generate(
        source.input_ids,
        attention_mask=source.attention_mask,
        max_new_tokens=8,
        cache_implementation="static",
        compile_config=config,
    )
    # All steps run through one graph: none compiles it anew.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    plain = model.generate(source.input_ids, attention_mask=source.attention_mask, max_new_tokens=8)
    assert torch.equal(compiled, plain)


@pytest.mark.costly
@pytest.mark.parametrize("family", ["gru", "transformer"])
def test_compiled_training_step(family: str) -> None:
    batch = {**inputs(), "labels": inputs()["decoder_input_ids"]}
    gradients = []
    for compiled in (False, True):
        model = make(family).train()
        torch._dynamo.reset()
        loss = (torch.compile(model, backend="aot_eager") if compiled else model)(**batch).loss
        loss.backward()
        gradients.append({name: part.grad for name, part in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.costly
@pytest.mark.parametrize("family", ["gru", "transformer"])
def test_inductor_forward(family: str) -> None:
    model = make(family)
    torch._dynamo.reset()
    batch = {name: ids[:2, :3] for name, ids in inputs().items()}
    torch.testing.assert_close(logits(torch.compile(model), batch), logits(model, batch), rtol=1e-4, atol=1e-4)


# --------------------------------------------------------------------------------------------------------------------
# Code beside the weights
# --------------------------------------------------------------------------------------------------------------------

STRANGER = """
import importlib.abc
import json
import sys
from pathlib import Path


class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_attn_seq2seq":
            raise ImportError("This machine has no hf_attn_seq2seq.")


sys.meta_path.insert(0, Blocked())
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
report = {}
for family in json.loads(sys.argv[3]):
    model = AutoModelForSeq2SeqLM.from_pretrained(folder / family, trust_remote_code=True)
    base = AutoModel.from_pretrained(folder / family, trust_remote_code=True)
    config = AutoConfig.from_pretrained(folder / family, trust_remote_code=True)
    batch = torch.load(folder / "batch.pt")
    model.save_pretrained(out / family)
    again = AutoModelForSeq2SeqLM.from_pretrained(out / family, trust_remote_code=True)
    report[family] = {
        "tokens": model.generate(**batch, num_beams=3, max_new_tokens=8).tolist(),
        "again": again.generate(**batch, num_beams=3, max_new_tokens=8).tolist(),
        "base": base(**batch, decoder_input_ids=batch["input_ids"]).last_hidden_state.tolist(),
        "classes": [type(model).__name__, type(base).__name__, type(config).__name__],
        "modules": sorted({type(model).__module__.partition(".")[0], type(base).__module__.partition(".")[0]}),
    }
print("REPORT" + json.dumps(report))
"""


def test_models_run_where_the_package_is_missing(tmp_path: Path) -> None:
    saved, resaved = tmp_path / "saved", tmp_path / "resaved"
    models = {family: make(family) for family in FAMILIES}
    for family, model in models.items():
        model.save_pretrained(saved / family)
        auto_map = json.loads((saved / family / "config.json").read_text())["auto_map"]
        assert {"AutoConfig", "AutoModel", "AutoModelForSeq2SeqLM"} <= set(auto_map)
        for file in (saved / family).glob("*.py"):
            assert "hf_attn_seq2seq" not in [
                word.partition(".")[0]
                for line in map(str.strip, file.read_text().splitlines())
                if line.startswith(("import ", "from "))
                for word in line.split()[1:2]
            ], file
    source = padded_batch((5, 3, 7))
    batch = {"input_ids": source.input_ids, "attention_mask": source.attention_mask}
    torch.save(batch, saved / "batch.pt")
    script = tmp_path / "stranger.py"
    script.write_text(textwrap.dedent(STRANGER))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment.update(HF_MODULES_CACHE=str(tmp_path / "modules"), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    command = [sys.executable, str(script), str(saved), str(resaved), json.dumps(list(FAMILIES))]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout.partition("REPORT")[2])
    for family, model in models.items():
        seen = report[family]
        assert seen["classes"] == ["AttnSeq2SeqForConditionalGeneration", "AttnSeq2SeqModel", "AttnSeq2SeqConfig"]
        assert seen["modules"] == ["transformers_modules"]
        assert seen["tokens"] == seen["again"] == tokens(model).tolist()
        with torch.no_grad():
            expected = model.model(**batch, decoder_input_ids=batch["input_ids"]).last_hidden_state
        torch.testing.assert_close(torch.tensor(seen["base"]), expected)
        for file in (saved / family).glob("*.py"):
            assert (resaved / family / file.name).read_text() == file.read_text()
        assert (resaved / family / "modeling_attn_seq2seq.py").exists()


def test_a_registered_class_needs_no_remote_code(tmp_path: Path) -> None:
    make("gru").save_pretrained(tmp_path)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert type(model) is AttnSeq2SeqForConditionalGeneration


@families
def test_auto_classes_build_from_a_configuration(family: str) -> None:
    config = tiny_config(**FAMILIES[family])
    assert type(AutoModelForSeq2SeqLM.from_config(config)) is AttnSeq2SeqForConditionalGeneration
    assert type(AutoModel.from_config(config)) is AttnSeq2SeqModel
    assert type(AutoConfig.for_model("attn_seq2seq")) is AttnSeq2SeqConfig
