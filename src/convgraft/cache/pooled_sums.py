"""Means of summands worked out from the mean of their sum, so that the sum need not wait for them.

Where a residual branch and the sum that it goes into are both pooled, the branch as a map is read
twice: the convolution that makes it cannot take in the sum. Means add up as maps do, so the mean of
the branch is that of the sum less that of the other summand.
"""

from __future__ import annotations

import operator

import torch
from torch import fx

from convgraft.cache.pooled import is_pooled

_ADDS = (operator.add, torch.add)


def pool_by_sums(network: fx.GraphModule) -> int:
    """Rewrite the pooled branches of pooled sums; says how many.

    Values are the same within rounding: what the means of sum and other summand lose to it.
    """
    means = {node.all_input_nodes[0]: node for node in network.graph.nodes if is_pooled(node)}
    found = [mean for mean in means.values() if _by_sum(mean, means, network.graph)]
    for mean in found:
        network.graph.erase_node(mean)
    network.graph.lint()
    network.recompile()
    return len(found)


def _by_sum(mean: fx.Node, means: dict[fx.Node, fx.Node], graph: fx.Graph) -> bool:
    """Whether a mean could be replaced; it is then read by nobody."""
    branch = mean.all_input_nodes[0]
    total = next((user for user in branch.users if _adds_up(user)), None)
    if total is None or len(branch.users) != 2 or total not in means:
        return False
    other = next(part for part in total.all_input_nodes if part is not branch)
    if other not in means or other.op == "placeholder":
        return False
    with graph.inserting_after(means[total]):
        difference = graph.call_function(operator.sub, (means[total], means[other]))
    mean.replace_all_uses_with(difference)
    return True


def _adds_up(node: fx.Node) -> bool:
    return node.target in _ADDS and not node.kwargs and len(node.all_input_nodes) == 2
