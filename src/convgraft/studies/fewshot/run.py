"""Run a few-shot evaluation: every arm under every head on the same episodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from convgraft.studies.fewshot.episodes import Episodes, draw_episodes
from convgraft.studies.fewshot.features import FrozenFeatures
from convgraft.studies.fewshot.heads import HEADS
from convgraft.studies.fewshot.kernel import EpisodeKernel
from convgraft.studies.fewshot.results import JOIN, VOTE, Score
from convgraft.studies.fewshot.rules import Rules
from convgraft.studies.search.features import Report

IMAGES_AT_ONCE = 4000  # whose features are gathered: some ten megabytes for each network


def run_fewshot(features: FrozenFeatures, rules: Rules, report: Report) -> list[Score]:
    """The accuracies of every network, of their joined features and of their vote.

    Ordered by head, then by shots, networks first. With one network there is nothing to join.

    Args:
        report: called with (what, done, total), where estimates of the time left come from.
    """
    episodes = draw_episodes(
        features.labels,
        ways=rules.ways,
        shots=max(rules.shots),
        queries=rules.queries,
        count=rules.episodes,
        seed=rules.seed,
    )
    found: dict[tuple[str, int, str], list[Tensor]] = defaultdict(list)
    done = 0
    for chunk in episodes.chunks(max(1, IMAGES_AT_ONCE // episodes.images_each)):
        for shots in rules.shots:
            few = chunk.with_shots(shots)
            for head, arm, correct in _accuracies(features.values, few, rules.heads):
                found[head, shots, arm].append(correct)
        done += len(chunk)
        report("episodes", done, len(episodes))
    scores = [Score(*key, torch.cat(parts).numpy()) for key, parts in found.items()]
    return sorted(scores, key=lambda one: (rules.heads.index(one.head), one.shots))


def _accuracies(
    values: Mapping[str, Tensor], episodes: Episodes, heads: Sequence[str]
) -> Iterator[tuple[str, str, Tensor]]:
    """By head and arm, the share of queries that are recognised in each episode, float64 [E]."""
    kernels = {name: EpisodeKernel.of(one, episodes) for name, one in values.items()}
    joined = EpisodeKernel.joined(list(kernels.values()))
    for head in heads:
        answers = {name: HEADS[head](kernel) for name, kernel in kernels.items()}
        if len(kernels) > 1:
            alone = list(answers.values())
            answers[JOIN] = HEADS[head](joined)
            answers[VOTE] = torch.stack(alone).mean(0)
        for arm, answer in answers.items():
            yield head, arm, (answer.argmax(2) == joined.query_labels).double().mean(1)
