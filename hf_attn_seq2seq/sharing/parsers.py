# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The options of `push`. What is imported here takes no time, so that `--help` is answered at once."""

import argparse
import sys
from collections.abc import Sequence

from hf_attn_seq2seq.console import CommandParser


EXAMPLES = """examples:
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --dry-run
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --private
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --pr --message "Trained for longer"
  hf-attn-seq2seq push user/en-fr --repo user/en-fr-page --space
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr-live --space static

Log in first with `hf auth login`, or set HF_TOKEN. All files go into one commit: an interrupted push changes nothing
and can be repeated.
"""


SPACES = ("gradio", "static")


class PushParser(CommandParser):
    """What follows `--space` is its kind only if it is one, and else the next argument."""

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        given = list(sys.argv[1:] if arguments is None else arguments)
        for place in reversed(range(len(given))):
            if given[place] == "--space":
                kind = (
                    given.pop(place + 1) if given[place + 1 : place + 2] in ([each] for each in SPACES) else SPACES[0]
                )
                given[place] = f"--space={kind}"
        return super().parse(given)


def push_parser() -> CommandParser:
    parser = PushParser(
        description="Push a trained model to the Hugging Face Hub, with code, tokenizer, recipe, results, model "
        "card and explanation.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a trained model's folder, its recipe, or the name of a packaged model; with --space, a name on the Hub",
    )
    parser.add_argument("--repo", required=True, metavar="USER/NAME", help="the repository; created if necessary")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--pr", action="store_true", help="open a pull request in an existing repository")
    parser.add_argument("--revision", metavar="REV", help="the branch; created if necessary (default: main)")
    parser.add_argument(
        "--space",
        choices=SPACES,
        nargs="?",
        const=SPACES[0],
        help="push a Space, a web page that runs the model: on a server with Gradio, or static, in the reader's "
        "browser (default: gradio)",
    )
    parser.add_argument("--message", metavar="TEXT", help="the commit message")
    parser.add_argument(
        "--sentence",
        metavar="TEXT",
        help="the sentence to explain in the picture and the page, or that a static Space begins with (default: an "
        "example)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace everything in the repository")
    parser.add_argument("--dry-run", action="store_true", help="list what would be pushed; needs no login or network")
    return parser
