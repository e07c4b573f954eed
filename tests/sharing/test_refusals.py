# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What goes wrong between here and the Hub: one sentence each, and nothing half-written."""

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, constants
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

import hf_attn_seq2seq
from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqForConditionalGeneration
from hf_attn_seq2seq.sharing import send, stage_model
from tests.hub_server import ALICE, ALICE_READS, BOB, HubServer, asking


class Alice:
    """Pushes a folder that is put together once."""

    def __init__(self, hub: HubServer, staged: Path, patch: pytest.MonkeyPatch) -> None:
        self.hub, self.staged, self.patch = hub, staged, patch

    def push(self, name: str = "alice/new", **options) -> None:
        send(self.staged, name, **options)

    def refused(self, name: str = "alice/new", **options) -> str:
        """The sentence that a push ends with, in which the token is not."""
        with pytest.raises(ValueError, match=r"\w") as caught:
            self.push(name, **options)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert not any(token in sentence for token in (ALICE, ALICE_READS, BOB))
        return sentence


@pytest.fixture
def alice(hub: HubServer, staged: Path, tmp_path: Path) -> Iterator[Alice]:
    """On a server where nothing is yet."""
    hub.repos.clear()
    with asking(hub, tmp_path / "cache") as patch:
        yield Alice(hub, staged, patch)
    hub.restore()


def test_no_login(alice: Alice) -> None:
    alice.patch.delenv("HF_TOKEN")
    sentence = alice.refused()
    assert "hf auth login" in sentence
    assert "HF_TOKEN" in sentence
    assert not alice.hub.repos


def test_a_token_that_nobody_has(alice: Alice) -> None:
    alice.patch.setenv("HF_TOKEN", "hf_nobody0only0for0the0tests")
    assert "does not accept your token" in alice.refused()


@pytest.mark.parametrize("token", [ALICE_READS, BOB])
def test_no_rights(alice: Alice, token: str) -> None:
    """To make a repository, and to write to one that is there."""
    alice.patch.setenv("HF_TOKEN", token)
    assert "You have no write access to 'alice/new'" in alice.refused()
    assert not alice.hub.repos
    alice.hub.create("alice/new")
    assert "hf auth login" in alice.refused()
    assert set(alice.hub.model("alice/new").files()) == {".gitattributes"}


def test_a_private_repository_of_somebody_else_is_not_told_of(alice: Alice) -> None:
    alice.push(private=True)
    assert alice.hub.model("alice/new").private
    alice.patch.setenv("HF_TOKEN", BOB)
    with pytest.raises(ValueError, match="no model 'alice/new'"):
        hf_attn_seq2seq.load("alice/new")
    assert "you have no access" in alice.refused()
    alice.patch.setenv("HF_TOKEN", ALICE_READS)
    assert hf_attn_seq2seq.load("alice/new").model.num_parameters() > 0


def test_private_where_it_is_public_already(alice: Alice) -> None:
    alice.hub.create("alice/new")
    assert "public" in alice.refused(private=True)


def test_the_name_is_taken(alice: Alice) -> None:
    alice.hub.taken.add("alice/new")
    assert "is taken" in alice.refused()
    alice.hub.taken.clear()


@pytest.mark.parametrize("name", ["tiny", "alice/", "a/b/c", "alice/-tiny", "alice/a b", "alice/a--b", "../tiny", ""])
def test_a_malformed_name(alice: Alice, name: str) -> None:
    assert "user/name" in alice.refused(name)
    assert not alice.hub.repos


def test_no_space_on_the_hub(alice: Alice) -> None:
    alice.hub.quota = 1000
    assert "no space left for 'alice/new' on the Hub" in (sentence := alice.refused())
    assert "was created and is empty" in sentence
    assert set(alice.hub.model("alice/new").files()) == {".gitattributes"}


@pytest.mark.parametrize("kind", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space left")])
def test_no_space_here(alice: Alice, run_folder: Path, tmp_path: Path, kind: Exception) -> None:
    def full(*args, **kwargs) -> None:
        raise kind

    alice.patch.setattr(AttnSeq2SeqForConditionalGeneration, "save_pretrained", full)
    with pytest.raises(ValueError, match=r"no space left.*TMPDIR"):
        stage_model(str(run_folder), "alice/new", tmp_path)


def test_offline(alice: Alice) -> None:
    alice.patch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in alice.refused()


def test_no_way_to_the_hub(alice: Alice) -> None:
    alice.hub.down = True
    assert "connection to the Hub" in alice.refused()


@pytest.mark.parametrize(
    ("files", "holds"),
    [
        ({"config.json": b'{"model_type": "bert"}'}, "a model of the type bert"),
        ({"notes.txt": b"mine"}, "not a Transformers model"),
        ({"config.json": b"[] not"}, "not a Transformers model"),
        (
            {
                "config.json": b'{"model_type": "attn_seq2seq", "auto_map": {"AutoModel": "other.Model"}}',
                "other.py": b"",
            },
            "other code (other.py)",
        ),
    ],
)
def test_a_repository_that_holds_something_else(alice: Alice, files: dict[str, bytes], holds: str) -> None:
    repo = alice.hub.create("alice/new")
    alice.hub.put(repo, files)
    assert holds in (sentence := alice.refused())
    assert "--overwrite" in sentence
    assert set(repo.files()) == {".gitattributes", *files}
    alice.push(overwrite=True)
    assert set(repo.files()) == {".gitattributes", *(path.name for path in alice.staged.iterdir())}
    assert len(repo.commits) == 3


@pytest.mark.parametrize("after", [0, 5000])
def test_cut_off_within_the_weights_and_completed_by_the_second_push(alice: Alice, after: int) -> None:
    alice.push()
    repo = alice.hub.model("alice/new")
    before, head = repo.files(), repo.refs["main"]
    other = {**before, "README.md": b"# by hand"}
    alice.hub.put(repo, {"README.md": other["README.md"]})
    repo.blobs.clear()
    alice.hub.cut_upload_after = after
    head = repo.refs["main"]
    weights = alice.staged / "model.safetensors"
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept[:-4] + b"\0\0\0\1")
        assert "is unchanged" in alice.refused()
        assert repo.refs["main"] == head
        assert repo.files() == other
        assert not repo.blobs
        alice.hub.restore()
        alice.push()
        assert repo.files()["model.safetensors"] == weights.read_bytes()
        assert repo.files()["README.md"] == before["README.md"]
    finally:
        weights.write_bytes(kept)


def test_cut_off_before_the_commit_does_not_send_the_weights_again(alice: Alice) -> None:
    alice.hub.cut_at = "POST .*/commit/"
    assert "was created and is empty" in alice.refused()
    repo = alice.hub.model("alice/new")
    assert len(repo.commits) == 1
    assert set(repo.files()) == {".gitattributes"}
    alice.hub.restore()
    sent = len(alice.hub.requests)
    alice.push()
    assert not [request for request in alice.hub.requests[sent:] if request.startswith("PUT")]
    assert len(repo.commits) == 2
    assert "model.safetensors" in repo.files()


def test_cut_off_there_is_no_new_branch(alice: Alice) -> None:
    alice.push()
    repo = alice.hub.model("alice/new")
    repo.blobs.clear()
    alice.hub.put(repo, {"model.safetensors": b"another"})
    alice.hub.cut_upload_after = 100
    alice.refused(revision="v2")
    assert set(repo.refs) == {"main"}


def test_changed_by_somebody_else_meanwhile(alice: Alice) -> None:
    alice.push()
    repo = alice.hub.model("alice/new")
    asked = HfApi.repo_info

    def meanwhile(*args, **kwargs):
        answer = asked(*args, **kwargs)
        alice.hub.put(repo, {"README.md": b"# by hand"})
        return answer

    alice.patch.setattr(HfApi, "repo_info", meanwhile)
    assert "at the same time" in alice.refused()
    assert repo.files()["README.md"] == b"# by hand"


def test_weights_in_other_files_give_way(alice: Alice) -> None:
    alice.push()
    repo = alice.hub.model("alice/new")
    old = {"model-00001-of-00002.safetensors": b"", "model.safetensors.index.json": b"{}", "pytorch_model.bin": b""}
    alice.hub.put(repo, {**old, "notes.md": b"kept"})
    alice.push()
    assert not set(old) & set(repo.files())
    assert repo.files()["notes.md"] == b"kept"


def test_pull_request_without_a_repository(alice: Alice) -> None:
    assert "push without --pr" in alice.refused(create_pr=True)
    assert not alice.hub.repos
    assert "not both" in alice.refused(create_pr=True, revision="v2")
    assert "name a branch" in alice.refused(revision="")
    alice.push()
    assert "refs/pr/7" in alice.refused(revision="refs/pr/7")


# Loading


def test_a_pickle_is_refused(alice: Alice, copy_of_run: Path) -> None:
    torch.save(load_file(copy_of_run / "model.safetensors"), copy_of_run / "pytorch_model.bin")
    (copy_of_run / "model.safetensors").unlink()
    for refuse in (hf_attn_seq2seq.load, lambda name: stage_model(name, "alice/new", copy_of_run.parent)):
        with pytest.raises(ValueError, match=r"pickle.*use_safetensors=False") as caught:
            refuse(str(copy_of_run))
        assert "\n" not in str(caught.value)
    # The way that the sentence names.
    AutoModelForSeq2SeqLM.from_pretrained(copy_of_run, use_safetensors=False).save_pretrained(copy_of_run)
    assert hf_attn_seq2seq.load(copy_of_run).model.num_parameters() > 0
    repo = alice.hub.create("alice/pickle")
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "pytorch_model.bin")
    alice.hub.put(repo, {name: (copy_of_run / name).read_bytes() for name in names})
    with pytest.raises(ValueError, match="'alice/pickle' has its weights in a pickle"):
        hf_attn_seq2seq.load("alice/pickle")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("format_version", 1000, "newer version of hf_attn_seq2seq .format 1000"),
        (
            "attention_type",
            "telepathic",
            "attention_type='telepathic' is unknown.*if a newer version saved it, update",
        ),
        ("model_type", "attn_seq3seq", "custom code"),
    ],
)
def test_saved_by_a_newer_version(copy_of_run: Path, field: str, value: object, says: str) -> None:
    path = copy_of_run / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ValueError, match=says) as caught:
        hf_attn_seq2seq.load(copy_of_run)
    assert "\n" not in str(caught.value)


def test_a_type_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "attn_seq3seq"}', "utf-8")
    with pytest.raises(ValueError, match=r"of a type that Transformers .* does not know") as caught:
        hf_attn_seq2seq.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_older_format_is_saved_as_the_present_one() -> None:
    assert AttnSeq2SeqConfig(format_version=0).to_dict()["format_version"] == AttnSeq2SeqConfig().format_version > 0


@pytest.mark.parametrize("file", ["results.json", "recipe.yaml", "config.json"])
def test_a_damaged_file(copy_of_run: Path, tmp_path: Path, file: str) -> None:
    (copy_of_run / file).write_text("{: no", "utf-8")
    with pytest.raises(ValueError, match=file):
        stage_model(str(copy_of_run), "alice/new", tmp_path)


@pytest.mark.parametrize("value", [None, 5, "x", []])
@pytest.mark.parametrize("name", ["sets", "languages", "card", "model", "data", "versions"])
def test_results_of_which_a_part_is_damaged(copy_of_run: Path, tmp_path: Path, name: str, value: object) -> None:
    path = copy_of_run / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), name: value}), "utf-8")
    with pytest.raises(ValueError, match=r"results.json' does not (hold|contain) the results of an evaluation"):
        stage_model(str(copy_of_run), "alice/new", tmp_path)


def test_results_of_nothing_are_none(copy_of_run: Path, tmp_path: Path) -> None:
    (copy_of_run / "results.json").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match="does not hold the results of an evaluation"):
        stage_model(str(copy_of_run), "alice/new", tmp_path)


def test_what_is_no_trained_model(tmp_path: Path, copy_of_run: Path) -> None:
    for name, says in (("nowhere", "no folder 'nowhere'"), (str(tmp_path), "no config.json")):
        with pytest.raises(ValueError, match=says):
            stage_model(name, "alice/new", tmp_path)
    (copy_of_run / "exported.json").write_text("{}")
    with pytest.raises(ValueError, match="exported"):
        stage_model(str(copy_of_run), "alice/new", tmp_path)
    shutil.rmtree(copy_of_run)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"output: {copy_of_run}\n", "utf-8")
    with pytest.raises(ValueError, match="has not been trained"):
        stage_model(str(recipe), "alice/new", tmp_path)
