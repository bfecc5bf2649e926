"""One worker process for test_identity_processes.py: refreshes each token it reads 25 times at once.

Answers each line with a JSON list of what came of it: the successor, or the problem's code.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[2]))
CALLERS = 25


def load(name: str) -> ModuleType:
    """A module that stands beside this one."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def main(folder: str, now: str) -> None:
    world_of = load("identity_world")
    clock = world_of.Clock()
    clock.now = int(now)
    async with world_of.running(Path(folder), clock) as world:
        while line := await asyncio.to_thread(sys.stdin.readline):
            answers = await asyncio.gather(*[world.refresh(line.strip()) for _ in range(CALLERS)])
            found = {answer.json().get("refresh_token") or answer.json()["code"] for answer in answers}
            print(json.dumps(sorted(found)), flush=True)  # noqa: T201  # it is how the test is answered


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
