# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
A folder to the Hub, in one commit.

Large files travel first and belong to nothing until the commit names them. So a push that is cut off leaves the
repository as it was, and the next one finds there what has arrived already. The token is read, kept and sent by
huggingface_hub alone.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.sharing.stage import staged


LOGIN = "log in by `hf auth login`, or set HF_TOKEN"
# What a repository may hold that is no model or Space yet.
_BARE = {".gitattributes", ".gitignore", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md"}
_WEIGHTS = re.compile(r"(model|pytorch_model)[^/]*\.(safetensors|bin)(\.index\.json)?")


class Pushed(NamedTuple):
    """Where it is now."""

    url: str  # of the repository, or of the pull request
    commit: str  # its oid


def push(
    name: str,
    repo_id: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    space: bool = False,
    overwrite: bool = False,
    message: str | None = None,
    sentence: str | None = None,
) -> Pushed:
    """
    Put a trained model, or a Space that shows one, on the Hub.

    Args:
        name: A folder with a trained model, the name of a packaged one, or a recipe, whose output it is. With
            `space`: a name on the Hub, or of a packaged model.
        repo_id: As in "user/name"; made where it is not there yet.
        private: A new repository is to be seen by its owner alone.
        create_pr: Open a pull request, in a repository that is there.
        revision: The branch to commit to, made where it is not there yet.
        space: Push a Gradio Space.
        overwrite: Replace all that the repository holds, also a model of another kind.
        message: Of the commit.
        sentence: To explain on the model's page.

    Raises:
        ValueError: The Hub cannot be reached or refuses, or there is no such model; one sentence, and the repository
            is as it was.
    """
    check_destination(repo_id, create_pr, revision)
    check_login()
    with staged(name, repo_id, space=space, sentence=sentence) as found:
        return send(
            found.folder,
            repo_id,
            private=private,
            create_pr=create_pr,
            revision=revision,
            space=space,
            overwrite=overwrite,
            message=message,
        )


def check_destination(repo_id: str, create_pr: bool, revision: str | None) -> None:
    """Raise a ValueError where the Hub would not take the name, or nothing could go to such a branch."""
    try:
        validate_repo_id(repo_id)
        fits = repo_id.count("/") == 1
    except HFValidationError:
        fits = False
    if not fits:
        raise ValueError(
            f"'{repo_id}' is no name of a repository: write user/name, of letters, digits, '-', '_' and '.', at most "
            "96 of them, with no '-' or '.' at either end and no '--' or '..'."
        )
    if revision is not None and not revision.strip():
        raise ValueError("The revision is empty: name a branch, or leave it out for main.")
    if create_pr and revision not in (None, "main"):
        raise ValueError("A pull request is made to the main branch: give --pr or --revision, not both.")


def check_login() -> str:
    """The name of whom the Hub takes us for; raises a ValueError where it takes us for nobody."""
    with _in_a_sentence("the Hub"):
        return HfApi().whoami()["name"]


def send(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    space: bool = False,
    overwrite: bool = False,
    message: str | None = None,
) -> Pushed:
    """Push the files of a folder, in one commit; arguments and errors as for [`push`]."""
    check_destination(repo_id, create_pr, revision)
    api = HfApi()
    where = {"repo_id": repo_id, "repo_type": "space" if space else "model"}
    with _in_a_sentence(f"'{repo_id}'"):
        found = _find(api, where)
        created = found is None
        if created:
            _create(api, where, private, create_pr)
        elif private and not found.private:
            raise ValueError(f"'{repo_id}' is there already, and public: make it private on the Hub first.")
    try:
        with _in_a_sentence(f"'{repo_id}'"):
            made = _commit(api, where, folder, create_pr, revision, overwrite, message)
    except ValueError as error:
        if not created:
            raise
        raise ValueError(f"{error} (The new repository '{repo_id}' is there, and empty.)") from error
    url = f"{api.endpoint}/{'spaces/' if space else ''}{repo_id}"
    if revision not in (None, "main"):
        url += f"/tree/{revision}"
    return Pushed(made.pr_url or url, made.oid)


def _create(api: HfApi, where: dict[str, Any], private: bool, create_pr: bool) -> None:
    kind, repo_id = where["repo_type"], where["repo_id"]
    if create_pr:
        raise ValueError(
            f"There is no {kind} '{repo_id}' to open a pull request in, or you may not see it: push without --pr."
        )
    # None leaves it to what the owner has set for new repositories.
    api.create_repo(**where, private=private or None, exist_ok=True, space_sdk="gradio" if kind == "space" else None)
    if _find(api, where) is None:
        raise ValueError(
            f"The name '{repo_id}' is taken, by a repository of another kind or one that you may not see: choose "
            "another name."
        )


def _commit(
    api: HfApi,
    where: dict[str, Any],
    folder: Path,
    create_pr: bool,
    revision: str | None,
    overwrite: bool,
    message: str | None,
) -> CommitInfo:
    """The files of a folder, in a commit to a repository that is there."""
    found: Any = api.repo_info(**where)
    new_branch = False
    if revision not in (None, "main"):
        try:
            found = api.repo_info(**where, revision=revision)
        except RevisionNotFoundError:
            if revision.startswith("refs/"):
                raise ValueError(
                    f"There is no '{revision}' in '{where['repo_id']}': open a pull request by --pr."
                ) from None
            new_branch = True
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in paths]
    sent = {addition.path_in_repo for addition in additions}
    held = {sibling.rfilename for sibling in found.siblings or []}
    if not overwrite:
        _refuse_others(api, where, found, held, sent)
    if new_branch:
        # Large files first: where they are cut off, there is no new branch.
        api.preupload_lfs_files(**where, additions=additions, free_memory=False)
        api.create_branch(**where, branch=revision, revision=found.sha)
    return api.create_commit(
        **where,
        operations=[*additions, *_superseded(held, sent, overwrite)],
        commit_message=message or f"Push by hf_attn_seq2seq {__version__}",
        revision=revision,
        create_pr=create_pr,
        parent_commit=found.sha,  # refused where somebody else has committed since this was looked at
    )


def _find(api: HfApi, where: dict[str, Any]) -> Any:
    try:
        return api.repo_info(**where)
    except RepositoryNotFoundError:
        return None


def _refuse_others(api: HfApi, where: dict[str, Any], found: Any, held: set[str], sent: set[str]) -> None:
    """Raise a ValueError where the repository holds something else than an earlier version of what is sent."""
    holds = None
    if where["repo_type"] == "space":
        if found.sdk not in (None, "gradio"):
            holds = f"a Space of the kind {found.sdk}"
        elif held - _BARE and "hf_attn_seq2seq" not in _read(api, where, found, held, "requirements.txt"):
            holds = f"another Space ({_some(held - _BARE)})"
    elif held - _BARE:
        try:
            config = json.loads(_read(api, where, found, held, "config.json") or "{}")
        except json.JSONDecodeError:
            config = {}
        code = {reference.partition(".")[0] + ".py" for reference in _references(config.get("auto_map"))}
        if "model_type" not in config:
            holds = f"files that are no model of Transformers ({_some(held - _BARE)})"
        elif config["model_type"] != "attn_seq2seq":
            holds = f"a model of the type {config['model_type']}"
        elif not code <= sent:
            holds = f"a model with other code ({_some(code - sent)})"
    if holds is not None:
        raise ValueError(
            f"'{where['repo_id']}' holds {holds}: choose another name, or give --overwrite to replace all that is "
            "there."
        )


def _read(api: HfApi, where: dict[str, Any], found: Any, held: set[str], path: str) -> str:
    if path not in held:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        file = api.hf_hub_download(**where, filename=path, revision=found.sha, local_dir=folder)
        return Path(file).read_text("utf-8", errors="replace")


def _references(auto_map: Any) -> Iterator[str]:
    """Of an `auto_map`, whose values are `module.Class`, `repo--module.Class`, or lists of them."""
    for value in auto_map.values() if isinstance(auto_map, dict) else ():
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))


def _superseded(held: set[str], sent: set[str], overwrite: bool) -> list[CommitOperationDelete]:
    """What is removed by the same commit: weights in other files than now, or all that was there."""
    old = held - sent - {".gitattributes"}
    return [CommitOperationDelete(path) for path in sorted(old) if overwrite or _WEIGHTS.fullmatch(path)]


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")


@contextmanager
def _in_a_sentence(what: str) -> Iterator[None]:
    """Within, what goes wrong between here and the Hub becomes a ValueError of one sentence."""
    try:
        yield
    except Exception as error:
        sentence = _sentence(error, what)
        if sentence is None:
            raise
        raise ValueError(sentence) from error


def _sentence(error: BaseException, what: str) -> str | None:
    """What is wrong and what to do; None for an error that is none of the Hub's or the connection's."""
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the Hub is not asked: unset it to push."
    if isinstance(error, LocalTokenNotFoundError):
        return f"You are not logged in to the Hub: {LOGIN}."
    if isinstance(error, HfHubHTTPError):
        return _refusal(error, what)
    if error.__cause__ is not None and not isinstance(error, HTTPError):
        return _sentence(error.__cause__, what)  # uploads in threads wrap what has happened
    if isinstance(error, (HTTPError, ConnectionError, RuntimeError)):  # the last of the Xet transfer
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        return (
            f"The connection to the Hub ({HfApi().endpoint}) failed or broke off ({reason}): {what} is as it was. "
            "Push again when it is back; what has arrived is not sent twice."
        )
    return None


def _refusal(error: HfHubHTTPError, what: str) -> str:
    status = error.response.status_code
    words = " ".join((error.server_message or "").split()).rstrip(".")
    said = f" ({words})" if words else ""
    if status in (413, 507) or (status == 403 and re.search(r"storage|quota|space left", words, re.IGNORECASE)):
        return f"There is no space left for {what} on the Hub{said}: make room there, or push a smaller model."
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return f"The Hub does not accept your token{said}: {LOGIN} to a valid one."
    if status == 403:
        instead = "" if "/repos/create" in str(error.response.url) else ", or open a pull request by --pr"
        return f"You may not write to {what}{said}: {LOGIN}, with a token that may{instead}."
    if isinstance(error, RepositoryNotFoundError):
        return f"There is no {what}, or you may not see it: see that the name is right, and {LOGIN}."
    if status in (409, 412):
        return f"Somebody else has changed {what} at the same time{said}: look at it, and push again."
    if status == 429:
        return f"The Hub asks you to wait{said}: push again later."
    if status < 500:
        return f"The Hub refuses what was sent to {what}{said or f' (status {status})'}: nothing was changed."
    return f"The Hub has trouble (status {status}){said}: {what} is as it was. Push again later."
