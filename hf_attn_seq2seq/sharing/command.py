# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Push a trained model to the Hugging Face Hub, with code, tokenizer, recipe, results, model card and explanation."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils import logging as hub_logging

from hf_attn_seq2seq.console import CommandParser
from hf_attn_seq2seq.sharing.push import check_destination, check_login, send
from hf_attn_seq2seq.sharing.stage import staged


EXAMPLES = """examples:
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --dry-run
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --private
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --pr --message "Trained for longer"
  hf-attn-seq2seq push user/en-fr --repo user/en-fr-page --space

Log in first with `hf auth login`, or set HF_TOKEN. All files go into one commit: an interrupted push changes nothing
and can be repeated.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a trained model's folder, its recipe, or the name of a packaged model; with --space, a name on the Hub",
    )
    parser.add_argument("--repo", required=True, metavar="USER/NAME", help="the repository; created if necessary")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--pr", action="store_true", help="open a pull request in an existing repository")
    parser.add_argument("--revision", metavar="REV", help="the branch; created if necessary (default: main)")
    parser.add_argument("--space", action="store_true", help="push a Space, a web page that runs the model")
    parser.add_argument("--message", metavar="TEXT", help="the commit message")
    parser.add_argument(
        "--sentence", metavar="TEXT", help="the sentence to explain in the picture and the page (default: an example)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace everything in the repository")
    parser.add_argument("--dry-run", action="store_true", help="list what would be pushed; needs no login or network")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    options = build_parser().parse_args(arguments)
    hub_logging.set_verbosity_error()  # otherwise every retry prints a warning
    if not sys.stderr.isatty():
        disable_progress_bars()
    check_destination(options.repo, options.pr, options.revision)
    if not options.dry_run:
        check_login()  # before staging, which may take a minute
    with staged(options.run, options.repo, space=options.space, sentence=options.sentence) as found:
        for note in found.notes:
            print(f"Note: {note}")
        _print_files(found.folder)
        if options.dry_run:
            print("Nothing was pushed.")
            return
        pushed = send(
            found.folder,
            options.repo,
            private=options.private,
            create_pr=options.pr,
            revision=options.revision,
            space=options.space,
            overwrite=options.overwrite,
            message=options.message,
        )
    print(f"{'Pull request' if options.pr else 'Pushed'}: {pushed.url}")


def _print_files(folder: Path) -> None:
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    for path, size in sorted(sizes.items()):
        print(f"{size:>13,}  {path}")
    print(f"{sum(sizes.values()):>13,}  bytes in {len(sizes)} files")


if __name__ == "__main__":
    from hf_attn_seq2seq.console import run_command

    run_command(main)
