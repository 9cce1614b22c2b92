"""`convgraft push RUN REPO_ID` and `convgraft pull REPO_ID`: the Hugging Face Hub."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convgraft.cli.console import print_table, say

if TYPE_CHECKING:
    from convgraft.export.hub.folder import HubFolder

SHOWN = 12  # lines of what was changed

Repo = Annotated[str, typer.Argument(metavar="REPO_ID", help="OWNER/NAME on the Hub.")]


def push(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    repo_id: Repo,
    private: Annotated[bool, typer.Option("--private", help="Make a private repository.")] = False,
    revision: Annotated[str | None, typer.Option(help="A branch; main by default.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    license: Annotated[str | None, typer.Option(help="The Hub's id of it: apache-2.0.")] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="An image set on the Hub; repeatable.")
    ] = None,
    with_split: Annotated[
        bool, typer.Option("--with-split", help="Send split.csv, which names your files.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep what is sent in a new folder.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
    ] = False,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
) -> None:
    """Send a run to the Hugging Face Hub, with a model card. Places of this machine stay here.

    Example: convgraft push runs/x ann/pets --license apache-2.0 --dry-run
    """
    from convgraft.export.hub.card import CardOptions
    from convgraft.export.hub.folder import hub_folder
    from convgraft.export.hub.transfer import check_login
    from convgraft.export.hub.transfer import push as send

    card = CardOptions(repo_id.rpartition("/")[2], repo_id, license, tuple(dataset or ()))
    card.check()
    if not dry_run:
        check_login()
    with tempfile.TemporaryDirectory(prefix="convgraft-") as above:
        folder = hub_folder(
            run,
            out or Path(above) / "hub",
            card=card,
            with_split=with_split,
            trust_python=trust_python,
        )
        _print_sizes(f"{'would be sent' if dry_run else 'to be sent'} to {repo_id}", folder.files)
        _say_notes(folder)
        if dry_run:
            say("nothing was sent")
        else:
            print(send(folder.path, repo_id, private=private, revision=revision, message=message))
    if out:
        say(f"kept in {out}")


def pull(
    repo_id: Repo,
    revision: Annotated[
        str | None, typer.Option(help="A branch, tag or commit; main by default.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A new folder; runs/NAME by default.")
    ] = None,
) -> None:
    """Fetch a run from the Hugging Face Hub. It is checked before it is put in place.

    Example: convgraft pull ann/pets --out runs/pets
    """
    from convgraft.export.hub.transfer import pull as fetch

    folder = out or Path("runs") / repo_id.rpartition("/")[2]
    pulled = fetch(repo_id, folder, revision=revision)
    _print_sizes(f"{repo_id} at {pulled.commit[:12]}", pulled.files)
    if pulled.ignored:
        say(f"not fetched, as convgraft does not use it: {_some(pulled.ignored)}")
    code = [ref.network for _, ref in pulled.plan.all_sources() if ref.plan is None]
    if any(network.strip().startswith("python:") for network in code):
        say("it imports Python code of its own: loading it needs --trust-python")
    say(f"written to {folder}; next: convgraft predict {shlex.quote(str(folder))} IMAGE")


def _print_sizes(title: str, files: Mapping[str, int]) -> None:
    rows = [(name, f"{size:,}") for name, size in files.items()]
    print_table(title, ("file", "bytes"), [*rows, ("all", f"{sum(files.values()):,}")])


def _say_notes(folder: HubFolder) -> None:
    for line in folder.changed[:SHOWN]:
        say(f"changed: {line}")
    if len(folder.changed) > SHOWN:
        say(f"changed: {len(folder.changed) - SHOWN} more places")
    if folder.left_out:
        say(f"left out: {_some(folder.left_out, 100)}")


def _some(names: tuple[str, ...], count: int = 5) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" * (len(names) > count))
