"""While an application is being written, its process follows its code."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from tests.process.harness import PLAIN, Connection, Running, eventually, get

PROGRAM = """
import sys
from ramet.settings import Settings
from ramet.topology.single.reload import serve_reloading
sys.exit(serve_reloading("app.py", Settings(port=0)))
"""


def test_the_application_is_started_again_when_its_code_changes(tmp_path: Path) -> None:
    shutil.copy(PLAIN, tmp_path / "app.py")
    code = (tmp_path / "app.py").read_text()
    server = Running(["-c", PROGRAM], tmp_path)
    try:
        port = server.port()
        first = get(port)["x-pid"]

        (tmp_path / "app.py").write_text(code.replace('"x-pid"', '"x-other"'))
        assert server.says("changed") == "app.py changed; starting again."
        eventually(lambda: "x-other" in get(port))

        (tmp_path / "app.py").write_text("this is no Python")
        server.says("could not start (exit code 1); waiting for a change.")
        with Connection(port) as waiting:
            waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            (tmp_path / "app.py").write_text(code)
            answer = waiting.head()
            assert answer[""] == "200"
            assert answer["x-pid"] != first

        changes = server.text.count("changed")
        (tmp_path / "ramet.db").write_bytes(b"data")
        (tmp_path / "ramet.db-wal").write_bytes(b"data")
        now = get(port)["x-pid"]
        server.signal(signal.SIGINT)
        assert server.ends() == 0
        assert server.text.count("changed") == changes
        assert f"shutdown {now}" in server.text
    finally:
        server.close()
