"""What convgraft's own code never does: unpickle, run text, or unpack what strangers send.

The code is looked at as a tree, not as text, and names are followed through imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from campaign import Trial

SOURCE = Path(__file__).parents[2] / "src" / "convgraft"
UNPICKLES, IMPORTS = "unpickles", "imports what a text names"
PICKLES = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
CALLS: Mapping[str, str] = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__"), "runs text"),
    **dict.fromkeys(("os.system", "os.popen", "subprocess.getoutput"), "runs a shell"),
    **dict.fromkeys(("yaml.unsafe_load", "yaml.full_load", "yaml.load_all"), "reads YAML tags"),
    **dict.fromkeys(("torch.jit.load", "torch.export.load", "torch.hub.load"), UNPICKLES),
    **dict.fromkeys(("importlib.import_module", "pkgutil.resolve_name", "runpy.run_path"), IMPORTS),
    "tempfile.mktemp": "names a file that another may make first",
}
YAML = ("yaml.load", "yaml.parse", "yaml.compose", "yaml.scan", "yaml.compose_all")
SAFE = ("yaml.SafeLoader", "yaml.CSafeLoader")
_IMPORTED = f"importlib.import_module {IMPORTS}"
# (file, what): why it is right there
EXPLAINED: Mapping[tuple[str, str], str] = {
    ("__init__.py", _IMPORTED): "the text is one of a table there",
    ("export/hub/extra.py", _IMPORTED): "the text is one of its caller's",
    ("export/program.py", f"torch.export.load {UNPICKLES}"): "of a copy that program_archive made",
    ("sources/registry.py", _IMPORTED): "a python: source, which the user typed or trusts",
    ("training/loggers.py", _IMPORTED): "a logger that the user typed",
}


def files() -> tuple[Path, ...]:
    """All of convgraft's own code."""
    return tuple(sorted(SOURCE.rglob("*.py")))


def call_trials(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """A trial for each file; the last one: whether all exceptions are still needed."""
    found = {_name(path): dangers(path.read_text()) for path in files()}
    trials = [
        Trial(f"file {name}", ", ".join(it for it in its if (name, _what(it)) not in EXPLAINED))
        for name, its in found.items()
    ]
    met = {(name, _what(it)) for name, its in found.items() for it in its}
    idle = sorted(str(one) for one in EXPLAINED.keys() - met)
    trials.append(Trial("exceptions", f"not needed: {', '.join(idle)}" if idle else ""))
    yield from trials[first:count]


def dangers(code: str) -> list[str]:
    """What code does that it must not, as `what (line N)`.

    >>> dangers("from pickle import loads as read")
    ['imports pickle (line 1)']
    >>> dangers("import torch as t; t.load(path)")
    ['torch.load without weights_only=True (line 1)']
    """
    tree = ast.parse(code)
    names = _imported(tree)
    told = [
        f"{what} (line {getattr(node, 'lineno', 0)})"
        for node in ast.walk(tree)
        for what in (*_of_import(node), *_of_call(node, names))
    ]
    return sorted(told)


def _of_import(node: ast.AST) -> Iterator[str]:
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
    for module in modules:
        if module.partition(".")[0] in PICKLES:
            yield f"imports {module}"


def _of_call(node: ast.AST, names: Mapping[str, str]) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    called = _dotted(node.func, names)
    given = {word.arg: word.value for word in node.keywords if word.arg}
    if called in CALLS:
        yield f"{called} {CALLS[called]}"
    if called == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if called in YAML and _dotted(given.get("Loader"), names) not in SAFE:
        yield f"{called} without a safe loader"
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("extractall", "unpack_archive"):
        yield f"{node.func.attr} writes where an archive says"
    for word, right in (("shell", False), ("trust_remote_code", False), ("allow_pickle", False)):
        if word in given and not _is(given[word], right):
            yield f"{word} is not {right}"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _imported(tree: ast.AST) -> dict[str, str]:
    """What names stand for: `t` for `torch` after `import torch as t`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return names


def _dotted(node: ast.expr | None, names: Mapping[str, str]) -> str:
    """`torch.load` of the expression that means it; empty where it is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, names)):
        return f"{owner}.{node.attr}"
    return ""


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _what(told: str) -> str:
    return told.rpartition(" (line")[0]
