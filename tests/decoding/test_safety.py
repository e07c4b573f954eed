# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""One way to load: what would run code, read elsewhere, or translate by chance is refused by every command alike."""

import ast
import builtins
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

import hf_attn_seq2seq
import hf_attn_seq2seq_cli
from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, load, pipeline
from hf_attn_seq2seq.decoding import translate
from hf_attn_seq2seq.decoding.exported import Graph
from hf_attn_seq2seq.decoding.folders import fingerprint
from hf_attn_seq2seq.decoding.loading import load_aligner, read_tokenizer
from hf_attn_seq2seq.decoding.safety import is_plain
from hf_attn_seq2seq.export import ExportedModel, load_exported
from tests.hub_server import ALICE, HubServer, asking, hub  # noqa: F401


ROOT = Path(hf_attn_seq2seq.__file__).parent
TEXT = "the old dog"

# Harmless: it says that it was run, which it never must be.
CODE = """
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

Path({marker!r}).write_text("run")


class Own(PreTrainedConfig):
    model_type = "own"


class OwnModel(PreTrainedModel):
    config_class = Own


class OwnTokenizer(PreTrainedTokenizerFast):
    pass


def generate(model, *args, **kwargs):
    return None
"""


def change(path: Path, **fields: Any) -> None:
    """Fields of a JSON file, which need not be there yet."""
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}), "utf-8")


def respell(folder: Path, respelled: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    respelled(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def needs_code(folder: Path) -> None:
    (folder / "own.py").write_text(CODE.format(marker=str(folder / "was-run")))
    names = {"AutoConfig": "own.Own", "AutoModelForSeq2SeqLM": "own.OwnModel"}
    change(folder / "config.json", model_type="own", auto_map=names, architectures=["OwnModel"])
    change(
        folder / "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map={"AutoTokenizer": ["own.X", None]}
    )


def weights_missing(folder: Path) -> None:
    respell(folder, lambda weights: weights.pop(next(name for name in weights if "bridge" in name)))


def weights_of_another_shape(folder: Path) -> None:
    def cut(weights: dict[str, torch.Tensor]) -> None:
        name = next(name for name in weights if "bridge" in name)
        weights[name] = weights[name][:1].clone()

    respell(folder, cut)


def not_a_number(folder: Path) -> None:
    respell(folder, lambda weights: weights[next(iter(weights))].view(-1)[0].fill_(torch.nan))


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def damaged(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def sharded(folder: Path, names: Callable[[str], str]) -> None:
    """Two shards, which the index calls as `names` has it."""
    model = AttnSeq2SeqForConditionalGeneration.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="3KB")
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text("utf-8"))
    index["weight_map"] = {key: names(file) for key, file in index["weight_map"].items()}
    path.write_text(json.dumps(index), "utf-8")


def shards_elsewhere(folder: Path) -> None:
    sharded(folder, lambda file: f"../elsewhere/{file}")
    shutil.copytree(folder, folder.parent / "elsewhere")  # where they could well be read


def adapter(folder: Path) -> None:
    change(folder / "adapter_config.json", base_model_name_or_path="../elsewhere", peft_type="LORA")


SPOILT = {
    needs_code: "needs custom code",
    weights_missing: "(1 missing)",
    weights_of_another_shape: "do not match its config.json",
    not_a_number: "contain NaN or infinite numbers",
    pickled: "has its weights in a pickle",
    damaged: "are damaged",
    shards_elsewhere: "may only name .json and .safetensors files in the same folder",
    adapter: "is an adapter",
}


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks, on a terminal or not, fails."""

    def ask(*args: object) -> str:
        raise AssertionError("a question was asked")

    class Terminal:
        read = readline = __iter__ = ask

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(builtins, "input", ask)
    monkeypatch.setattr(sys, "stdin", Terminal())


@pytest.fixture
def good(folders: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders / "gru", tmp_path / "good"))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "pairs.tsv").write_text("".join(f"{TEXT} {number}\ta cat {number}\n" for number in range(30)))
    (folder / "source.txt").write_text(f"{TEXT}\n")
    (folder / "target.txt").write_text("a cat\n")
    return folder


TRAINING = ["data.validation_size=5", "model.hidden_size=16", "training.guided_alignment.links=first_pass"]
COMMANDS: dict[str, Callable[[Path, Path, Path], list[Any]]] = {
    "translate": lambda bad, good, files: ["translate", bad, TEXT],
    "translate, alignments": lambda bad, good, files: ["translate", bad, files / "source.txt", "--alignments"],
    "translate, ensemble": lambda bad, good, files: ["translate", f"{good},{bad}", TEXT],
    "explain": lambda bad, good, files: ["explain", bad, TEXT],
    "explain, compare": lambda bad, good, files: ["explain", good, TEXT, "--compare", bad],
    "align": lambda bad, good, files: ["align", bad, files / "pairs.tsv"],
    "align, backward": lambda bad, good, files: ["align", good, files / "pairs.tsv", "--backward", bad],
    "evaluate": lambda bad, good, files: [
        *("evaluate", bad, "--source", files / "source.txt", "--reference", files / "target.txt")
    ],
    "train, reverse model": lambda bad, good, files: [
        *("train", f"data.train.file={files / 'pairs.tsv'}", f"output={files / 'run'}", *TRAINING),
        f"training.guided_alignment.reverse_model={bad}",
    ],
    "push": lambda bad, good, files: ["push", bad, "--repo", "alice/model", "--dry-run"],
    "app": lambda bad, good, files: ["app", bad, "--no-browser"],
    "app, compare": lambda bad, good, files: ["app", good, "--compare", bad, "--no-browser"],
    "export": lambda bad, good, files: ["export", bad, "--output", files / "exported"],
    "site": lambda bad, good, files: ["site", bad, "--output", files / "exported"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("spoil", "sentence"), SPOILT.items(), ids=[spoil.__name__ for spoil in SPOILT])
def test_every_command_refuses_with_one_sentence(
    spoil: Callable[[Path], None],
    sentence: str,
    command: str,
    good: Path,
    files: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)  # which a command replaces
    bad = Path(shutil.copytree(good, good.parent / "bad"))
    spoil(bad)
    with pytest.raises(SystemExit) as ended:
        hf_attn_seq2seq_cli.main(list(map(str, COMMANDS[command](bad, good, files))))
    said = capsys.readouterr().err
    told = said[said.index("error: ") :]
    assert ended.value.code == 2
    assert sentence in told
    assert str(bad) in told
    assert told.count("\n") == 1
    assert "Traceback" not in said
    assert not (bad / "was-run").exists()
    assert not (files / "exported").exists()


FUNCTIONS: dict[str, Callable[[Path], Any]] = {
    "load": load,
    "pipeline": lambda bad: pipeline(model=bad),
    "load_aligner": load_aligner,
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("spoil", "sentence"), SPOILT.items(), ids=[spoil.__name__ for spoil in SPOILT])
def test_every_function_refuses_with_one_sentence(
    spoil: Callable[[Path], None], sentence: str, function: str, good: Path
) -> None:
    spoil(good)
    with pytest.raises(ValueError, match="good") as raised:
        FUNCTIONS[function](good)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (good / "was-run").exists()


def test_code_beside_a_model_of_this_package_is_not_run(good: Path, folders: Path) -> None:
    """Our own saved models name their code as well; here the package's own is used."""
    expected = translate(*load(folders / "gru"), [TEXT])
    needs_code(good)
    names = {"AutoConfig": "own.Own", "AutoModelForSeq2SeqLM": "own.OwnModel"}
    change(good / "config.json", model_type="attn_seq2seq", auto_map=names)
    (good / "custom_generate").mkdir()
    shutil.copy(good / "own.py", good / "custom_generate" / "generate.py")
    assert translate(*load(good), [TEXT]) == expected
    assert not (good / "was-run").exists()


def test_code_of_its_own_is_run_where_it_is_asked_for(good: Path) -> None:
    needs_code(good)
    with pytest.raises(ValueError, match="good"):  # it is no encoder-decoder
        load(good, trust_remote_code=True)
    assert (good / "was-run").exists()  # so the tests above would see it


def test_a_tokenizer_of_its_own_code_is_not_run(good: Path) -> None:
    needs_code(good)
    with pytest.raises(ValueError, match="good"):
        read_tokenizer(str(good))
    assert not (good / "was-run").exists()


def test_preprocess_runs_no_code_of_the_tokenizer_that_is_there(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    fields = ["data.validation_size=5", "tokenizer.kind=word", "tokenizer.vocab_size=20"]
    arguments = ["preprocess", f"data.train.file={files / 'pairs.tsv'}", f"output={files / 'run'}", *fields]
    hf_attn_seq2seq_cli.main(arguments)
    folder = files / "run" / "corpus" / "tokenizer"
    needs_code(folder)
    try:
        hf_attn_seq2seq_cli.main(arguments)
    except SystemExit:
        assert "error: " in capsys.readouterr().err
    assert not (folder / "was-run").exists()


@pytest.mark.parametrize(
    "name",
    [
        *("../elsewhere/{}", "/tmp/{}", "sub/{}", "..\\{}", "C:{}", "./{}", "", ".."),
        *("model.bin", "model.safetensors.bin", "model.pt", None, 5),
    ],
)
def test_an_index_names_weights_beside_it_alone(good: Path, name: Any) -> None:
    sharded(good, lambda file: name.format(file) if isinstance(name, str) else name)
    for file in good.glob("model-*.safetensors"):  # refused before any is read
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"index\.json' names .* but may only name"):
        load(good)


def test_an_index_as_it_should_be(good: Path, folders: Path) -> None:
    sharded(good, lambda file: file)
    assert len(list(good.glob("model-*.safetensors"))) > 1
    assert translate(*load(good), [TEXT]) == translate(*load(folders / "gru"), [TEXT])
    missing = sorted(good.glob("model-*.safetensors"))[0]
    missing.unlink()
    with pytest.raises(ValueError, match=f"lacks '{missing.name}', listed in model.safetensors.index.json"):
        load(good)


@pytest.fixture
def on_the_hub(hub: HubServer, tmp_path: Path) -> Iterator[Callable[[Path], str]]:  # noqa: F811
    """Puts a folder on the Hub, and gives its name."""

    def put(folder: Path) -> str:
        api = huggingface_hub.HfApi(endpoint=hub.url, token=ALICE)
        api.create_repo("alice/model", exist_ok=True)
        api.upload_folder(repo_id="alice/model", folder_path=folder, delete_patterns="*")
        return "alice/model"

    with asking(hub, tmp_path / "cache"):
        yield put


@pytest.mark.parametrize("spoil", [needs_code, weights_missing, pickled, shards_elsewhere, adapter])
def test_what_lies_on_the_hub_is_refused_alike(
    spoil: Callable[[Path], None], good: Path, on_the_hub: Callable[[Path], str]
) -> None:
    spoil(good)
    name = on_the_hub(good)
    with pytest.raises(ValueError, match="alice") as raised:
        load(name)
    assert SPOILT[spoil] in str(raised.value)
    assert not (good / "was-run").exists()


def test_shards_on_the_hub_as_they_should_be(
    good: Path, folders: Path, on_the_hub: Callable[[Path], str], tmp_path: Path
) -> None:
    expected = translate(*load(folders / "gru"), [TEXT])
    sharded(good, lambda file: file)
    name = on_the_hub(good)
    assert translate(*load(name), [TEXT]) == expected
    first = fingerprint(name)
    change(good / "generation_config.json", num_beams=2)
    on_the_hub(good)
    assert first != fingerprint(name)  # so that `translate --resume` sees that the model is another


def test_shards_that_were_saved_over_one_file_are_not_passed_over(good: Path) -> None:
    """Transformers leaves the older file, and would load it."""
    model = AttnSeq2SeqForConditionalGeneration.from_pretrained(good)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(1.0)
    model.save_pretrained(good, max_shard_size="3KB")
    os.utime(good / "model.safetensors", (0, 0))
    with pytest.raises(ValueError, match=r"has its weights twice, and model\.safetensors, .* is older"):
        load(good)
    (good / "model.safetensors").unlink()
    assert (load(good).model.get_input_embeddings().weight == 1).all()


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": []}', '{"weight_map": {}}', "{}", "[" * 100_000])
def test_a_damaged_index_is_named(good: Path, content: str) -> None:
    (good / "model.safetensors").unlink()
    (good / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json' is damaged"):
        load(good)


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("config.json", {"transformers_weights": "../elsewhere/model.safetensors"}),
        ("config.json", {"transformers_weights": "adapter_model.bin"}),  # a pickle
        ("config.json", {"configuration_files": ["../elsewhere/config.5.0.0.json"]}),
        ("tokenizer_config.json", {"fast_tokenizer_files": ["../elsewhere/tokenizer.5.0.0.json"]}),
    ],
)
def test_settings_name_no_files_elsewhere(good: Path, file: str, fields: dict[str, Any]) -> None:
    change(good / file, **fields)
    with pytest.raises(ValueError, match=rf"{file}' names .* in the same folder"):
        load(good)


def test_weights_of_another_name_are_checked_as_well(good: Path, folders: Path) -> None:
    sharded(good, lambda file: file)
    (good / "model.safetensors.index.json").rename(good / "other.safetensors.index.json")
    change(good / "config.json", transformers_weights="other.safetensors.index.json")
    assert translate(*load(good), [TEXT]) == translate(*load(folders / "gru"), [TEXT])
    change(good / "other.safetensors.index.json", weight_map={"lm_head.weight": "../x.safetensors"})
    with pytest.raises(ValueError, match=r"other\.safetensors\.index\.json' names '\.\./x\.safetensors'"):
        load(good)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_attention_that_is_code_on_the_hub_is_not_fetched(good: Path, key: str) -> None:
    change(good / "config.json", **{key: "someone/attention"})
    with pytest.raises(ValueError, match=r"requests code from the Hub \(its config\.json has"):
        load(good)
    change(good / "config.json", **{key: None}, encoder={key: {"": "kernels-community/attention"}})
    with pytest.raises(ValueError, match="kernels-community/attention"):
        load(good)


@pytest.mark.parametrize("name", ["../good/encoder.onnx", "/elsewhere/encoder.onnx", "encoder.bin", 5])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_an_exported_model_names_graphs_beside_it_alone(good: Path, part: str, name: Any) -> None:
    about = {
        "format": "hf_attn_seq2seq exported model",
        **{"version": 1, "kind": "onnx", "memory": [], "state": [], "attentions": []},
        **{"encoder": {"file": "encoder.onnx"}, "decoder": {"file": "decoder.onnx"}},
    }
    (good / "exported.json").write_text(json.dumps({**about, part: {"file": name}}))
    for read in (load, load_exported, ExportedModel):
        with pytest.raises(ValueError, match=r"exported\.json' names .* in the same folder"):
            read(good)


@pytest.mark.parametrize("location", ["../elsewhere", "{}/elsewhere"])
def test_a_graph_takes_no_weights_from_elsewhere(tmp_path: Path, location: str) -> None:
    onnx = pytest.importorskip("onnx")
    (tmp_path / "elsewhere").write_bytes(bytes(16))
    (tmp_path / "model").mkdir()
    weights = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in {"location": location.format(tmp_path), "offset": "0", "length": "16"}.items():
        weights.external_data.add(key=key, value=value)
    sides = [onnx.helper.make_tensor_value_info(name, 1, [4]) for name in "xy"]
    nodes = [onnx.helper.make_node("Add", ["x", "w"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "graph", sides[:1], sides[1:], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "model" / "encoder.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="is not a graph that ONNX Runtime can read"):
        Graph(tmp_path / "model" / "encoder.onnx")


def test_plain_names() -> None:
    assert is_plain("model-00001-of-00002.safetensors", ".safetensors")
    assert is_plain("a..b")
    for name in ("", ".", "..", "...", "a/b", "/a", "a\\b", "C:a", "a\0", None, 5, ["a"]):
        assert not is_plain(name)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def auto_loads(source: str) -> list[str]:
    """Calls of Transformers' Auto classes that load, whatever they were imported as, and of what reads pickles."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("transformers")
        for alias in node.names
    }
    found = []
    for call in calls(tree):
        called = ast.unparse(call.func)
        owner, _, method = called.rpartition(".")
        name = owner.rpartition(".")[2]
        if method == "from_pretrained" and names.get(name, name).startswith("Auto"):
            found.append(called)
        if called in ("torch.load", "pickle.load", "pickle.loads", "joblib.load") or names.get(called) == "pipeline":
            found.append(called)
    return found


def test_names_are_loaded_in_one_module() -> None:
    found = {path.relative_to(ROOT).as_posix(): auto_loads(path.read_text("utf-8")) for path in ROOT.rglob("*.py")}
    processing = "processing_attn_seq2seq.py"  # loads its parts, with the options that it is given
    assert {file for file, loads in found.items() if loads} == {
        "decoding/loading.py",
        "convert/weights.py",
        processing,
    }
    assert found["convert/weights.py"] == ["torch.load"]  # tensors and plain containers
    (load,) = (
        call
        for call in calls(ast.parse((ROOT / "convert" / "weights.py").read_text("utf-8")))
        if ast.unparse(call.func) == "torch.load"
    )
    assert {keyword.arg: ast.unparse(keyword.value) for keyword in load.keywords}["weights_only"] == "True"
    assert sorted(set(found["decoding/loading.py"])) == [
        "AutoConfig.from_pretrained",
        "AutoModelForSeq2SeqLM.from_pretrained",
        "AutoProcessor.from_pretrained",
        "AutoTokenizer.from_pretrained",
    ]
    for file, options in (("decoding/loading.py", "hub"), (processing, "kwargs")):
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        for call in calls(tree):
            called = ast.unparse(call.func)
            if called.endswith(".from_pretrained") and "Auto" in called:  # with those that say that no code is run
                assert any(keyword.arg is None and ast.unparse(keyword.value) == options for keyword in call.keywords)


@pytest.mark.parametrize(
    "line",
    [
        "from transformers import AutoModel\nAutoModel.from_pretrained('x')",
        "from transformers import AutoModelForSeq2SeqLM as Loader\nLoader.from_pretrained('x')",
        "import transformers\ndef f():\n    return transformers.AutoTokenizer.from_pretrained('x')",
        "from transformers import pipeline\npipeline('x')",
        "import torch\ntorch.load('x')",
    ],
)
def test_every_way_to_load_is_seen(line: str) -> None:
    assert auto_loads(line)
