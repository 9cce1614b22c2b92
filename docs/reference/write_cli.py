"""Writes `cli.md` beside it: every command with its arguments and options, from the program itself.

python docs/reference/write_cli.py            write the page
python docs/reference/write_cli.py --check    write nothing; exit 1 where the page would change
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pages import write_or_check

from convgraft.cli.main import app

OUT = Path(__file__).with_name("cli.md")
START = """# Command line

Every command with its arguments and options. `python docs/reference/write_cli.py` writes this page
from the program itself, and a test holds that it is current. `convgraft COMMAND --help` says the
same.

Exit codes: 0 done, 1 failed or stopped, 2 wrong use. `--models A B` and `--models A --models B` are
the same.
"""


def page() -> str:
    """The whole page, in the order of `convgraft --help`."""
    parts = [START, *(_section(name, command) for name, command in commands())]
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name; groups are left out, their commands are not."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
            continue
        for last, inner in below.items():
            yield f"{name} {last}", inner


def _section(name: str, command: Any) -> str:
    shown = [part for part in command.params if not getattr(part, "hidden", False)]
    arguments = [part for part in shown if part.param_type_name == "argument"]
    options = [part for part in shown if part.param_type_name == "option"]
    usage = " ".join(["convgraft", name, *map(_placeholder, arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", "```text", usage, "```", *_told(command.help), ""]
    if arguments:
        lines += ["| argument | |", "|---|---|", *map(_argument_row, arguments), ""]
    if options:
        lines += ["| option | value | default | |", "|---|---|---|---|", *map(_option_row, options)]
    return "\n".join([*lines, ""])


def _told(text: str | None) -> Iterator[str]:
    """The help text; what it indents or gives as an example is shown as it stands."""
    for paragraph in (text or "").replace("\b", "").strip().split("\n\n"):
        lines = [line.strip() for line in paragraph.strip().splitlines()]
        if lines and lines[0].startswith("Example"):
            yield from ("", "```text", *lines, "```")
        else:
            yield from ("", *(f"{_text(line)}<br>" for line in lines[:-1]), _text(lines[-1]))


def _placeholder(part: Any) -> str:
    name = (part.metavar or part.name.upper()).strip("{}[]")
    return name if part.required else f"[{name}]"


def _argument_row(part: Any) -> str:
    return f"| `{_placeholder(part)}` | {_text(part.help)} |"


def _option_row(part: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*part.opts, *part.secondary_opts))
    needed = "(needed)" if part.required else _default(part)
    return f"| {names} | {_value(part)} | {needed} | {_text(part.help)} |"


def _value(part: Any) -> str:
    if part.is_flag:
        return ""
    told = part.metavar or part.display_type(None).strip("<>").removesuffix(" range")
    return f"`{_cell(told)}`"


def _default(part: Any) -> str:
    default = part.default
    if part.is_flag or default is None or default == () or callable(default):
        return ""
    told = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
    return f"`{told}`" if told else ""


def _text(text: str | None) -> str:
    """Help as Markdown shows it: no mark-up in it, no row broken."""
    plain = (text or "").replace("\\[", "[")  # Rich's way to write a bracket
    return _cell(plain).replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(write_or_check({OUT: page()}))
