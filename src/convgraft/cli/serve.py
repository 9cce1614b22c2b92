"""`convgraft serve RUN`: a web page and a REST endpoint that say what is in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli.console import say

NEEDED = {
    "fastapi": ("fastapi",),
    "python-multipart": ("python_multipart", "multipart"),  # the second is its older name
    "prometheus-client": ("prometheus_client",),
    "uvicorn": ("uvicorn",),
}


def serve(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|FILE.onnx", help="A run folder or an exported model.")
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free one.")
    ] = 8000,
    host: Annotated[
        str, typer.Option(help="By whom it can be reached; others need a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="CONVGRAFT_TOKEN",
            show_envvar=True,
            help="What requests have to bring as Authorization: Bearer TOKEN.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="auto (ONNX Runtime where it is exported), onnx or torch.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the network; all cores by default.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, max=1024, help="Most pictures that are computed together.")
    ] = 32,
    max_mebibytes: Annotated[int, typer.Option(min=1, max=1024, help="Longest request, MiB.")] = 32,
    max_images: Annotated[int, typer.Option(min=1, help="Most pictures in a request.")] = 64,
    max_pixels: Annotated[int, typer.Option(min=1, help="Most pixels of a picture.")] = 40_000_000,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds in which an answer has to be there.")
    ] = 30.0,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
) -> None:
    """Serve a run: drop a picture on a web page, or POST it to /v1/predict.

    The page tells the most probable classes, what each network alone would have said, where it saw
    evidence, and the fusion map with the strengths for this picture. /openapi.json describes the
    REST endpoint, /metrics is for Prometheus. SIGTERM and Ctrl-C end it when all is answered.

    Example: convgraft serve runs/x --port 8000
    """
    _check_installed()
    from convgraft.serve.access import access_for
    from convgraft.serve.app import create_app
    from convgraft.serve.limits import MEBIBYTE, Limits
    from convgraft.serve.served import open_served
    from convgraft.serve.server import address, bind, run_server
    from convgraft.serve.service import Service

    access = access_for(host, token)
    listening = bind(host, port)
    limits = Limits(
        body=max_mebibytes * MEBIBYTE,
        held=max(Limits.held, 2 * max_mebibytes * MEBIBYTE),
        pixels=max_pixels,
        images=max_images,
        waiting=max(Limits.waiting, max_images),
        batch=batch_size,
        answer=timeout,
    )
    with listening:
        served = open_served(run, engine=engine, threads=threads, trust_python=trust_python)
        app = create_app(Service(served, limits), access)
        where = address(host, listening.getsockname()[1])
        run_server(app, listening, limits, lambda: _tell(where, run, open_it))
    say("stopped")


def _check_installed() -> None:
    """Raise UsageError where the packages of the extra `serve` are not there."""
    from importlib.util import find_spec

    from convgraft.errors import UsageError

    missing = [name for name, modules in NEEDED.items() if not any(map(find_spec, modules))]
    if missing:
        raise UsageError(
            f"serve needs {', '.join(missing)}, which is not installed",
            hint="pip install 'convgraft[serve]'",
        )


def _tell(where: str, run: Path, open_it: bool) -> None:
    say(f"{run} is served at {where} (Ctrl-C stops it)")
    if open_it:
        import webbrowser

        webbrowser.open(where)
