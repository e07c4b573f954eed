# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
A headless Firefox for the tests of the page, driven by Marionette, the protocol of Firefox itself: messages of JSON
over a socket, each after its length (https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


NAMES = ("firefox-esr", "firefox")
TIMEOUT_S = 120
SETTINGS = {
    "marionette.port": 0,  # a free one
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.update.disabledForTesting": True,
}


class Firefox:
    """One window."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.stream = self.connection.makefile("rb")
        self._read()  # a greeting
        self._ask("WebDriver:NewSession", {})
        self._ask("WebDriver:SetTimeouts", {"script": TIMEOUT_S * 1000, "pageLoad": TIMEOUT_S * 1000})

    def _read(self) -> Any:
        length = b""
        while (digit := self.stream.read(1)) != b":":
            length += digit
        return json.loads(self.stream.read(int(length)))

    def _ask(self, command: str, parameters: dict[str, Any]) -> Any:
        message = json.dumps([0, 1, command, parameters]).encode()
        self.connection.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        if error is not None:
            raise RuntimeError(f"{command}: {error['error']}, {error['message']}")
        return result

    def goto(self, url: str) -> None:
        self._ask("WebDriver:Navigate", {"url": url})

    def evaluate(self, function: str, argument: Any = None) -> Any:
        """What an asynchronous function of the page's own world gives."""
        script = (
            "const [argument, done] = arguments; "
            f"({function})(argument).then((value) => done(JSON.stringify([value, null])), "
            "(error) => done(JSON.stringify([null, String(error)])));"
        )
        value, error = json.loads(
            self._ask("WebDriver:ExecuteAsyncScript", {"script": script, "args": [argument]})["value"]
        )
        if error is not None:
            raise RuntimeError(error)
        return value

    def quit(self) -> None:
        self._ask("Marionette:Quit", {"flags": ["eForceQuit"]})
        self.connection.close()


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """The installed Firefox with its profile in `folder`; a skipped test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no Firefox is installed (looked for {', '.join(NAMES)})")
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in SETTINGS.items()]
    (folder / "user.js").write_text("".join(lines))
    process = subprocess.Popen(
        [program, "--headless", "--marionette", "--no-remote", "--profile", str(folder)],
        env={**os.environ, "HOME": str(folder), "MOZ_HEADLESS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        browser = Firefox(_port(folder, process))
        yield browser
        browser.quit()
        process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that the browser writes into its profile."""
    file = folder / "MarionetteActivePort"
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        if file.is_file() and (text := file.read_text().strip()):
            return int(text)
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError("Firefox did not start.")
