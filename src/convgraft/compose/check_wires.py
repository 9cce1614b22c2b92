"""What is wrong with one wire of a plan."""

from __future__ import annotations

from convgraft.compose.check_refs import Refs
from convgraft.errors import Problem
from convgraft.layers import ADAPTERS, JOINS
from convgraft.plan import TapRef, Wire
from convgraft.sources import Tap


class WireCheck(Refs):
    """Its taps, its join, its adapter, and whether another wire does the same."""

    def check(self, wire: Wire, earlier: tuple[Wire, ...]) -> list[Problem]:
        """The problems of a wire, given those before it in the plan."""
        target = self.find(wire.target)
        inputs = [self.find(ref) for ref in wire.inputs]
        if not wire.inputs:
            self.complain("a wire starts from at least one tap")
        if self.one_of("adapter", wire.adapter, list(ADAPTERS)) and self.one_of(
            "join", wire.join, list(JOINS)
        ):
            self._check_join(wire)
            for ref, tap in zip(wire.inputs, inputs, strict=True):
                if tap and target:
                    self._check_shapes(wire, ref, tap, target)
        known = {(self._own(ref), self._own(w.target)) for w in earlier for ref in w.inputs}
        places = [self._own(ref) for ref in wire.inputs]
        for place in sorted({place for place in places if places.count(place) > 1}):
            self.complain("the wire starts from one tap twice", found=":".join(place))
        for ref in wire.inputs:
            if self._own(ref) == self._own(wire.target):
                self.complain("the wire ends where it starts")
            if (self._own(ref), self._own(wire.target)) in known:
                self.complain("another wire does the same already")
        return self.problems

    def _own(self, ref: TapRef) -> tuple[str, str]:
        """A tap under the one name that all its names stand for."""
        survey = self.surveys.get(ref.source)
        tap = survey.find(ref.tap) if survey else None
        return ref.source, tap.name if tap else ref.tap

    def _check_join(self, wire: Wire) -> None:
        kind = JOINS[wire.join]
        if wire.start not in kind.starts:
            self.complain(
                f'a {wire.join} wire cannot start at "{wire.start}"',
                expected=" or ".join(f"start: {start}" for start in kind.starts),
            )
        if len(wire.inputs) > 1 and not kind.many:
            self.complain(f"a {wire.join} wire takes one tap", found=f"{len(wire.inputs)} taps")

    def _check_shapes(self, wire: Wire, ref: TapRef, tap: Tap, target: Tap) -> None:
        free = JOINS[wire.join].any_channels
        if ADAPTERS[wire.adapter].changes_channels or free or tap.shape[0] == target.shape[0]:
            return
        self.complain(
            "an identity adapter cannot change the number of channels",
            expected=f"{wire.target} takes {list(target.shape)}",
            found=f"{ref} gives {list(tap.shape)}",
            hint="adapter: conv1x1",
        )
