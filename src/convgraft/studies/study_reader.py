"""What stands in a study file, value by value; all problems are told together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from convgraft.data import AUGMENTATIONS
from convgraft.errors import UsageError, near_miss
from convgraft.plan.located import Located
from convgraft.strategies import source_names
from convgraft.studies.design import Design
from convgraft.studies.design_text import FORM, design_of, read_design
from convgraft.studies.seeds import SEEDS, read_seeds, some_seeds
from convgraft.studies.study import KNOWN_BASELINES
from convgraft.training import FitOptions, read_policy
from convgraft.training.options import AUTO

ALL, EVERY = "all", 0
LIMIT = "a number of training images, or all"
KEYS = (
    *("study", "question", "data", "models", "arms", "baselines", "image_size", "target"),
    *("label_map", "limits", "seeds", "epochs", "freeze", "training", "budget_seconds"),
)
TRAINING = {
    "batch_size": int, "lr": float, "weight_decay": float, "optimizer": str, "schedule": str,
    "label_smoothing": float, "augment": str, "views": int, "patience": int, "workers": int,
    "accelerator": str, "precision": str,
}  # fmt: skip
_FIELDS = {"optimizer": "optimiser"}  # as the command line spells it


class StudyReader(Located):
    """Reads a study out of YAML nodes and collects what is wrong with it."""

    def read(self, node: yaml.Node) -> dict[str, Any]:
        """The fields of a `StudyFile` that the file tells."""
        given = self.fields(node, KEYS, required=("arms",))
        counts = self.numbers(given.get("limits"), _limit, LIMIT)
        limits = tuple(count or None for count in counts)
        found = {
            "name": self.scalar(given.get("study"), str, "a name", None),
            "question": self.scalar(given.get("question"), str, "a question", None),
            "data": self.scalar(given.get("data"), str, "where the images are", None),
            "label_map": self.scalar(given.get("label_map"), str, "a file", None),
            "image_size": self.scalar(given.get("image_size"), _count, "a number of pixels", None),
            "seeds": self._seeds(given.get("seeds")),
            "target": self.numbers(given.get("target"), str, "a label column") or None,
            "freeze": self.scalar(given.get("freeze"), str, "a freeze policy", None),
            "models": self._models(given.get("models")),
            "arms": self._arms(given.get("arms")),
            "baselines": self._baselines(given.get("baselines")),
            "limits": limits or None,
            "epochs": self._epochs(given.get("epochs"), limits or (None,)),
            "options": self._options(given.get("training"), given.get("budget_seconds")),
        }
        if found["freeze"]:
            self._judged(given["freeze"], read_policy, found["freeze"])
        return {key: value for key, value in found.items() if value is not None}

    def _judged(self, node: yaml.Node, judge: Any, *values: Any) -> Any:
        """What `judge` makes of values; what it refuses is a problem at the node."""
        try:
            return judge(*values)
        except UsageError as error:
            self.complain(
                node, error.what, expected=error.expected, found=error.found, hint=error.hint
            )
            return None

    def _seeds(self, node: yaml.Node | None) -> tuple[int, ...] | None:
        if not isinstance(node, yaml.SequenceNode):
            return self.scalar(node, read_seeds, SEEDS, None)
        found = self.numbers(node, some_seeds, "a seed")
        return tuple(dict.fromkeys(seed for some in found for seed in some)) or None

    def _models(self, node: yaml.Node | None) -> Mapping[str, str] | None:
        if node is None:
            return None
        if isinstance(node, yaml.MappingNode):
            named = {name: value for name, (_, value) in self.entries(node).items()}
        else:
            items = self.items(node)
            named = dict(zip(source_names(len(items)), items, strict=True))
        specs = {name: self.scalar(one, str, "ARCH[@WEIGHTS]", "") for name, one in named.items()}
        for name, spec in specs.items():
            if not spec and isinstance(named[name], yaml.ScalarNode):
                self.complain(named[name], "ARCH[@WEIGHTS] is expected here", found="nothing")
        return specs

    def _arms(self, node: yaml.Node | None) -> tuple[Design, ...]:
        found: dict[str, Design] = {}
        for item in self.items(node) if node is not None else []:
            design = self._arm(item)
            if design is None:
                continue
            if design.name in found:
                self.complain(item, f'two arms are called "{design.name}"', hint="name: ANOTHER")
            found[design.name] = design
        if node is not None and not found and not self.problems:
            self.complain(node, "a study has one arm or more", expected=FORM)
        return tuple(found.values())

    def _arm(self, node: yaml.Node) -> Design | None:
        if isinstance(node, yaml.ScalarNode):
            return self._judged(node, read_design, node.value)
        entries = self.entries(node)
        values = {name.replace("-", "_"): value for name, (_, value) in entries.items()}
        said = {key: ",".join(self.numbers(one, str, "a word")) for key, one in values.items()}
        strategy = said.pop("strategy", "")
        if not strategy:
            self.complain(node, '"strategy" is missing', found=", ".join(entries) or "nothing")
            return None
        return self._judged(node, design_of, strategy, said)

    def _baselines(self, node: yaml.Node | None) -> tuple[str, ...] | None:
        if node is None:
            return None
        items = self.items(node)
        words = [self.scalar(item, str, "a baseline", "") for item in items]
        for item, word in zip(items, words, strict=True):
            if word and word not in KNOWN_BASELINES:
                self.complain(
                    item,
                    f'there is no baseline called "{word}"',
                    expected=", ".join(KNOWN_BASELINES),
                    hint=near_miss(word, KNOWN_BASELINES),
                )
        return tuple(dict.fromkeys(words))

    def _epochs(
        self, node: yaml.Node | None, limits: tuple[int | None, ...]
    ) -> dict[int | None, int] | None:
        if node is None:
            return None
        wanted = "a number of epochs"
        if not isinstance(node, yaml.MappingNode):
            return dict.fromkeys(limits, self.scalar(node, _count, wanted, 1))
        found: dict[int | None, int] = {}
        for key, value in self.entries(node).values():
            limit = self.scalar(key, _limit, LIMIT, limits[0] or EVERY) or None
            if limit not in limits:
                self.complain(key, f"the limit {limit or ALL} is not among the limits")
            found[limit] = self.scalar(value, _count, wanted, 1)
        for limit in limits:
            if limit not in found:
                self.complain(node, f"no epochs are given for the limit {limit or ALL}")
        return found

    def _options(self, node: yaml.Node | None, budget: yaml.Node | None) -> dict[str, Any] | None:
        given = self.fields(node, tuple(TRAINING)) if node is not None else {}
        found: dict[str, Any] = {}
        for key, value in given.items():
            kind = TRAINING[key]
            words = {int: "a whole number", float: "a number", str: "a word"}[kind]
            read = self.scalar(value, kind, words, None)
            if read is not None and self._judged(value, _check_option, key, read):
                found[_FIELDS.get(key, key)] = read
        seconds = self.scalar(budget, float, "a number of seconds", None)
        if (
            budget is not None
            and seconds is not None
            and self._judged(budget, _check_option, "budget_seconds", seconds)
        ):
            found["budget_seconds"] = seconds
        return found


def _check_option(key: str, value: Any) -> bool:
    """True; raises UsageError where a fit cannot be run so."""
    if key == "augment" and value not in (AUTO, *AUGMENTATIONS):
        raise UsageError(
            f'there is no augmentation called "{value}"',
            expected=", ".join((AUTO, *AUGMENTATIONS)),
            hint=near_miss(value, AUGMENTATIONS),
        )
    options = {} if key == "augment" else {_FIELDS.get(key, key): value}
    return bool(FitOptions(**options))


def _limit(text: str) -> int:
    return EVERY if text == ALL else _count(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ValueError(text)
    return int(text)
