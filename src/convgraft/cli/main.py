"""`convgraft`: the commands, and what the user sees when something goes wrong.

Exit codes: 0 done, 1 failed, 2 wrong use.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import typer

from convgraft import __version__
from convgraft.cli import (
    cache,
    compare,
    completion,
    demo,
    doctor,
    ensemble,
    evaluate,
    explain,
    export,
    fewshot,
    fit,
    hub,
    init,
    launch,
    match,
    optimize,
    predict,
    profile,
    rank_words,
    report,
    reproduce,
    search,
    serve,
    study,
    taps,
)
from convgraft.cli.help_text import help_of
from convgraft.cli.jobs import with_ray
from convgraft.cli.recorded_command import typed
from convgraft.errors import ConvgraftError

app = typer.Typer(
    name="convgraft",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "First steps": {
        "demo": demo.demo,
        "doctor": doctor.doctor,
        "init": init.init,
    },
    "Combine": {
        "fit": fit.fit,
        "ensemble": ensemble.ensemble,
        "search": search.search,
    },
    "Look into": {
        "taps": taps.taps,
        "explain": explain.explain,
        "match": match.match,
        "profile": profile.profile,
        "report": report.report,
    },
    "Use": {
        "predict": predict.predict,
        "evaluate": evaluate.evaluate,
        "export": export.export,
        "serve": serve.serve,
        "optimize": optimize.optimize,
        "push": hub.push,
        "pull": hub.pull,
    },
    "Compare": {
        "compare": compare.compare,
        "study": study.study,
        "fewshot": fewshot.fewshot,
        "reproduce": reproduce.reproduce,
    },
}
for _panel, _commands in PANELS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel, help=help_of(_command))(_command)
app.add_typer(cache.app, name="cache", rich_help_panel="Use")

INTERRUPTED = 130  # what Typer makes of Ctrl-C
GOES_ON = [[name] for name in ("demo", "fit", "compare", "study", "search", "reproduce", "predict")]
AGAIN = "; the same command goes on from there"
MANY_VALUED = ("--models", "--target", "--limits", "--only", "--vote", "--logger")
MANY_VALUED_IN = {  # options that take one value, or none, in other commands
    "study": ("--epochs",),
    "compare": ("--epochs", "--strategies", "--baselines"),
    "reproduce": ("--rows",),
}


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"convgraft {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Combine CNN image classifiers into one better network.

    Begin with convgraft demo, which needs no data and no network. Then
    convgraft init PICTURES/ looks at your own and writes a study for them.
    convgraft COMMAND --help has an example.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors become one clear message and an exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if completion.is_asked():
        completion.spread_line(os.environ, spread_values)
    try:
        with typed(given), launch.given(given), _sigterm_stops():
            _run(with_ray(spread_values(given)))
    except ConvgraftError as error:
        if (before := rank_words.prefix()) is not None:
            _complain(f"{before}error: {error}")
        _leave(rank_words.ended(error.exit_code))
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:
            raise
        if not rank_words.is_silent():
            _complain("stopped" + AGAIN * (given[:1] in GOES_ON))
        _leave(1)
    except BrokenPipeError:
        _leave(1)
    except (MemoryError, RuntimeError) as error:
        if words := rank_words.lost(error):
            _complain(words)
        else:
            _tell_no_memory(error)
        _leave(1)
    except OSError as error:
        _complain(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "))
        _complain("  try: the same command again, when that is mended; it goes on where it stopped")
        _leave(1)


def _run(arguments: Sequence[str]) -> None:
    """Run a command; where it is one of several processes, to the end of all of them."""
    try:
        app(arguments, standalone_mode=True)
    except SystemExit as ended:
        if not ended.code and rank_words.part():
            _end_at_once(0)
        raise


def _leave(code: int) -> NoReturn:
    """End the command, which has said why, with this exit code."""
    if rank_words.is_one_of_many():
        _end_at_once(code)
    sys.exit(code)


def _end_at_once(code: int) -> NoReturn:
    """End this process, whose work is over, without taking the interpreter apart.

    Threads of gloo may still hold tensors; one that lets go of them then aborts the process.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


@contextmanager
def _sigterm_stops() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: what it was at ends in good order, with a word."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _tell_no_memory(error: Exception) -> None:
    """Say that memory ran out; raises the error again where it is about something else."""
    from convgraft.cache.out_of_memory import is_out_of_memory

    if not is_out_of_memory(error):
        raise error
    _complain("error: there is not enough memory")
    _complain(f"  found: {' '.join(str(error).split())[:300] or type(error).__name__}")
    _complain("  try: a smaller --batch-size or --image-size, or fewer --workers")


def _complain(text: str) -> None:
    from convgraft.plan.shown import shown

    typer.echo(shown(text, len(text)), err=True)


def spread_values(arguments: Sequence[str]) -> list[str]:
    """`--models A B` as `--models A --models B`, which is what the parser below understands.

    >>> spread_values(["fit", "DATA", "--models", "A", "B", "--out", "R"])
    ['fit', 'DATA', '--models', 'A', '--models', 'B', '--out', 'R']
    """
    spread: list[str] = []
    option = None
    known = (*MANY_VALUED, *MANY_VALUED_IN.get(next(iter(arguments), ""), ()))
    for argument in arguments:
        if argument in known:
            option = argument
        elif argument.startswith("-"):
            option = None
            spread.append(argument)
        else:
            spread += [option, argument] if option else [argument]
    return spread


if __name__ == "__main__":
    main()
