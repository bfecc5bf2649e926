"""`ramet render`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ramet.cli.failures import Refused
from ramet.settings import Settings
from ramet.topology.nginx.configuration import configuration
from ramet.topology.nginx.front import Front

command = typer.Typer(help="Write the files of a deployment.", no_args_is_help=True)


@command.callback()
def _render() -> None:
    """Several files can be written."""


@command.command()
def nginx(
    instances: Annotated[
        int | None, typer.Option(min=1, max=1000, help="So many instances, on ports from RAMET_PORT on, at 127.0.0.1.")
    ] = None,
    upstream: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="An instance; may be given several times.")
    ] = None,
    server_name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A host that is answered; without one, all are.")
    ] = None,
    tls_cert: Annotated[str, typer.Option(metavar="PATH", help="The certificate, with its chain.")] = "",
    tls_key: Annotated[str, typer.Option(metavar="PATH", help="The key of the certificate.")] = "",
    host: Annotated[list[str] | None, typer.Option(help="An address to listen on; 0.0.0.0 without one.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="TCP port: 443 with TLS, else 80.")] = None,
    plain_port: Annotated[
        int, typer.Option(min=1, max=65_535, help="With TLS, where those without it are sent on from.")
    ] = 80,
    access_log: Annotated[str, typer.Option(metavar="PATH", help="JSON lines.")] = "/var/log/nginx/access.log",
    error_log: Annotated[str, typer.Option(metavar="PATH", help="What went wrong.")] = "/var/log/nginx/error.log",
    pid: Annotated[str, typer.Option(metavar="PATH", help="Where nginx keeps its process id.")] = "/run/nginx.pid",
    user: Annotated[str, typer.Option(help="Whom nginx's workers run as, if not its default.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="A file; - for standard output.")] = "-",
) -> None:
    """Write an nginx.conf for instances of an application, from the settings that they run with."""
    if bool(instances) == bool(upstream):
        raise Refused("Name the instances: either --instances COUNT, or --upstream HOST:PORT for each.")
    settings = Settings.read()
    found = upstream or [f"127.0.0.1:{settings.port + number}" for number in range(instances or 0)]
    front = Front(
        upstreams=tuple(found),
        server_names=tuple(server_name or ()),
        hosts=tuple(host or ("0.0.0.0",)),
        port=port or (443 if tls_cert else 80),
        plain_port=plain_port if tls_cert else 1,
        certificate=tls_cert,
        key=tls_key,
        access_log=access_log,
        error_log=error_log,
        pid=pid,
        user=user,
    )
    write(configuration(front, settings), output)


def write(text: str, output: str) -> None:
    """Put a file where it was asked for. Raises Refused when that cannot be written."""
    if output == "-":
        sys.stdout.write(text)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{output}: {error.strerror}.") from None
    sys.stderr.write(f"Wrote {output}.\n")
