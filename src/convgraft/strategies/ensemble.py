"""Ensembles: every network answers by itself, and a vote makes one answer of theirs.

With training, every network gets a head of its own (`ensemble`); without, its own classifier
answers (`vote_plan`). Votes that are fitted (`weighted`, `stack`, `greedy`, `cascade`) get their
numbers from held-out answers, see `convgraft.training.fit_votes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convgraft.errors import UsageError, near_miss
from convgraft.layers.votes import VOTE_KINDS
from convgraft.plan import Head, Plan, TapRef
from convgraft.plan.values import HEADS_OWNER
from convgraft.strategies.ingredients import Ingredients


def ensemble(given: Ingredients) -> Plan:
    """The plan: a trained head per network, and a vote over their answers, which comes last."""
    check_votes([given.options.vote])
    heads = [given.dense_head(name, [given.features(name)]) for name in given.sources]
    vote = _vote(given, _answer_name(given.sources), given.options.vote)
    return Plan(given.image_size, given.refs, (), (*heads, vote))


def vote_plan(given: Ingredients, votes: Sequence[str] = ("average",)) -> Plan:
    """The plan of votes over the networks' own classifiers; nothing in it is trained.

    Args:
        votes: kinds of vote. The first is the plan's answer and stands last; the others are
            answers beside it, named after their kind.
    """
    check_votes(votes)
    members = [Head(name, "identity", (given.logits(name),)) for name in given.sources]
    beside = [_vote(given, kind, kind) for kind in votes[1:]]
    answer = _vote(given, _answer_name(given.sources), votes[0])
    return Plan(given.image_size, given.refs, (), (*members, *beside, answer))


def check_votes(votes: Sequence[str]) -> None:
    """Raise UsageError unless these are kinds of vote, each named once."""
    for kind in votes:
        if kind not in VOTE_KINDS:
            raise UsageError(
                f'there is no vote called "{kind}"',
                expected=", ".join(VOTE_KINDS),
                hint=near_miss(kind, VOTE_KINDS),
            )
    if not votes or len(set(votes)) < len(votes):
        raise UsageError("every vote is named once", found=", ".join(votes) or "none")


def _answer_name(names: Iterable[str]) -> str:
    return "vote" if "label" in names else "label"


def _vote(given: Ingredients, name: str, kind: str) -> Head:
    names = list(given.sources)
    if kind == "cascade":
        names.sort(key=lambda member: given.surveys[member].macs)
    return Head(name, kind, tuple(TapRef(HEADS_OWNER, member) for member in names))
