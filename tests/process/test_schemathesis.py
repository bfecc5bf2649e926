"""A schema-driven fuzzer against two of the examples: what the API does is what its description says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from .harness import PYTHONPATH, ROOT, Running, ramet_serve

EXAMPLES = ("primetrade", "lifevault")
ACCOUNT = ("fuzz@example.org", "rain-coat-vermeer-7")
CASES = "4"
"""Random requests for each operation in a phase; what the schemas' limits suggest comes on top, and is most."""
PATIENCE = 900.0
TRIED_ALREADY = """
[[operations]]
include-path-regex = "^/api/v1/(users|sessions|auth)"
phases.coverage.enabled = false
"""
"""What every application has is tried to its limits in the first example; in the second it is fuzzed only."""
BIN = Path(sys.executable).parent


def administrator(folder: Path, app: str) -> None:
    """Somebody who may do everything, so that everything is tried."""
    command = [str(BIN / "ramet"), "user", "create", "--app", app, "--role", "admin", "--email", ACCOUNT[0]]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "RAMET_PASSWORD_MEMORY": "64"}
    told = [*command, "--password-stdin"]
    subprocess.run(told, cwd=folder, input=f"{ACCOUNT[1]}\n", text=True, check=True, env=environment)


def fuzz(folder: Path, server: Running, more: str) -> subprocess.Popen[str]:
    config = folder / "schemathesis.toml"
    config.write_text(Path(__file__).with_name("schemathesis.toml").read_text() + more)
    base = f"http://127.0.0.1:{server.port()}"
    command = [
        str(BIN / "schemathesis"),
        "--config-file",
        str(config),
        "run",
        f"{base}/api/openapi.json",
        "--checks=all",
        "--phases=coverage,fuzzing,stateful",
        f"--max-examples={CASES}",
        "--seed=1",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.process.fuzzing",
        "FUZZ_BASE": base,
        "FUZZ_EMAIL": ACCOUNT[0],
        "FUZZ_PASSWORD": ACCOUNT[1],
        "NO_COLOR": "1",
    }
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_fuzzer_finds_nothing_undocumented(tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = []
        for name in EXAMPLES:
            folder = tmp_path / name
            folder.mkdir()
            app = str(ROOT / "examples" / name / "app.py")
            served = ramet_serve(folder, "--demo", app=app, access_token_ttl=7_200, password_memory=64)
            server = stack.enter_context(served)
            server.port()
            administrator(folder, app)
            running.append((name, server, stack.enter_context(fuzz(folder, server, TRIED_ALREADY if running else ""))))
        for name, server, process in running:
            report, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, f"{name}:\n{shortened(report)}"
            selected, tested = (int(re.findall(rf"{word}: (\d+)", report)[0]) for word in ("Selected", "Tested"))
            assert selected == tested > 30
            assert int(re.findall(r"(\d+) generated", report)[0]) > 1_000
            assert "Traceback" not in server.text


def shortened(report: str) -> str:
    return "\n".join(line[:500] for line in report.partition("= FAILURES =")[2].splitlines()[:200]) or report[-4_000:]
