"""`ramet render`: to a file or to standard output, from the settings of the environment."""

from __future__ import annotations

from pathlib import Path

from tests.process.commands import ramet


def test_the_configuration_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    shown = ramet(tmp_path, "render", "nginx", "--instances", "2", RAMET_PORT="9000", RAMET_BODY_LIMIT="77")
    assert shown.code == 0
    assert "server 127.0.0.1:9000 " in shown.out
    assert "server 127.0.0.1:9001 " in shown.out
    assert "client_max_body_size 77;" in shown.out
    written = ramet(tmp_path, "render", "nginx", "--upstream", "a:1", "--upstream", "b:2", "-o", "nginx.conf")
    assert (written.code, written.out, written.err) == (0, "", "Wrote nginx.conf.\n")
    assert "server b:2 " in (tmp_path / "nginx.conf").read_text()


def test_what_it_cannot_write_is_told(tmp_path: Path) -> None:
    neither = ramet(tmp_path, "render", "nginx")
    assert (neither.code, neither.out) == (1, "")
    assert "--instances" in neither.err
    both = ramet(tmp_path, "render", "nginx", "--instances", "1", "--upstream", "a:1")
    assert both.code == 1
    wrong = ramet(tmp_path, "render", "nginx", "--upstream", "a;b:1")
    assert (wrong.code, wrong.out) == (1, "")
    assert wrong.err.startswith("--upstream: ")
    nowhere = ramet(tmp_path, "render", "nginx", "--instances", "1", "-o", "no/such/folder")
    assert (nowhere.code, nowhere.err) == (1, "no/such/folder: No such file or directory.\n")
