# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Pushing to a server that speaks the Hub's API, and loading from it."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from huggingface_hub import HfApi, ModelCard, list_repo_files
from huggingface_hub.errors import RepositoryNotFoundError
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerBase,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
)

import hf_attn_seq2seq
from hf_attn_seq2seq import AttnSeq2SeqTokenizer
from hf_attn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_attn_seq2seq.decoding.graph_cache import find_engine
from hf_attn_seq2seq.decoding.loading import load_recognizer
from hf_attn_seq2seq.export.writer import export_graph
from hf_attn_seq2seq.graphs.format import GRAPH_FILE
from hf_attn_seq2seq.sharing import stage_model
from hf_attn_seq2seq.sharing.command import main
from hf_attn_seq2seq.sharing.parsers import push_parser
from hf_attn_seq2seq.sharing.stage import stage_space
from hf_attn_seq2seq.sharing.upload import Pushed, push, send
from tests.helpers import tiny_model
from tests.hub_server import ALICE, BOB, USERS, HubServer, asking
from tests.media_models import media_model
from tests.sharing.conftest import PRIVATE, SENTENCE


NAME = "alice/tiny"
CODE = {
    "attention.py",
    "cache_attn_seq2seq.py",
    "configuration_attn_seq2seq.py",
    "fused.py",
    "modeling_attn_seq2seq.py",
    "pipeline_attn_seq2seq.py",
    "messages.py",
    "output_layer.py",
    "recorder.py",
    "recurrent.py",
    "short_steps.py",
    "splitting.py",
    "step_loop.py",
    "transformer.py",
}
PROCESSOR_CODE = {
    "feature_extraction_attn_seq2seq.py",
    "image_processing_attn_seq2seq.py",
    "media.py",
    "pipeline_media_attn_seq2seq.py",
    "processing_attn_seq2seq.py",
    "resampling.py",
}
MODEL = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
TOLD = {"README.md", "recipe.yaml", "results.json", "alignment.json", "alignment.png", "explanation.html"}


class Shared(NamedTuple):
    """A model that was pushed once, for the whole module."""

    hub: HubServer
    pushed: Pushed
    cache: Path


@pytest.fixture(scope="module")
def shared(hub: HubServer, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    cache = tmp_path_factory.mktemp("cache")
    with asking(hub, cache):
        return Shared(hub, push(str(run_folder), NAME), cache)


@pytest.fixture
def online(shared: Shared, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Logged in as alice; afterwards the server is as it was."""
    with asking(shared.hub, tmp_path / "cache") as patch:
        yield patch
    shared.hub.restore()


def translations(model, tokenizer) -> list[list[int]]:
    batch = tokenizer([SENTENCE, "your house"], return_tensors="pt", padding=True)
    return model.generate(**batch, num_beams=3, max_new_tokens=8).tolist()


def test_everything_needed_and_nothing_else_comes_in_one_commit(shared: Shared, run_folder: Path) -> None:
    repo = shared.hub.model(NAME)
    files = repo.files()
    assert set(files) - {".gitattributes"} >= CODE | MODEL | TOLD
    assert not {path for path in files if path in PRIVATE or path.startswith(("corpus", "checkpoint"))}
    assert len(repo.commits) == 2  # the server's own, and this one
    assert shared.pushed == Pushed(f"{shared.hub.url}/{NAME}", repo.refs["main"])
    for path in CODE:  # the present code, in the place of the folder's old and incomplete one
        assert files[path] == (Path(hf_attn_seq2seq.__file__).parent / path).read_bytes()
    assert files["model.safetensors"] == (run_folder / "model.safetensors").read_bytes()
    assert (run_folder / "attention.py").read_text() == "# an older version\n"  # which stays as it is
    assert files["alignment.png"].startswith(b"\x89PNG")
    assert SENTENCE.split()[1] in files["explanation.html"].decode()


def test_places_on_this_machine_are_not_told(shared: Shared) -> None:
    files = shared.hub.model(NAME).files()
    recipe = yaml.safe_load(files["recipe.yaml"])
    assert recipe["output"] == "tiny"
    assert recipe["data"]["folder"] == "corpora"
    assert recipe["license"] == "cc-by-2.0"
    assert not [path for path, content in files.items() if b"/home/somebody" in content]


def test_the_card_names_the_repository_and_shows_its_files(shared: Shared) -> None:
    card = shared.hub.model(NAME).files()["README.md"].decode()
    assert f'"{NAME}"' in card
    assert "alignment.png" in card
    assert "explanation.html" in card
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "transformers"


def test_loaded_by_name_and_by_revision(shared: Shared, online: pytest.MonkeyPatch, run_folder: Path) -> None:
    assert set(list_repo_files(NAME)) >= CODE | MODEL | TOLD
    here = AutoModelForSeq2SeqLM.from_pretrained(run_folder), AutoTokenizer.from_pretrained(run_folder)
    for revision in ("main", shared.pushed.commit):
        model = AutoModelForSeq2SeqLM.from_pretrained(NAME, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(NAME, revision=revision)
        assert type(model) is hf_attn_seq2seq.AttnSeq2SeqForConditionalGeneration
        assert translations(model, tokenizer) == translations(*here)
        assert translations(*hf_attn_seq2seq.load(NAME, revision=revision)) == translations(*here)
    translate = hf_attn_seq2seq.pipeline(model=NAME, revision="main", token=ALICE)
    assert translate(SENTENCE) == hf_attn_seq2seq.pipeline(model=run_folder)(SENTENCE)
    with pytest.raises(ValueError, match=rf"There is no model '{NAME}' \(revision 'v9'\)"):
        hf_attn_seq2seq.load(NAME, revision="v9")


WITHOUT_PACKAGE = """
import json, sys

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hf_attn_seq2seq":
            raise ImportError("this package is not installed here")

sys.meta_path.insert(0, Barred())
from transformers import AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

name, revision, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
told = {}
for where in (None, revision):
    here = {"trust_remote_code": True, "revision": where or "main"}
    model = AutoModelForSeq2SeqLM.from_pretrained(name, **here)
    tokenizer = AutoTokenizer.from_pretrained(name, **here)
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    told[str(where)] = model.generate(**batch, num_beams=3, max_new_tokens=8).tolist()
told["piped"] = pipeline("attn-translation", model=name, trust_remote_code=True)(texts[0])
told["base"] = type(AutoModel.from_pretrained(name, trust_remote_code=True)).__name__
told["imported"] = "hf_attn_seq2seq" in sys.modules
two = AutoTokenizer.from_pretrained("alice/two", trust_remote_code=True)
told["two"] = [two(texts[0])["input_ids"], two(text_target=texts[0])["input_ids"]]
print(json.dumps(told))
"""


def test_loaded_where_the_package_is_not_installed(
    shared: Shared, online: pytest.MonkeyPatch, run_folder: Path, tmp_path: Path
) -> None:
    """Also a tokenizer with a vocabulary for each side, which is a class of this package."""
    sides = [train_tokenizer([text], kind="word", vocab_size=50) for text in (SENTENCE, f"near a house {SENTENCE}")]
    backends = [side.backend_tokenizer for side in sides]
    two = AttnSeq2SeqTokenizer(
        tokenizer_object=backends[0], target_tokenizer_object=backends[1], pad_token="<pad>", eos_token="</s>"
    )
    two.push_to_hub("alice/two")
    environment = {
        **os.environ,
        "HF_ENDPOINT": shared.hub.url,
        "HF_TOKEN": ALICE,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    environment.pop("HF_HUB_CACHE", None)
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGE, NAME, shared.pushed.commit, json.dumps([SENTENCE, "your house"])],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    here = AutoModelForSeq2SeqLM.from_pretrained(run_folder), AutoTokenizer.from_pretrained(run_folder)
    assert told["None"] == told[shared.pushed.commit] == translations(*here)
    assert told["piped"] == hf_attn_seq2seq.pipeline("translation", model=str(run_folder))(SENTENCE)
    assert told["base"] == "AttnSeq2SeqModel"
    assert not told["imported"]
    assert told["two"] == [two(SENTENCE)["input_ids"], two(text_target=SENTENCE)["input_ids"]]
    assert ALICE not in run.stdout + run.stderr


def test_a_pull_request(shared: Shared, online: pytest.MonkeyPatch, run_folder: Path, tmp_path: Path) -> None:
    """Also by somebody who may not write; what is merged is what it holds."""
    repo = shared.hub.model(NAME)
    main_before = repo.refs["main"]
    online.setenv("HF_TOKEN", BOB)
    pushed = push(str(run_folder), NAME, create_pr=True, sentence="a dog runs home")
    assert pushed.url == f"{shared.hub.url}/{NAME}/discussions/1"
    assert repo.refs["refs/pr/1"] == pushed.commit
    assert repo.refs["main"] == main_before
    assert b"runs" in repo.files("refs/pr/1")["explanation.html"]
    model = AutoModelForSeq2SeqLM.from_pretrained(NAME, revision="refs/pr/1")
    assert model.num_parameters() > 0


def test_a_branch(shared: Shared, online: pytest.MonkeyPatch, staged: Path, tmp_path: Path) -> None:
    repo = shared.hub.model(NAME)
    main_before = repo.refs["main"]
    folder = Path(shutil.copytree(staged, tmp_path / "staged"))
    for text in ("{}", "[]"):  # made, and committed to again
        (folder / "alignment.json").write_text(text, "utf-8")
        pushed = send(folder, NAME, revision="v2", message="The second version")
    assert repo.files("v2")["alignment.json"] == b"[]"
    assert pushed.url == f"{shared.hub.url}/{NAME}/tree/v2"
    assert repo.refs["v2"] == pushed.commit != main_before == repo.refs["main"]
    assert repo.commits[pushed.commit].message == "The second version"


def test_nothing_new_makes_no_commit(shared: Shared, online: pytest.MonkeyPatch, staged: Path) -> None:
    for _ in range(2):
        pushed = send(staged, "alice/again")
        commits = len(shared.hub.model("alice/again").commits)
        assert commits == 2
        assert pushed.commit == shared.hub.model("alice/again").refs["main"]


def test_files_inside_the_commit(shared: Shared, online: pytest.MonkeyPatch, staged: Path) -> None:
    """As where the server wants no file beforehand."""
    shared.hub.only_regular = True
    sent = len(shared.hub.requests)
    send(staged, "alice/regular")
    assert not [request for request in shared.hub.requests[sent:] if "/lfs/" in request]
    assert (
        shared.hub.model("alice/regular").files()["model.safetensors"] == (staged / "model.safetensors").read_bytes()
    )


def test_half_precision_stays(
    online: pytest.MonkeyPatch, shared: Shared, copy_of_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is told that other weights were measured."""
    AutoModelForSeq2SeqLM.from_pretrained(copy_of_run, dtype=torch.float16).save_pretrained(copy_of_run)
    main([str(copy_of_run), "--repo", "alice/half"])
    assert "different weights" in capsys.readouterr().out
    files = shared.hub.model("alice/half").files()
    assert files["model.safetensors"] == (copy_of_run / "model.safetensors").read_bytes()
    assert json.loads(files["config.json"])["dtype"] == "float16"


def test_a_plain_folder_gets_a_card_without_figures(
    shared: Shared, online: pytest.MonkeyPatch, copy_of_run: Path
) -> None:
    """And one that has a card of its own keeps it."""
    for file in ("results.json", "recipe.yaml"):
        (copy_of_run / file).unlink()
    push(str(copy_of_run), "alice/plain")
    files = shared.hub.model("alice/plain").files()
    card = files["README.md"].decode()
    assert "not been evaluated" in card
    assert '"alice/plain"' in card
    assert "alignment.png" not in files
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    exec(code, {})
    (copy_of_run / "README.md").write_text("# Mine\n", "utf-8")
    push(str(copy_of_run), "alice/plain")
    assert shared.hub.model("alice/plain").files()["README.md"] == b"# Mine\n"


def test_a_model_without_attention_has_a_page_and_no_picture(
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
) -> None:
    tiny_model(vocab_size=len(tokenizer), attention_type="none").save_pretrained(tmp_path / "run")
    tokenizer.save_pretrained(tmp_path / "run")
    (tmp_path / "staged").mkdir()
    stage_model(str(tmp_path / "run"), NAME, tmp_path / "staged", SENTENCE)
    names = {path.name for path in (tmp_path / "staged").iterdir()}
    assert "explanation.html" in names
    assert "alignment.png" not in names
    assert "alignment.png" not in (tmp_path / "staged" / "README.md").read_text("utf-8")


def test_dry_run_lists_what_would_be_sent(
    shared: Shared,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With no login and no network."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    asked = len(shared.hub.requests)
    main([str(run_folder), "--repo", NAME, "--dry-run"])
    *lines, total, end = capsys.readouterr().out.splitlines()
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines if not line.startswith("Note")}
    sent = {path: len(content) for path, content in shared.hub.model(NAME).files().items() if path != ".gitattributes"}
    assert listed.keys() == sent.keys()
    assert listed["model.safetensors"] == sent["model.safetensors"]
    assert f"{sum(listed.values()):,}" in total
    assert end == "Nothing was pushed."
    assert len(shared.hub.requests) == asked


@pytest.mark.parametrize("extra", [["--revision", ""], ["--pr", "--revision", "v2"]])
def test_dry_run_refuses_what_a_push_would(run_folder: Path, extra: list[str]) -> None:
    with pytest.raises(ValueError, match="branch"):
        main([str(run_folder), "--repo", NAME, "--dry-run", *extra])


def test_a_space_says_where_it_gets_the_package_from(tmp_path: Path) -> None:
    (note,) = stage_space("en-fr-small", tmp_path)
    assert f"installs hf_attn_seq2seq {hf_attn_seq2seq.__version__} from the package index" in note


def test_a_space(shared: Shared, online: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"app.py": "...", "requirements.txt": "hf_attn_seq2seq[app]\n", "README.md": "---\nsdk: gradio\n---\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    pushed = send(tmp_path, "alice/page", space=True)
    repo = shared.hub.repos["space", "alice/page"]
    assert pushed.url == f"{shared.hub.url}/spaces/alice/page"
    assert repo.sdk == "gradio"
    assert set(repo.files()) == {".gitattributes", *files}
    (tmp_path / "app.py").write_text("another", "utf-8")
    send(tmp_path, "alice/page", space=True)
    assert repo.files()["app.py"] == b"another"
    for sdk, held, says in (("docker", {}, "of the kind docker"), ("gradio", {"app.py": b""}, "another Space")):
        other = shared.hub.create("alice/other", "space", sdk=sdk)
        shared.hub.put(other, held)
        with pytest.raises(ValueError, match=says):
            send(tmp_path, "alice/other", space=True)
        assert len(other.commits) == 2


def test_a_space_shows_a_model_of_the_hub(
    shared: Shared, online: pytest.MonkeyPatch, run_folder: Path, tmp_path: Path
) -> None:
    push(NAME, "alice/shown", space=True)
    files = shared.hub.repos["space", "alice/shown"].files()
    assert {"app.py", "requirements.txt", "README.md"} <= set(files)
    assert NAME in "".join(content.decode() for content in files.values())
    assert b"hf_attn_seq2seq" in files["requirements.txt"]  # by which the next push knows it
    with pytest.raises(ValueError, match="push the model first"):
        push(str(run_folder), "alice/shown", space=True)


def test_a_static_space_holds_the_live_page(
    shared: Shared, online: pytest.MonkeyPatch, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(run_folder), "--space", "static", "--repo", "alice/live", "--sentence", "a dog"]
    main([*arguments, "--dry-run"])
    assert "index.html" in capsys.readouterr().out
    assert ("space", "alice/live") not in shared.hub.repos
    main(arguments)
    repo = shared.hub.repos["space", "alice/live"]
    files = repo.files()
    assert repo.sdk == "static"
    assert {"index.html", "runtime.bin", "model.safetensors", "tokenizer.json", "README.md"} <= set(files)
    assert re.search(rb'"examples": ?\[\{"name": ?"the example", ?"text": ?"a dog"', files["index.html"])
    card = ModelCard(files["README.md"].decode())
    assert (card.data.sdk, card.data.title) == ("static", f"{run_folder.name}, live")
    send_again = push(str(run_folder), "alice/live", space="static")  # over its own, and no other
    assert send_again.url.endswith("/spaces/alice/live")
    with pytest.raises(ValueError, match="contains a Space of the kind static"):
        push("en-fr-small", "alice/live", space=True)


@pytest.mark.parametrize(
    ("given", "kind", "run"),
    [
        (["--space", "a/b", "--repo", "c/d"], "gradio", "a/b"),
        (["a/b", "--repo", "c/d", "--space"], "gradio", "a/b"),
        (["a/b", "--space", "static", "--repo", "c/d"], "static", "a/b"),
        (["--space=static", "--repo", "c/d", "a/b"], "static", "a/b"),
        (["a/b", "--repo", "c/d"], None, "a/b"),
    ],
)
def test_the_kind_of_a_space_may_be_left_out(given: list[str], kind: str | None, run: str) -> None:
    options = push_parser().parse(given)
    assert (options.space, options.run) == (kind, run)


def test_transformers_own_push_to_hub(shared: Shared, online: pytest.MonkeyPatch, run_folder: Path) -> None:
    """Of model and tokenizer, each in its own commit; private, to a pull request, and read by who may."""
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(run_folder), AutoTokenizer.from_pretrained(run_folder)
    model.push_to_hub("alice/plainly", private=True)
    tokenizer.push_to_hub("alice/plainly")
    repo = shared.hub.model("alice/plainly")
    assert repo.private
    assert set(repo.files()) >= CODE | MODEL
    model.push_to_hub("alice/plainly", create_pr=True, commit_message="The same once more")
    with torch.no_grad():
        model.lm_head.weight.add_(1.0)
    model.push_to_hub("alice/plainly", create_pr=True)
    assert repo.files("refs/pr/1")["model.safetensors"] != repo.files()["model.safetensors"]
    here = AutoModelForSeq2SeqLM.from_pretrained(run_folder)
    there = AutoModelForSeq2SeqLM.from_pretrained("alice/plainly"), AutoTokenizer.from_pretrained("alice/plainly")
    assert translations(*there) == translations(here, tokenizer)
    online.setenv("HF_TOKEN", BOB)
    with pytest.raises(RepositoryNotFoundError):
        HfApi().model_info("alice/plainly")


class WaitForPush(TrainerCallback):
    """Lets a push end before the next step's files take the place of those that it sends."""

    trainer: Seq2SeqTrainer

    def on_save(self, *arguments: object, **options: object) -> None:
        self.trainer.push_in_progress.wait_until_done()


@pytest.mark.parametrize("strategy", ["every_save", "checkpoint"])
def test_the_trainer_pushes_what_can_be_loaded_while_it_trains(
    shared: Shared, online: pytest.MonkeyPatch, run_folder: Path, tmp_path: Path, strategy: str
) -> None:
    """Every commit with a configuration has the code that it names."""
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(run_folder), AutoTokenizer.from_pretrained(run_folder)
    encoded = tokenizer([SENTENCE, "your house"], text_target=["a cat", "a dog runs"])
    examples = [{name: encoded[name][row] for name in ("input_ids", "labels")} for row in (0, 1)]
    arguments = Seq2SeqTrainingArguments(
        tmp_path / "run",
        push_to_hub=True,
        hub_model_id=f"alice/{strategy}",
        hub_strategy=strategy,
        hub_always_push=True,
        save_steps=1,
        max_steps=2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    collate = DataCollatorForSeq2Seq(tokenizer, model=model)
    wait = WaitForPush()
    trainer = Seq2SeqTrainer(model, arguments, collate, examples, processing_class=tokenizer, callbacks=[wait])
    wait.trainer = trainer
    trainer.train()
    repo = shared.hub.model(f"alice/{strategy}")
    trained = [commit for commit in repo.commits.values() if "config.json" in commit.files]
    assert len(trained) > 1
    for commit in trained:
        named = {
            reference.partition(".")[0] + ".py"
            for reference in json.loads(commit.files["config.json"].content)["auto_map"].values()
        }
        assert named <= CODE <= set(commit.files)
    trainer.push_to_hub()
    final = AutoModelForSeq2SeqLM.from_pretrained(f"alice/{strategy}")
    assert all(torch.equal(one, other) for one, other in zip(final.parameters(), model.parameters()))


def test_the_token_is_nowhere(
    shared: Shared,
    online: pytest.MonkeyPatch,
    run_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in the output, the logs (of the most talkative level), what is sent, the cache or the temporary files."""
    online.setattr("tempfile.tempdir", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    main([str(run_folder), "--repo", "alice/secret", "--message", "A message"])
    output = capfd.readouterr()
    assert f"Pushed: {shared.hub.url}/alice/secret" in output.out
    AutoModelForSeq2SeqLM.from_pretrained("alice/secret")
    assert f"Bearer {ALICE}" in shared.hub.authorizations  # it was used, ...
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    stored = [
        content for repo in shared.hub.repos.values() for content in (*repo.files().values(), *repo.blobs.values())
    ]
    messages = [commit.message for repo in shared.hub.repos.values() for commit in repo.commits.values()]
    told = "".join([output.out, output.err, caplog.text, *messages, *shared.hub.requests])
    assert len(files) > 5
    assert len(stored) > 10
    for token in USERS:  # ... and is nowhere else
        assert token not in told
        assert not [content for content in (*files, *stored) if token.encode() in content]


def test_a_graph_is_shared_with_the_model_that_has_one(copy_of_run: Path, staged: Path, tmp_path: Path) -> None:
    assert not (staged / GRAPH_FILE).exists()
    export_graph(str(copy_of_run))
    (tmp_path / "shared").mkdir()
    stage_model(str(copy_of_run), "alice/new", tmp_path / "shared")
    assert find_engine(tmp_path / "shared").path == tmp_path / "shared" / GRAPH_FILE


@pytest.mark.parametrize(
    ("front", "tag", "task"),
    [
        ("speech", "automatic-speech-recognition", "automatic-speech-recognition"),
        ("image", "image-to-text", "image-text-to-text"),
    ],
)
def test_a_model_that_hears_or_sees_is_shared_with_its_processor(
    tmp_path: Path, front: str, tag: str, task: str
) -> None:
    made = media_model(front)
    made.save(tmp_path / "run")
    with pytest.raises(ValueError, match="reads no text, so no sentence can be explained"):
        stage_model(str(tmp_path / "run"), NAME, tmp_path / "none", "hello")
    (staged := tmp_path / "staged").mkdir()
    stage_model(str(tmp_path / "run"), NAME, staged)
    again = load_recognizer(staged)
    assert type(again.processor) is type(made.processor)
    card = ModelCard.load(staged / "README.md")
    assert card.data.pipeline_tag == tag
    assert f'pipeline("{task}", model="{NAME}", trust_remote_code=True)' in card.content
    assert {path.name for path in staged.glob("*.py")} >= CODE | PROCESSOR_CODE
