# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Write the page on which a model runs in the reader's browser."""

import argparse
import shlex
from collections.abc import Sequence

from hf_attn_seq2seq.explain.live.site import INDEX, Site, save_site
from hf_attn_seq2seq.explain.parsers import site_parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `site`; invalid input raises a ValueError with a one-sentence message."""
    run(site_parser().parse(arguments))


def run(options: argparse.Namespace) -> None:
    """Write the page, and tell how large it is."""
    site = save_site(
        options.model,
        options.output,
        compare=options.compare,
        single_file=options.single_file,
        example=options.example,
    )
    print(_told(site, options.single_file))


def _told(site: Site, single_file: bool) -> str:
    if single_file:
        return f"{site.path}: {site.page / 1e6:.1f} MB. It opens by a double click, without a network."
    total = site.page + sum(site.sizes.values())
    sizes = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in site.sizes.items() if size >= 1e5)
    return (
        f"{site.path}: {total / 1e6:.1f} MB ({INDEX} {site.page / 1e6:.2f} MB, {sizes}).\n"
        f"Try it: python -m http.server --directory {shlex.quote(str(site.path))}, and open http://localhost:8000"
    )
