"""Co-learning: a head on every source, a fused head over all their taps, and all of them teach
each other.

The loss is the sum of their task losses, and of every head's divergence from the mean prediction of
all (deep mutual learning, Zhang et al. 2018; one-network ensembles, Lan et al. 2018). The answer is
the fused head's or the mean of all heads, whichever is better on the validation part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convgraft.errors import UsageError
from convgraft.plan import Head, Plan, TapRef
from convgraft.plan.values import HEADS_OWNER, LEARNED_HEADS
from convgraft.strategies.ingredients import Ingredients
from convgraft.strategies.recipe import Recipe
from convgraft.training import Loss, Objective, Term

FUSED, MEAN = "label", "mean"
REPLACED = ("linear", "mlp", "average")  # kinds of heads that co-learning stands in for


def co_learning(recipe: Recipe, given: Ingredients) -> Recipe:
    """The plan's wires as they are, under these heads instead of its own."""
    plan = recipe.plan
    networks = [ref for ref in plan.sources if not ref.network.startswith("filters/")]
    names = [ref.name for ref in networks if ref.name in given.sources]
    _refuse_other_heads(plan, given)
    if len(names) < 2:
        raise UsageError("networks learn from each other", expected="two or more", found="one")
    if others := sorted({head.column for head in plan.heads} - {""}):
        raise UsageError(
            "co-learning is about one label column",
            found=f"answers about {', '.join(others)} too",
            hint="--loss task",
        )
    own = [_head(given, name, _free(name, plan), [given.features(name)]) for name in names]
    taps = [ref for name in names for ref in given.side_taps(name)]
    fused = _like_the_plans(plan, _head(given, FUSED, FUSED, taps))
    heads = (*own, fused)
    voters = tuple(TapRef(HEADS_OWNER, head.name) for head in heads)
    mean = Head(MEAN, "average", voters)
    learned = tuple(head.name for head in heads)
    terms = (*(Term("task", (name,)) for name in learned), Term("mutual", learned))
    loss = Loss("co-learning", (Objective(terms),), judged=(FUSED, MEAN), pick=True)
    return replace(recipe, plan=replace(plan, heads=(*heads, mean)), loss=loss)


def _refuse_other_heads(plan: Plan, given: Ingredients) -> None:
    """Co-learning puts its own heads on whole networks; a plan's special ones would be lost."""
    special = [h for h in plan.heads if h.fusion != "concat" or h.kind not in REPLACED]
    if special:
        raise UsageError(
            f'co-learning puts its own heads in place of "{special[0].name}"',
            expected="a plan whose heads are linear, mlp or their average",
            found=f"{special[0].kind}, fusion {special[0].fusion}",
        )
    cut = [w for w in plan.wires if w.join == "replace" and w.target.tap != "input"]
    if cut:
        raise UsageError(
            "co-learning is between whole networks",
            found=f"a wire that cuts {cut[0].target.source} at {cut[0].target.tap}",
            hint="--loss task",
        )


def _free(name: str, plan: Plan) -> str:
    return f"{name}_" if name in (FUSED, MEAN) else name


def _head(given: Ingredients, source: str, name: str, taps: Sequence[TapRef]) -> Head:
    head = given.dense_head(name, taps)
    return head if source == FUSED else replace(head, kind="linear", hidden=())


def _like_the_plans(plan: Plan, head: Head) -> Head:
    """The hidden layers and dropout of the plan's own answer, where it learns."""
    own = next((h for h in reversed(plan.heads) if h.kind in LEARNED_HEADS), None)
    if own is None or own.kind == "side":
        return head
    return replace(head, kind=own.kind, hidden=own.hidden, dropout=own.dropout)
