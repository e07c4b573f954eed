# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Pushes a folder to the Hub in one commit.

Large files are uploaded first and belong to no commit until the final one names them. An interrupted push therefore
leaves the repository unchanged, and the next one does not upload again what has already arrived. Only huggingface_hub
reads, stores and sends the token.
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
from hf_attn_seq2seq.messages import shortened
from hf_attn_seq2seq.sharing.stage import space_kind, staged


LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
# What a repository may contain without being a model or a Space yet.
_BARE = {".gitattributes", ".gitignore", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md"}
_WEIGHTS = re.compile(r"(model|pytorch_model)[^/]*\.(safetensors|bin)(\.index\.json)?")


class Pushed(NamedTuple):
    """The result of a push."""

    url: str  # of the repository, or of the pull request
    commit: str  # its oid


def push(
    name: str,
    repo_id: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    space: bool | str | None = False,
    overwrite: bool = False,
    message: str | None = None,
    sentence: str | None = None,
) -> Pushed:
    """
    Push a trained model, or a Space that runs one, to the Hub.

    Args:
        name: A trained model's folder, the name of a packaged model, or a recipe, whose output folder is pushed. With
            `space`: the name of a model on the Hub, or of a packaged one; with "static" all of these.
        repo_id: "user/name"; created if necessary.
        private: Make a new repository private.
        create_pr: Open a pull request in an existing repository.
        revision: The branch to commit to; created if necessary.
        space: Push a Space: "gradio" (or True), which runs the model on a server, or "static", the live page.
        overwrite: Replace everything in the repository, even a model of another kind.
        message: The commit message.
        sentence: The sentence to explain on the model's page, or that the live page begins with.

    Raises:
        ValueError: The Hub cannot be reached or refuses the push, or there is no such model. The repository is
            unchanged.
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
    """Raise a ValueError for an invalid repository name, or for an impossible choice of branch."""
    try:
        validate_repo_id(repo_id)
        fits = repo_id.count("/") == 1
    except HFValidationError:
        fits = False
    if not fits:
        raise ValueError(
            f"'{repo_id}' is not a valid repository name: write user/name, with at most 96 letters, digits, '-', '_' "
            "and '.', without '-' or '.' at either end, and without '--' or '..'."
        )
    if revision is not None and not revision.strip():
        raise ValueError("The revision is empty: name a branch, or leave it out for main.")
    if create_pr and revision not in (None, "main"):
        raise ValueError("A pull request always targets the main branch: use --pr or --revision, not both.")


def check_login() -> str:
    """The name of the logged-in user; raises a ValueError if there is none."""
    with _in_a_sentence("the Hub"):
        return HfApi().whoami()["name"]


def send(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    space: bool | str | None = False,
    overwrite: bool = False,
    message: str | None = None,
) -> Pushed:
    """Push the files of a folder, in one commit; arguments and errors as for [`push`]."""
    check_destination(repo_id, create_pr, revision)
    api = HfApi()
    sdk = space_kind(space)
    where = {"repo_id": repo_id, "repo_type": "space" if space else "model"}
    with _in_a_sentence(f"'{repo_id}'"):
        found = _find(api, where)
        created = found is None
        if created:
            _create(api, where, sdk, private, create_pr)
        elif private and not found.private:
            raise ValueError(f"'{repo_id}' already exists and is public: make it private on the Hub first.")
    try:
        with _in_a_sentence(f"'{repo_id}'"):
            made = _commit(api, where, sdk, folder, create_pr, revision, overwrite, message)
    except ValueError as error:
        if not created:
            raise
        raise ValueError(f"{error} (The new repository '{repo_id}' was created and is empty.)") from error
    url = f"{api.endpoint}/{'spaces/' if space else ''}{repo_id}"
    if revision not in (None, "main"):
        url += f"/tree/{revision}"
    return Pushed(made.pr_url or url, made.oid)


def _create(api: HfApi, where: dict[str, Any], sdk: str | None, private: bool, create_pr: bool) -> None:
    kind, repo_id = where["repo_type"], where["repo_id"]
    if create_pr:
        raise ValueError(
            f"There is no {kind} '{repo_id}' for a pull request, or you have no access to it: push without --pr."
        )
    # None leaves it to the owner's default for new repositories.
    api.create_repo(**where, private=private or None, exist_ok=True, space_sdk=sdk)
    if _find(api, where) is None:
        raise ValueError(
            f"The name '{repo_id}' is taken by a repository of another kind, or by one that you have no access to: "
            "choose another name."
        )


def _commit(
    api: HfApi,
    where: dict[str, Any],
    sdk: str | None,
    folder: Path,
    create_pr: bool,
    revision: str | None,
    overwrite: bool,
    message: str | None,
) -> CommitInfo:
    """Commit the files of a folder to an existing repository."""
    found: Any = api.repo_info(**where)
    new_branch = False
    if revision not in (None, "main"):
        try:
            found = api.repo_info(**where, revision=revision)
        except RevisionNotFoundError:
            if revision.startswith("refs/"):
                raise ValueError(
                    f"There is no '{shortened(revision)}' in '{where['repo_id']}': open a pull request with --pr."
                ) from None
            new_branch = True
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in paths]
    sent = {addition.path_in_repo for addition in additions}
    held = {sibling.rfilename for sibling in found.siblings or []}
    if not overwrite:
        _refuse_others(api, where, sdk, found, held, sent)
    if new_branch:
        # Large files first: if their upload is interrupted, no branch has been created.
        api.preupload_lfs_files(**where, additions=additions, free_memory=False)
        api.create_branch(**where, branch=revision, revision=found.sha)
    return api.create_commit(
        **where,
        operations=[*additions, *_superseded(held, sent, overwrite)],
        commit_message=message or f"Push by hf_attn_seq2seq {__version__}",
        revision=revision,
        create_pr=create_pr,
        parent_commit=found.sha,  # refused if somebody else has committed in the meantime
    )


def _find(api: HfApi, where: dict[str, Any]) -> Any:
    try:
        return api.repo_info(**where)
    except RepositoryNotFoundError:
        return None


def _refuse_others(
    api: HfApi, where: dict[str, Any], sdk: str | None, found: Any, held: set[str], sent: set[str]
) -> None:
    """Raise a ValueError if the repository contains anything other than an earlier version of what is pushed."""
    holds = None
    if where["repo_type"] == "space":
        own = "requirements.txt" if sdk == "gradio" else "README.md"  # which names this package
        if found.sdk not in (None, sdk):
            holds = f"a Space of the kind {found.sdk}"
        elif held - _BARE and "hf_attn_seq2seq" not in _read(api, where, found, held, own):
            holds = f"another Space ({_some(held - _BARE)})"
    elif held - _BARE:
        try:
            config = json.loads(_read(api, where, found, held, "config.json") or "{}")
        except json.JSONDecodeError:
            config = {}
        code = {reference.partition(".")[0] + ".py" for reference in _references(config.get("auto_map"))}
        if "model_type" not in config:
            holds = f"files that are not a Transformers model ({_some(held - _BARE)})"
        elif config["model_type"] != "attn_seq2seq":
            holds = f"a model of the type {config['model_type']}"
        elif not code <= sent:
            holds = f"a model with other code ({_some(code - sent)})"
    if holds is not None:
        raise ValueError(
            f"'{where['repo_id']}' contains {holds}: choose another name, or use --overwrite to replace everything "
            "there."
        )


def _read(api: HfApi, where: dict[str, Any], found: Any, held: set[str], path: str) -> str:
    if path not in held:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        file = api.hf_hub_download(**where, filename=path, revision=found.sha, local_dir=folder)
        return Path(file).read_text("utf-8", errors="replace")


def _references(auto_map: Any) -> Iterator[str]:
    """The modules of an `auto_map`, whose values are `module.Class`, `repo--module.Class`, or lists of them."""
    for value in auto_map.values() if isinstance(auto_map, dict) else ():
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))


def _superseded(held: set[str], sent: set[str], overwrite: bool) -> list[CommitOperationDelete]:
    """The files that the same commit removes: old weights under other file names, or everything."""
    old = held - sent - {".gitattributes"}
    return [CommitOperationDelete(path) for path in sorted(old) if overwrite or _WEIGHTS.fullmatch(path)]


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")


@contextmanager
def _in_a_sentence(what: str) -> Iterator[None]:
    """Inside this context, errors of the Hub and the connection become a ValueError of one sentence."""
    try:
        yield
    except Exception as error:
        sentence = _sentence(error, what)
        if sentence is None:
            raise
        raise ValueError(sentence) from error


def _sentence(error: BaseException, what: str) -> str | None:
    """What is wrong and what to do; None for an error that is not from the Hub or the connection."""
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the Hub cannot be reached: unset it to push."
    if isinstance(error, LocalTokenNotFoundError):
        return f"You are not logged in to the Hub: {LOGIN}."
    if isinstance(error, HfHubHTTPError):
        return _refusal(error, what)
    if error.__cause__ is not None and not isinstance(error, HTTPError):
        return _sentence(error.__cause__, what)  # uploads in threads wrap the original error
    if isinstance(error, (HTTPError, ConnectionError, RuntimeError)):  # RuntimeError comes from the Xet transfer
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        return (
            f"The connection to the Hub ({HfApi().endpoint}) failed ({reason}), and {what} is unchanged: push again "
            "later; what has already arrived is not uploaded again."
        )
    return None


def _refusal(error: HfHubHTTPError, what: str) -> str:
    status = error.response.status_code
    words = " ".join((error.server_message or "").split()).rstrip(".")
    said = f" ({words})" if words else ""
    if status in (413, 507) or (status == 403 and re.search(r"storage|quota|space left", words, re.IGNORECASE)):
        return f"There is no space left for {what} on the Hub{said}: free some space, or push a smaller model."
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return f"The Hub does not accept your token{said}: {LOGIN} to a valid token."
    if status == 403:
        instead = "" if "/repos/create" in str(error.response.url) else ", or open a pull request with --pr"
        return f"You have no write access to {what}{said}: {LOGIN}, using a token with write access{instead}."
    if isinstance(error, RepositoryNotFoundError):
        return f"There is no {what}, or you have no access to it: check the name, and {LOGIN}."
    if status in (409, 412):
        return f"Somebody else has changed {what} at the same time{said}: check it, and push again."
    if status == 429:
        return f"The Hub has received too many requests{said}: push again later."
    if status < 500:
        return f"The Hub refused the push to {what}{said or f' (status {status})'}: nothing was changed."
    return f"The Hub has a problem (status {status}){said}, and {what} is unchanged: push again later."
