# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Open a local web page for translating and for seeing how each translation is made."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence

from hf_attn_seq2seq.app.page import launch, make_page
from hf_attn_seq2seq.app.parsers import app_parser
from hf_attn_seq2seq.app.runs import Limits


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `app`; invalid input raises a ValueError with a one-sentence message."""
    run(app_parser().parse(arguments))


def run(options: argparse.Namespace) -> None:
    """Open the page, and serve it until the program is ended."""
    check_port(options.host, options.port)
    limits = Limits(words=options.max_words, characters=options.max_characters, seconds=options.max_seconds)
    page = make_page(options.model, options.compare, limits)
    launch(page, host=options.host, port=options.port, browser=not options.no_browser)


def check_port(host: str, port: int | None) -> None:
    """
    Check that the host and port can be listened on, before any model is loaded; with port None, only the host.

    Raises:
        ValueError: The port is invalid or in use, or the host is not an address of this machine.
    """
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"--port {port} is invalid: choose a port from 1024 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port or 0))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if port is None:
                raise ValueError(f"Cannot listen on '{host}' ({reason}): choose another --host.") from None
            raise ValueError(f"Port {port} of {host} cannot be used ({reason}): choose another with --port.") from None
