"""Settings and code as text: the same in every process where they are, another where they are not.

Of what a library has brought the name is told, as its version is part of the keys. Of other code
the instructions are told that Python has loaded, whatever the file says by now: those of a class
and of its bases, of every function that they name, and the constants beside them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

_KNOWN = ("torch", "torchvision", "timm", "convgraft", "numpy", "builtins", "_operator", "math")
_OF_ANY_MODULE = frozenset(vars(nn.Module()))  # weights and hooks; `training`, as parts are held
_OF_ANY_CLASS = frozenset(vars(type("Empty", (), {}))) | {
    *("__annotations__", "__firstlineno__", "__static_attributes__", "__slots__", "_abc_impl"),
    *("__abstractmethods__", "__annotate__", "__annotate_func__", "__classcell__"),
}
_SIMPLE = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.memory_format)


class Teller:
    """Tells values; what is met again is told by its name, so that circles end."""

    def __init__(self, digest: Callable[[nn.Module | Tensor, Teller], str]) -> None:
        """`digest` tells about tensors and networks among the settings."""
        self._digest = digest
        self._met: set[int] = set()

    def settings(self, module: nn.Module) -> str:
        """A module's kind, code, and what it was built with."""
        if isinstance(module, fx.GraphModule):
            return f"graph {module.code}"
        own = {name: v for name, v in vars(module).items() if name not in _OF_ANY_MODULE}
        return f"{self.tell(type(module))} {self._pairs(own)}"

    def tell(self, value: Any) -> str:
        """A value as text."""
        if value is None or value is ... or isinstance(value, _SIMPLE):
            name = f"{type(value).__qualname__}." if isinstance(value, Enum) else ""
            return f"{name}{value!r}"
        if isinstance(value, (set, frozenset)):
            return f"{{{', '.join(sorted(map(self.tell, value)))}}}"
        if isinstance(value, (list, tuple)):
            return f"{type(value).__name__}[{', '.join(map(self.tell, value))}]"
        if isinstance(value, np.ndarray):
            return f"array {value.dtype} {value.shape} {value.tobytes().hex()}"
        if isinstance(value, (Tensor, nn.Module)):
            return self._once(value, lambda: self._digest(value, self))
        if isinstance(value, slice):
            return f"slice {self.tell([value.start, value.stop, value.step])}"
        if isinstance(value, Mapping):
            pairs = [list(pair) for pair in value.items()]
            return self._once(value, lambda: self.tell(pairs))
        if isinstance(value, (FunctionType, type)):
            return self._once(value, lambda: self._code(value))
        return self._once(value, lambda: self._object(value))

    def _pairs(self, pairs: Mapping[Any, Any]) -> str:
        told = sorted((self.tell(key), self.tell(value)) for key, value in pairs.items())
        return ", ".join(f"{key}: {value}" for key, value in told)

    def _once(self, value: Any, told: Callable[[], str]) -> str:
        name = getattr(value, "__qualname__", type(value).__qualname__)
        if id(value) in self._met:
            return f"again {name}"
        self._met.add(id(value))
        try:
            return told()
        finally:
            self._met.discard(id(value))

    def _object(self, value: Any) -> str:
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, MethodType):
            return f"{self.tell(value.__func__)} of {self.tell(value.__self__)}"
        if isinstance(value, functools.partial):
            return f"partial {self.tell([value.func, value.args, value.keywords])}"
        if isinstance(value, Enum):
            return f"{type(value).__qualname__}.{value.name}"
        if isinstance(value, BuiltinFunctionType) or not hasattr(value, "__dict__"):
            name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
            where = getattr(value, "__module__", None)
            return f"{type(value).__qualname__} {where}.{name}"
        held = vars(value)
        if dataclasses.is_dataclass(value):
            held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return f"{self.tell(type(value))} {self._pairs(held)}"

    def _code(self, made: type | FunctionType) -> str:
        name = f"{made.__module__}.{made.__qualname__}"
        if _is_known(made):
            return name
        if isinstance(made, FunctionType):
            return f"{name} {self._function(made)}"
        own: list[str] = []
        for kind in made.__mro__:
            parts = {n: v for n, v in vars(kind).items() if n not in _OF_ANY_CLASS}
            own.append(kind.__qualname__ if _is_known(kind) else self._pairs(parts))
        return f"{name} {own}"

    def _function(self, function: FunctionType) -> str:
        names = set(_names(function.__code__))
        around = {n: v for n, v in function.__globals__.items() if n in names}
        for module in [v for v in around.values() if isinstance(v, ModuleType)]:
            if module.__name__.split(".")[0] not in _KNOWN:
                around |= {
                    f"{module.__name__}.{n}": v for n, v in vars(module).items() if n in names
                }
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        beside = [function.__defaults__, function.__kwdefaults__, cells]
        return f"{self._instructions(function.__code__)} {self.tell(beside)} {self._pairs(around)}"

    def _instructions(self, code: CodeType) -> str:
        inner = [
            self._instructions(constant) if isinstance(constant, CodeType) else self.tell(constant)
            for constant in code.co_consts
        ]
        return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars} {inner}"


def _is_known(made: type | FunctionType) -> bool:
    return (made.__module__ or "").split(".")[0] in _KNOWN


def _names(code: CodeType) -> Iterable[str]:
    """Of everything that code and the functions in it name: globals, and attributes too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
