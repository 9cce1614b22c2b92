"""What is wrong with one head of a plan."""

from __future__ import annotations

from collections.abc import Mapping

from convgraft.compose.check_refs import Refs
from convgraft.errors import Problem, near_miss
from convgraft.layers import FUSIONS, HEADS
from convgraft.plan import Head, TapRef
from convgraft.plan.values import HEADS_OWNER
from convgraft.sources.weights import MAX_CLASSES


class HeadCheck(Refs):
    """Its kind, its inputs, its fusion, and whether votes get the same classes from all."""

    def check(self, head: Head, earlier: tuple[Head, ...]) -> list[Problem]:
        """The problems of a head, given those before it in the plan."""
        if any(other.name == head.name for other in earlier):
            self.complain("two heads have this name")
        if not head.inputs:
            self.complain("a head needs at least one input")
        if self.one_of("head", head.kind, list(HEADS)):
            self._check_kind(head)
            self._check_fusion(head)
        widths = {str(ref): self._width(ref, earlier) for ref in head.inputs}
        if head.kind in HEADS and HEADS[head.kind].takes == "logits":
            self._check_logits(head, {ref: width for ref, width in widths.items() if width})
        return self.problems

    def _check_kind(self, head: Head) -> None:
        kind = HEADS[head.kind]
        if kind.learns and not 2 <= (head.classes or 0) <= MAX_CLASSES:
            self.complain(
                f"a {head.kind} head needs its number of classes",
                expected=f"2 to {MAX_CLASSES:,}",
                found=str(head.classes),
            )
        if kind.takes == "any" and head.classes is not None:
            self.complain(f"a {head.kind} head has no classes", found=str(head.classes))
        if len(head.inputs) > 1 and not kind.many:
            self.complain(f"a {head.kind} head takes one input", found=str(len(head.inputs)))
        if head.hidden and not kind.hidden:
            self.complain(f"a {head.kind} head has no hidden layers", hint="kind: mlp")
        if kind.hidden and not all(1 <= width <= MAX_CLASSES for width in head.hidden or (0,)):
            self.complain(
                f"a {head.kind} head needs widths of hidden layers",
                expected=f"1 to {MAX_CLASSES:,} each",
                found=", ".join(map(str, head.hidden)) or "none",
                hint="hidden: [256]",
            )
        if head.dropout and (head.kind == "ridge" or not kind.learns):
            self.complain(f"a {head.kind} head has no dropout", hint="kind: linear")
        if not 0 <= head.dropout < 1:
            self.complain("dropout is a share from 0 to 1", found=str(head.dropout))

    def _check_fusion(self, head: Head) -> None:
        if not self.one_of("fusion", head.fusion, list(FUSIONS)):
            return
        if head.fusion != "concat" and not HEADS[head.kind].fuses:
            takers = [kind for kind, row in HEADS.items() if row.fuses]
            self.complain(
                f"a {head.kind} head takes no fusion",
                expected=f"a head of kind {' or '.join(takers)}, or no fusion",
                found=head.fusion,
            )
        elif 0 < len(head.inputs) < FUSIONS[head.fusion].least:
            self.complain(
                f"a {head.fusion} fusion joins several inputs",
                expected=f"{FUSIONS[head.fusion].least} or more",
                found=str(len(head.inputs)),
                hint="fusion: concat",
            )

    def _width(self, ref: TapRef, earlier: tuple[Head, ...]) -> int | None:
        """Length of the vector that an input is; None where unknown or where it is a map."""
        if ref.source != HEADS_OWNER:
            tap = self.find(ref)
            return tap.shape[0] if tap and not tap.is_map else None
        names = [head.name for head in earlier]
        if ref.tap not in names:
            self.complain(
                f'no head before this one is called "{ref.tap}"', hint=near_miss(ref.tap, names)
            )
            return None
        place = names.index(ref.tap)
        found = earlier[place]
        if found.classes or not found.inputs:
            return found.classes
        return self._width(found.inputs[0], earlier[:place])

    def _check_logits(self, head: Head, widths: Mapping[str, int]) -> None:
        maps = [str(ref) for ref in head.inputs if str(ref) not in widths]
        if maps and not self.problems:
            self.complain(
                f"a {head.kind} head takes logits, one number per class", found=f"{maps[0]}, a map"
            )
        if len(set(widths.values())) > 1:
            found = ", ".join(f"{ref}: {width}" for ref, width in widths.items())
            self.complain("the inputs answer different numbers of classes", found=found)
        if head.classes and any(width != head.classes for width in widths.values()):
            self.complain(
                "the inputs answer another number of classes",
                expected=str(head.classes),
                found=str(widths),
            )
