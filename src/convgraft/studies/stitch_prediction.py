"""What a stitch is predicted to cost in accuracy, without a gradient step.

The adapter is filled in from the closed form, and the stitch answers the images that were held out
when it was solved for. The network that gives the back answers the same images alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose, cost
from convgraft.match import Matching
from convgraft.match.matching import HELD_OUT
from convgraft.match.stitches import Stitch
from convgraft.plan import Head, Plan, TapRef, Wire
from convgraft.sources import Tap
from convgraft.strategies import Ingredients
from convgraft.training.closed_form import NORM_EPSILON, Kernel, solve, weights_of
from convgraft.training.ridge_start import linear_part

ANSWER = "answer"
BATCH = 128
ABOVE_CHANCE = 3.0  # standard deviations
MOST_IMAGES = 1000  # that a penalty is chosen on; its cost grows by the cube


@dataclass(frozen=True)
class StitchPrediction:
    """One stitch, and what it is predicted to be worth.

    Attributes:
        front, back: names of the sources.
        here, there: the tap of the front that is read, the tap of the back that is replaced.
        r2: held-out share of the replaced value's variance that the adapter explains.
        classifier: `own` (the back's) or `ridge` (in closed form on the back's features).
        alone, stitched: top-1 of the back alone and of the stitch, 0 to 1.
        images: held-out images with a label that both answered.
        macs: of the stitch, per image.
    """

    front: str
    back: str
    here: Tap
    there: Tap
    r2: float
    classifier: str
    alone: float
    stitched: float
    images: int
    macs: int

    @property
    def points(self) -> float:
        """What the stitch is above the back alone, in points of top-1; a loss is negative."""
        return 100 * (self.stitched - self.alone)


@dataclass(frozen=True, eq=False)
class StitchPredictor:
    """Predicts stitches of one matching; what the backs answer alone is computed once.

    Both are judged by the back's own classifier where it knows the data's classes and its answers
    are better than chance. Otherwise a ridge classifier judges both: fitted in closed form on what
    the back alone computes, on the images that were not held out.

    Attributes:
        matching: of the left network (the first of `given`) and the right one (the second).
        given: both sources, by name.
        images: uint8 [N, 3, S, S], those that were matched on, in the same order.
        labels: int64 [N]; below 0 is a missing label.
        knows: by source name, whether its own classes are the data's.
    """

    matching: Matching
    given: Ingredients
    images: Tensor
    labels: Tensor
    knows: Mapping[str, bool]

    def predict(self, stitch: Stitch) -> StitchPrediction:
        """Run one stitch on the held-out images, and compare it with its back alone."""
        left, right = self.given.sources
        one, other = self.matching.left[stitch.row], self.matching.right[stitch.column]
        front, back = (right, left) if stitch.backward else (left, right)
        here, there = (other, one) if stitch.backward else (one, other)
        judge = self._judges[back]
        network = self._stitched(stitch, TapRef(front, here.name), TapRef(back, there.name))
        return StitchPrediction(
            front=front,
            back=back,
            here=here,
            there=there,
            r2=stitch.r2(self.matching),
            classifier="ridge" if judge.classifier else "own",
            alone=judge.alone,
            stitched=judge.top1(_outputs(network, self.images[self._held])),
            images=int(self._held.sum()),
            macs=cost(network).macs,
        )

    @cached_property
    def _held(self) -> Tensor:
        """The images that no adapter was fitted on and whose label is known, as a mask [N]."""
        out = torch.arange(len(self.images)) % HELD_OUT == HELD_OUT - 1
        return out & (self.labels >= 0)

    @cached_property
    def _judges(self) -> dict[str, _Judge]:
        return {name: self._judge(name) for name in self.given.sources}

    def _judge(self, back: str) -> _Judge:
        labels = self.labels[self._held]
        if self.knows[back]:
            outputs = _outputs(self._alone(back, own=True), self.images[self._held])
            own = _Judge(labels).told(outputs)
            if own.alone > better_than_chance(labels):
                return own
        features = _outputs(self._alone(back, own=False), self.images)
        fitted = ~self._held & (self.labels >= 0)
        classifier = fit_classifier(features[fitted], self.labels[fitted], self.given.classes)
        return _Judge(labels, classifier).told(features[self._held])

    def _head(self, back: str, *, own: bool) -> Head:
        if own:
            return Head(ANSWER, "identity", (self.given.logits(back),))
        return Head(ANSWER, "tap", (self.given.features(back),))

    def _alone(self, back: str, *, own: bool) -> Composite:
        refs = tuple(ref for ref in self.given.refs if ref.name == back)
        plan = Plan(self.given.image_size, refs, (), (self._head(back, own=own),))
        return compose(plan, {back: self.given.sources[back]})

    def _stitched(self, stitch: Stitch, here: TapRef, there: TapRef) -> Composite:
        wire = Wire((here,), there, "replace", "conv1x1", "ridge")
        head = self._head(there.source, own=self._judges[there.source].classifier is None)
        plan = Plan(self.given.image_size, self.given.refs, (wire,), (head,))
        network = compose(plan, self.given.sources)
        ((part, *_),) = network.resolved.adapters
        linear = linear_part(network.get_submodule(f"adapters.{part.name}"))
        solved = self.matching.adapter(stitch.row, stitch.column, backward=stitch.backward)
        with torch.no_grad():
            linear.weight.copy_(solved.weight[:, :, None, None])
            if linear.bias is not None:
                linear.bias.copy_(solved.bias)
        return network


@dataclass(frozen=True, eq=False)
class _Judge:
    """Tells top-1 from outputs of a back on the held-out images: its logits, or its features."""

    labels: Tensor
    classifier: nn.Linear | None = None
    alone: float = 0.0

    def told(self, outputs: Tensor) -> _Judge:
        """This judge, told what the back alone gives."""
        return _Judge(self.labels, self.classifier, self.top1(outputs))

    def top1(self, outputs: Tensor) -> float:
        """Share of the images whose most probable class is right."""
        logits = self.classifier(outputs.double()) if self.classifier else outputs
        return int((logits.argmax(1) == self.labels).sum()) / max(len(self.labels), 1)


def better_than_chance(labels: Tensor) -> float:
    """The top-1 on these images that guessing the most frequent class will hardly reach."""
    if not len(labels):
        return 1.0
    share = float(labels.bincount().max()) / len(labels)
    return share + ABOVE_CHANCE * math.sqrt(share * (1 - share) / len(labels))


@torch.no_grad()
def fit_classifier(features: Tensor, labels: Tensor, classes: int) -> nn.Linear:
    """Ridge regression of features [N, F] onto one-hot labels [N], as a float64 layer.

    Features are standardised first; one that never changes has no say. The penalty has the least
    leave-one-out error on at most 1,000 of the images.
    """
    x = features.double()
    mean, deviation = x.mean(0), (x.var(0) + NORM_EPSILON).sqrt()
    x, labels = (x - mean) / deviation, labels.long()
    some = torch.linspace(0, len(x) - 1, min(len(x), MOST_IMAGES)).long()
    kernel = Kernel.plain(x[some] - x[some].mean(0), x[:0])
    weight, bias = weights_of(x, labels, classes, solve(kernel, labels[some], classes).penalty)
    layer = nn.Linear(x.shape[1], classes, dtype=torch.float64)
    layer.weight.copy_(weight / deviation)
    layer.bias.copy_(bias - layer.weight @ mean)
    return layer


@torch.inference_mode()
def _outputs(network: Composite, images: Tensor) -> Tensor:
    """The answer to every image; a map is pooled to [N, C]."""
    network.eval()
    found = [
        network(images[start : start + BATCH])[ANSWER].float()
        for start in range(0, len(images), BATCH)
    ]
    outputs = torch.cat(found)
    return outputs.mean((2, 3)) if outputs.dim() == 4 else outputs
