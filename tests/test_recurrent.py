# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Recurrent stacks: equal to torch's own modules, and every faster path equal to the plain loop."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from hf_attn_seq2seq import cells, recurrent
from hf_attn_seq2seq.cells import CELLS, GatedCell, RecurrentCell
from hf_attn_seq2seq.configuration_attn_seq2seq import FINAL_STATE_BRIDGES, READOUTS, TWO_PART_CELLS
from hf_attn_seq2seq.recorder import Recorder, recording
from hf_attn_seq2seq.recurrent import Bridge, LayerDropout, Readout, RecurrentDecoder, RecurrentEncoder
from tests.helpers import scrambled, tiny_config, tiny_model


KINDS = pytest.mark.parametrize("kind", CELLS)
GATED = pytest.mark.parametrize("kind", [kind for kind, cell in CELLS.items() if issubclass(cell, GatedCell)])
MASKS = {
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]],
    "left": [[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]],
    "inside": [[1, 0, 1, 1, 0, 1], [1, 1, 0, 0, 1, 0]],
}


def copy_to_torch(cell: RecurrentCell, module: nn.Module, suffix: str) -> None:
    """Put a cell's weights into torch's GRU or LSTM."""
    for name, weight in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), cell.flat_weights()):
        getattr(module, name + suffix).data.copy_(weight)


@GATED
@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoder_equals_torch(kind: str, bidirectional: bool) -> None:
    final = {"decoder_type": kind, "decoder_layers": 2, "bridge": "final"}
    config = tiny_config(encoder_type=kind, encoder_layers=2, bidirectional=bidirectional, **final)
    encoder = scrambled(RecurrentEncoder(config)).double()
    reference = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](
        16, 16 // (1 + bidirectional), 2, batch_first=True, bidirectional=bidirectional
    ).double()
    for index, layer in enumerate(encoder.layers):
        for cell, suffix in zip(layer.cells, (f"_l{index}", f"_l{index}_reverse")):
            copy_to_torch(cell, reference, suffix)
    inputs = torch.randn(3, 7, 16, dtype=torch.float64)
    expected, last = reference(inputs)
    found = encoder(inputs, None)
    torch.testing.assert_close(found.hidden_states, expected)
    last = torch.stack(last if kind == "lstm" else (last,))  # parts x (layers x directions) x batch x hidden
    last = last.unflatten(1, (2, 1 + bidirectional)).permute(3, 1, 0, 2, 4).flatten(3)
    torch.testing.assert_close(found.final_state, last)


@KINDS
@pytest.mark.parametrize("padding", MASKS)
@pytest.mark.parametrize("path", ["packed", "traced", "loop", "training"])
def test_padding_is_as_if_it_were_not_there(kind: str, padding: str, path: str) -> None:
    final = {"decoder_type": kind, "decoder_layers": 2, "bridge": "final"}
    config = tiny_config(encoder_type=kind, encoder_layers=2, residual=True, layer_norm=True, **final)
    encoder = scrambled(RecurrentEncoder(config)).double().train(path == "training")
    mask = torch.tensor(MASKS[padding])
    inputs = torch.randn(2, 6, 16, dtype=torch.float64)
    with (
        mock.patch.object(recurrent, "is_tracing", return_value=path == "traced"),
        mock.patch.object(GatedCell, "is_plain", path != "loop"),
        recording(Recorder()) if path == "loop" else nullcontext(),
    ):
        states, ends, _ = encoder(inputs, mask)
    for row in range(2):
        real = mask[row].bool()
        alone = encoder(inputs[row : row + 1, real], None)
        torch.testing.assert_close(states[row, real], alone.hidden_states[0])
        torch.testing.assert_close(ends[row], alone.final_state[0])
        assert states[row, ~real].eq(0).all()


@GATED
def test_fused_steps_equal_the_loop(kind: str) -> None:
    cell = scrambled(CELLS[kind]([4, 3], 5)).double()
    inputs = [torch.randn(2, 6, 4, dtype=torch.float64), torch.randn(2, 6, 3, dtype=torch.float64)]
    state = tuple(torch.randn(2, 5, dtype=torch.float64) for _ in range(cell.parts))
    fused, last = cell.run(inputs, state, None)
    with mock.patch.object(GatedCell, "is_plain", False):
        plain, plain_last = cell.run(inputs, state, None)
    torch.testing.assert_close(fused, plain)
    torch.testing.assert_close(last, plain_last)


@KINDS
@pytest.mark.parametrize("attention", ["general", "none", "coverage", "local_m", "multi_head"])
@pytest.mark.parametrize("query", ["previous", "current", "between"])
def test_a_target_at_once_equals_step_by_step(kind: str, attention: str, query: str) -> None:
    model = tiny_model(
        decoder_type=kind,
        attention_type=attention,
        attention_query=query,
        decoder_layers=2,
        residual=True,
        layer_norm=True,
        readout="maxout",
    ).double()
    steps = model.model.decoder.stack.steps
    source, target = torch.randint(3, 20, (2, 5)), torch.randint(3, 20, (2, 4))
    with mock.patch.object(steps, "run_at_once", wraps=steps.run_at_once) as at_once:
        whole = model(input_ids=source, decoder_input_ids=target, use_cache=True, output_hidden_states=True)
    # Only a query from the step before, or a cell behind the attention, keeps the steps apart.
    assert at_once.called == (query == "current" or (query == "previous" and attention == "none"))
    with mock.patch.object(steps, "run_at_once", steps.run_stepwise):
        plain = model(input_ids=source, decoder_input_ids=target, use_cache=True, output_hidden_states=True)
    torch.testing.assert_close(whole.logits, plain.logits)
    torch.testing.assert_close(whole.decoder_hidden_states, plain.decoder_hidden_states)
    for half in ("self_attention_cache", "cross_attention_cache"):
        ours, theirs = (getattr(out.past_key_values, half).layers[0] for out in (whole, plain))
        torch.testing.assert_close(ours.keys, theirs.keys)
        torch.testing.assert_close(ours.values, theirs.values)


@KINDS
@pytest.mark.parametrize("layers", [1, 2])
def test_a_query_between_two_cells(kind: str, layers: int) -> None:
    """Against the equations of a conditional GRU, and in training, where nothing is dropped."""
    model = tiny_model(
        decoder_type=kind,
        attention_query="between",
        decoder_layers=layers,
        readout="deep",
        embedding_size=12,
        encoder_hidden_size=20,
        bridge="mean_dense",
        attention_bias=True,
        dropout=0.0,
    ).double()
    source, target = torch.randint(3, 20, (2, 5)), torch.randint(3, 20, (2, 4))
    stack = model.model.decoder.stack
    steps = stack.steps
    encoded = model.model.encoder(source).last_hidden_state
    memory = steps.attention.memory(encoded)
    parts = steps.cells[0].parts
    first = torch.tanh(encoded.mean(1) @ stack.bridge.projection.weight.T + stack.bridge.projection.bias)
    states = [tuple(part) for part in first.unflatten(1, (layers, parts, -1)).permute(1, 2, 0, 3)]
    read = []
    for word in model.model.decoder.embed_tokens(target).unbind(1):
        middle = steps.cells[0].step(steps.cells[0].project([word]), states[0], None)
        context = steps.attention(steps.cells[0].output(middle)[:, None], memory).context[:, 0]
        states[0] = steps.transition.step(steps.transition.project([context]), middle, None)
        shown = steps.transition.output(states[0])
        for layer in range(1, layers):
            cell = steps.cells[layer]
            states[layer] = cell.step(cell.project([shown]), states[layer], None)
            shown = cell.output(states[layer])
        joined = torch.cat([shown, context, word], dim=-1)
        read.append(torch.tanh(joined @ steps.readout.projection.weight.T + steps.readout.projection.bias))
    expected = model.lm_head(torch.stack(read, dim=1))
    for model_ in (model.eval(), model.train()):
        torch.testing.assert_close(model_(input_ids=source, decoder_input_ids=target).logits, expected)


def test_the_configuration_knows_the_parts_of_cells() -> None:
    assert tuple(kind for kind, cell in CELLS.items() if cell.parts == 2) == TWO_PART_CELLS


@pytest.mark.parametrize("kind", READOUTS)
def test_readouts(kind: str) -> None:
    """Against the formulas."""
    config = tiny_config(readout=kind, encoder_hidden_size=10, embedding_size=7, tie_word_embeddings=False)
    readout = scrambled(Readout(config))
    state, context, word = torch.randn(3, 16), torch.randn(3, 10), torch.randn(3, 7)
    found = readout(state, context, word)
    assert found.shape == (3, config.readout_size)
    if kind in ("linear", "concat"):
        assert not list(readout.parameters())
        assert found.equal(state if kind == "linear" else torch.cat([state, context, word], dim=1))
        return
    joined = torch.cat([state, context, *([word] if kind in ("maxout", "deep") else [])], dim=1)
    product = joined @ readout.projection.weight.T + readout.projection.bias
    expected = {"affine": product, "maxout": None}.get(kind, torch.tanh(product))
    if expected is None:
        expected = torch.maximum(product[:, ::2], product[:, 1::2])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("sizes", [(16, 16), (16, 12)], ids=["equal", "unequal"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_bridges(parts: int, sizes: tuple[int, int], bidirectional: bool) -> None:
    hidden, encoder_hidden = sizes
    states = torch.randn(2, 3, encoder_hidden)
    mask = torch.tensor([[True, True, False], [False, True, True]])
    half = encoder_hidden // 2
    if bidirectional:  # row 0: forwards ends at 1, backwards at 0; row 1: at 2 and at 1
        last = torch.stack(
            [
                torch.cat([states[0, 1, :half], states[0, 0, half:]]),
                torch.cat([states[1, 2, :half], states[1, 1, half:]]),
            ]
        )
    else:
        last = torch.stack([states[0, 1], states[1, 2]])
    mean = torch.stack([states[0, :2].mean(0), states[1, 1:].mean(0)])
    kinds = {"zeros": None, "last": last, "last_both": last, "mean": mean, "dense": last, "mean_dense": mean}
    for kind, summary in kinds.items():
        config = tiny_config(
            hidden_size=hidden,
            encoder_hidden_size=encoder_hidden,
            attention_type="general",
            decoder_layers=2,
            bridge=kind,
            bidirectional=bidirectional,
        )
        bridge = scrambled(Bridge(config, parts))
        state = bridge(states, mask)
        assert state.shape == (2, 2 * parts * hidden)
        layers = state.unflatten(1, (2, parts, hidden))
        if kind == "zeros":
            assert state.eq(0).all()
        elif kind in ("dense", "mean_dense"):
            projection = bridge.projection
            expected = torch.tanh(summary @ projection.weight.T + projection.bias)
            torch.testing.assert_close(state, expected)
        else:
            expected = summary if hidden == encoder_hidden else summary @ bridge.projection.weight.T
            for layer in range(2):
                torch.testing.assert_close(layers[:, layer, 0], expected)
            others = layers[:, :, 1:]  # an LSTM's c
            torch.testing.assert_close(others, layers[:, :, :1] * float(kind == "last_both") + 0 * others)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("encoder_hidden", [16, 12])
@pytest.mark.parametrize("bridge", FINAL_STATE_BRIDGES)
def test_bridges_from_final_states(kind: str, encoder_hidden: int, bridge: str) -> None:
    layers = {"encoder_layers": 2, "decoder_layers": 2 if bridge == "final" else 3}
    config = tiny_config(
        encoder_type=kind, decoder_type=kind, bridge=bridge, encoder_hidden_size=encoder_hidden, **layers
    )
    parts = CELLS[kind].parts
    module = scrambled(Bridge(config, parts))
    final = torch.randn(2, 2, parts, encoder_hidden)
    found = module(torch.randn(2, 4, encoder_hidden), None, final).unflatten(1, (config.decoder_layers, parts, 16))
    for part in range(parts):
        if bridge == "final_dense":
            projection = module.projection[part]
            joined = torch.cat([final[:, 0, part], final[:, 1, part]], dim=1)
            expected = torch.relu(joined @ projection.weight.T + projection.bias).unflatten(1, (3, 16))
        elif encoder_hidden == 16:
            expected = final[:, :, part]
        else:
            projection = module.projection[part]
            expected = final[:, :, part] @ projection.weight.T + projection.bias
        torch.testing.assert_close(found[:, :, part], expected)


@GATED
def test_fused_kernels_keep_what_backward_needs(kind: str) -> None:
    """cuDNN calls that training; a CPU does not care, so the flag itself is looked at."""
    cell = scrambled(CELLS[kind]([4], 5))
    state = tuple(torch.randn(2, 5) for _ in range(cell.parts))
    for wanted in (True, False):
        with mock.patch.object(CELLS[kind], "kernel", wraps=cell.kernel) as kernel, torch.set_grad_enabled(wanted):
            cell.run([torch.randn(2, 3, 4)], state, None)
        assert kernel.call_args.args[6] is wanted


# --------------------------------------------------------------------------------------------------------------------
# Where the fused kernels step aside
# --------------------------------------------------------------------------------------------------------------------


def steps_at_once(kind: str, **fields: Any) -> Any:
    """A model whose encoder and decoder both run fused where nothing stands in the way."""
    return tiny_model(
        encoder_type=kind, decoder_type=kind, attention_type="general", attention_query="current", **fields
    )


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(3, 20, (2, 6), generator=generator)
    return {"input_ids": source, "labels": torch.randint(3, 20, (2, 5), generator=generator)}


def recurrent_linears(model: nn.Module) -> dict[str, nn.Linear]:
    return {
        f"{cell_name}.{name}": part
        for cell_name, cell in model.named_modules()
        if isinstance(cell, RecurrentCell)
        for name, part in cell.named_modules()
        if isinstance(part, nn.Linear)
    }


HOOKS: dict[str, Callable[[nn.Module, Callable[..., None]], Any]] = {
    "forward": lambda part, hook: part.register_forward_hook(hook),
    "forward, with keywords": lambda part, hook: part.register_forward_hook(hook, with_kwargs=True),
    "before forward": lambda part, hook: part.register_forward_pre_hook(hook),
    "backward": lambda part, hook: part.register_full_backward_hook(hook),
    "before backward": lambda part, hook: part.register_full_backward_pre_hook(hook),
}


@KINDS
@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_on_recurrent_linears_are_called(kind: str, hook: str) -> None:
    model = steps_at_once(kind)
    expected = model(**batch()).loss
    called = []
    handles = [
        HOOKS[hook](part, lambda *given, name=name: called.append(name))
        for name, part in recurrent_linears(model).items()
    ]
    loss = model(**batch()).loss
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert set(called) == set(recurrent_linears(model))
    for handle in handles:
        handle.remove()
    cell = model.model.decoder.stack.steps.cells[0]
    assert not isinstance(cell, GatedCell) or cell.is_plain  # fused again


@KINDS
@pytest.mark.parametrize("hook", ["forward", "forward_pre", "full_backward"])
def test_hooks_of_all_modules_are_called(kind: str, hook: str) -> None:
    model = steps_at_once(kind)
    names = {id(part): name for name, part in recurrent_linears(model).items()}
    called = set()
    register = getattr(nn.modules.module, f"register_module_{hook}_hook")
    handle = register(lambda module, *given: called.add(names.get(id(module))) if id(module) in names else None)
    try:
        model(**batch()).loss.backward()
    finally:
        handle.remove()
    assert called == set(names.values())


@GATED
def test_what_a_hook_returns_is_used(kind: str) -> None:
    model = steps_at_once(kind).double()
    before = model(**batch()).logits
    cell = model.model.encoder.stack.layers[0].cells[0]
    cell.hidden_projection.register_forward_hook(lambda module, inputs, output: 2 * output)
    doubled = model(**batch()).logits
    with torch.no_grad():
        reference = steps_at_once(kind).double()
        projection = reference.model.encoder.stack.layers[0].cells[0].hidden_projection
        for parameter in projection.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(doubled, reference(**batch()).logits)
    assert not torch.allclose(doubled, before)


@KINDS
def test_a_forward_put_in_place_of_a_linears_is_used(kind: str) -> None:
    model = steps_at_once(kind)
    called = []
    part = model.model.encoder.stack.layers[0].cells[0].input_projections[0]
    plain = part.forward
    part.forward = lambda states: called.append(states.shape) or plain(states)
    model(**batch())
    assert called


def weight_norm(part: nn.Module) -> None:
    parametrizations.weight_norm(part)


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "pruned": lambda part: prune.l1_unstructured(part, "weight", amount=0.5),
    "bias pruned": lambda part: prune.l1_unstructured(part, "bias", amount=0.5),
    "weight norm": weight_norm,
    "weight norm by hooks": lambda part: nn.utils.weight_norm(part),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@GATED
@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_train(kind: str, change: str) -> None:
    """Weights that a hook or a parametrization makes are made anew for each step of training."""
    model = steps_at_once(kind)
    for part in recurrent_linears(model).values():
        if part.bias is not None or change != "bias pruned":
            CHANGES[change](part)
    zeros = {name: part.weight.eq(0) for name, part in recurrent_linears(model).items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(**batch()).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    cell = model.model.encoder.stack.layers[0].cells[0]
    own = {name.rpartition(".")[2]: part for name, part in cell.hidden_projection.named_parameters()}
    assert own
    assert all(part.grad.abs().sum() > 0 for part in own.values())
    if change == "pruned":
        model(**batch())
        for name, part in recurrent_linears(model).items():
            assert part.weight[zeros[name]].eq(0).all()
            assert zeros[name].any()


PRECISIONS = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


def missing_kernel(*args: Any) -> None:
    raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive")


@PRECISIONS
def test_where_the_processor_has_no_lstm_in_half_precision(dtype: torch.dtype) -> None:
    """AVX2 without AVX-512: torch looks for the kernel before autocast changes the type, and finds none after it."""
    model = steps_at_once("lstm")
    expected = model(**batch()).loss
    with (
        mock.patch.object(cells, "ONEDNN_HALF_TYPES", frozenset()),
        mock.patch.object(cells.LSTMCell, "kernel", missing_kernel),
        torch.autocast("cpu", dtype),
    ):
        loss = model(**batch()).loss
        loss.backward()
        generated = model.generate(batch()["input_ids"], max_new_tokens=4, cache_implementation="static")
    assert generated.shape[0] == 2
    torch.testing.assert_close(loss.float(), expected, rtol=0.05, atol=0.05)
    with (
        mock.patch.object(cells.LSTMCell, "kernel", missing_kernel),
        pytest.raises(RuntimeError, match="primitive"),
    ):
        model(**batch())  # in single precision the kernel runs as ever


@KINDS
@PRECISIONS
def test_training_under_autocast(kind: str, dtype: torch.dtype) -> None:
    """oneDNN has no gradients of an LSTM in float16 on any processor."""
    model = steps_at_once(kind).train()
    exact = model(**batch()).loss
    exact.backward()
    gradients = {name: part.grad.clone() for name, part in model.named_parameters()}
    model.zero_grad()
    with torch.autocast("cpu", dtype):
        loss = model(**batch()).loss
    loss.backward()
    torch.testing.assert_close(loss.float(), exact, rtol=0.05, atol=0.05)
    for name, part in model.named_parameters():
        if gradients[name].norm() > 1e-3:
            cosine = nn.functional.cosine_similarity(part.grad.flatten(), gradients[name].flatten(), dim=0)
            assert cosine > 0.95, name


OTHER_PROCESSOR = """
import torch
from tests.test_recurrent import batch, steps_at_once

assert not torch.ops.mkldnn._is_mkldnn_bf16_supported()
model = steps_at_once("lstm")
for dtype in (torch.bfloat16, torch.float16):
    with torch.autocast("cpu", dtype):
        model(**batch()).loss.backward()
        model.generate(batch()["input_ids"], max_new_tokens=4, cache_implementation="static")
    steps_at_once("lstm").to(dtype).generate(batch()["input_ids"], max_new_tokens=4)
print("done")
"""


@pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported"), reason="torch without oneDNN")
def test_half_precision_as_on_a_processor_with_avx2_alone() -> None:
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESSOR], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().endswith("done"), done.stderr[-2000:]


def test_variational_dropout_keeps_its_mask_through_a_sequence() -> None:
    states = torch.ones(2, 50, 30)
    for variational in (True, False):
        config = tiny_config(dropout=0.5, recurrent_dropout=0.5, variational_dropout=variational)
        masks = LayerDropout.draw(config, states, 30, 16, training=True)
        dropped = recurrent.drop(states, masks.inputs, config, training=True)
        constant = (dropped == dropped[:, :1]).all().item()
        assert constant is variational
        assert set(masks.recurrent.unique().tolist()) == {0.0, 2.0}
        assert 0.2 < dropped.eq(0).float().mean().item() < 0.8
    assert LayerDropout.draw(config, states, 30, 16, training=False) == (None, None)


def test_variational_dropout_reaches_the_output_layer() -> None:
    for variational in (True, False):
        model = tiny_model(dropout=0.5, variational_dropout=variational).train()
        states = model.model(input_ids=torch.randint(3, 20, (2, 6)), decoder_input_ids=torch.randint(3, 20, (2, 9)))
        dropped = states.last_hidden_state.eq(0)
        assert (dropped == dropped[:, :1]).all().item() is variational


@GATED
def test_recurrent_dropout_acts_in_training_only(kind: str) -> None:
    model = tiny_model(
        encoder_type=kind,
        decoder_type=kind,
        recurrent_dropout=0.5,
        attention_query="current",
        attention_type="general",
    )
    inputs = {"input_ids": torch.randint(3, 20, (2, 6)), "decoder_input_ids": torch.randint(3, 20, (2, 5))}
    torch.testing.assert_close(model(**inputs).logits, model(**inputs).logits)
    model.train()
    assert not torch.allclose(model(**inputs).logits, model(**inputs).logits)


def test_decoder_in_checkpointed_chunks_equals_whole() -> None:
    model = tiny_model(decoder_type="lstm", input_feeding=True, decoder_layers=2).double().train()
    inputs = {"input_ids": torch.randint(3, 20, (2, 6)), "labels": torch.randint(3, 20, (2, 7))}
    losses, gradients = [], []
    for chunked in (False, True):
        if chunked:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        steps = model.model.decoder.stack.steps
        with mock.patch.object(steps, "run_stepwise", wraps=steps.run_stepwise) as run:
            loss = model(**inputs).loss
        assert run.call_count == (3 if chunked else 0)  # 7 steps by 3, or all in `run_loop`
        model.zero_grad()
        loss.backward()
        losses.append(loss)
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_initialisation() -> None:
    torch.manual_seed(0)
    decoder = RecurrentDecoder(tiny_config(decoder_type="lstm"))
    model = tiny_model(decoder_type="lstm")
    model.init_weights()
    for module in model.modules():
        module._is_hf_initialized = False
    model.apply(model._init_weights)
    cell = model.model.decoder.stack.steps.cells[0]
    assert type(cell) is type(decoder.steps.cells[0])
    for block in cell.hidden_projection.weight.split(16):
        torch.testing.assert_close(block @ block.T, torch.eye(16), atol=1e-5, rtol=0)
    assert cell.hidden_projection.bias[16:32].eq(1).all()
    assert cell.hidden_projection.bias[:16].eq(0).all()
