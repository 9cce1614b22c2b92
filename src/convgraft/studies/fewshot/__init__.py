"""Few-shot: how well a handful of images of each class teaches a head on frozen networks."""

from convgraft.studies.fewshot.episodes import Episodes, check_enough, draw_episodes
from convgraft.studies.fewshot.features import FrozenFeatures, frozen_features, whole_set
from convgraft.studies.fewshot.heads import HEADS
from convgraft.studies.fewshot.kernel import EpisodeKernel
from convgraft.studies.fewshot.results import JOIN, VOTE, Difference, Score, differences
from convgraft.studies.fewshot.rules import Rules
from convgraft.studies.fewshot.run import run_fewshot

__all__ = [
    "HEADS",
    "JOIN",
    "VOTE",
    "Difference",
    "EpisodeKernel",
    "Episodes",
    "FrozenFeatures",
    "Rules",
    "Score",
    "check_enough",
    "differences",
    "draw_episodes",
    "frozen_features",
    "run_fewshot",
    "whole_set",
]
