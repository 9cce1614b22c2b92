"""What holds for every legal plan, each a check that says in words what does not hold."""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from drawn_plans import Drawn
from interpreted_layers import Weights
from interpreter import Interpreter
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.export import fold_adapters
from convgraft.export.optimized import optimized
from convgraft.export.simplified import simplified
from convgraft.plan import parse_plan, plan_from_yaml, plan_to_yaml
from convgraft.training.freeze import apply_freeze, work_out
from convgraft.training.policies import FreezePolicy, Phase, Rule
from helpers import images, run, run_alone, same

IMAGES = 5
EXACT = 1e-6  # of the largest number, in float64; some heads take a logarithm in float32
FAST = 1e-4  # of the largest logit, in float32


@dataclass(frozen=True, eq=False)
class Case:
    """A drawn plan and what checks have in common.

    Attributes:
        given: draws what a check leaves open.
    """

    drawn: Drawn
    given: random.Random

    @cached_property
    def fresh(self) -> Composite:
        """The composite as it is made, dropout off."""
        return without_dropout(compose(self.drawn.plan, self.drawn.sources))

    @cached_property
    def stirred(self) -> Composite:
        """The same, with gates open and votes fitted."""
        return stir(copy.deepcopy(self.fresh))

    def batch(self) -> Tensor:
        """Images."""
        return images(self.drawn.plan.image_size, IMAGES)


Check = Callable[[Case], Iterator[str]]


def without_dropout(composite: Composite) -> Composite:
    """The composite, its dropout at 0: networks in one composite share one generator."""
    for part in composite.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return composite


@torch.no_grad()
def stir(composite: Composite) -> Composite:
    """Give what starts at zero or one, running statistics and votes some other numbers.

    A gate that is all open leaves maps without a difference in space, in which a max-pooling may
    choose any place: two right gradients, which differ.
    """
    drawn = torch.Generator().manual_seed(5)
    for weight in composite.parameters():
        if not weight.any() or bool((weight == 1).all()):
            weight.uniform_(0.3, 1.0, generator=drawn)
        elif weight.abs().max() < 0.02:  # a classifier that begins close to zero
            weight.mul_(100)
    for name, buffer in composite.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5, generator=drawn)
        elif name.endswith((".weights", ".thresholds")):
            buffer.uniform_(0.2, 0.8, generator=drawn)
        elif name.endswith(".counts"):
            buffer.copy_(torch.randint(0, 3, buffer.shape, generator=drawn)).add_(0.5)
        elif name.startswith("heads.") and name.endswith((".weight", ".bias")):
            buffer.normal_(generator=drawn)
    return composite


def texts(case: Case) -> Iterator[str]:
    """Both text forms are read back as the plan."""
    plan = case.drawn.plan
    if parse_plan(str(plan)) != plan:
        yield "the text form is read back as another plan"
    if plan_from_yaml(plan_to_yaml(plan)) != plan:
        yield "the YAML form is read back as another plan"


def naive(case: Case) -> Iterator[str]:
    """Answers, gradients and statistics are the interpreter's, in both modes, in float64."""
    for training in (False, True):
        composite = copy.deepcopy(case.stirred).double().train(training)
        mode = "training" if training else "evaluation"
        yield from (f"{mode}: {wrong}" for wrong in _differences(case, composite))


def _differences(case: Case, composite: Composite) -> Iterator[str]:
    learned = {name: w.detach().clone().requires_grad_() for name, w in parameters(composite)}
    numbers = {name: v.clone() for name, v in composite.state_dict().items()} | learned
    weights = Weights(numbers, composite.training)
    batch = case.batch().double()
    interpreter = Interpreter(case.drawn.plan, case.drawn.walks, weights, batch)
    theirs, ours = interpreter.answers(), composite(batch)
    if list(ours) != list(theirs):
        yield f"answers are {list(ours)}, expected {list(theirs)}"
        return
    for name, value in theirs.items():
        yield from apart(f"answer {name}", ours[name], value)
    for answers in (ours, theirs):
        weighed = [
            value.mul(value + 0.1 * number).sum() for number, value in enumerate(answers.values())
        ]
        if (total := torch.stack(weighed).sum()).requires_grad:
            total.backward()
    largest = max(
        [1e-3, *(float(w.grad.abs().max()) for w in learned.values() if w.grad is not None)]
    )
    for name, weight in parameters(composite):
        yield from _gradients_apart(name, weight.grad, learned[name].grad, largest)
    for name, buffer in composite.named_buffers():
        yield from apart(f"{name} afterwards", buffer, weights.statistics.get(name, buffer))
    if unread := set(composite.state_dict()) - weights.read:
        yield f"weights that nothing reads: {', '.join(sorted(unread))}"


def parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters by name."""
    return [*module.named_parameters()]


def apart(what: str, ours: Tensor, theirs: Tensor, tolerance: float = EXACT) -> Iterator[str]:
    """Whether two tensors differ by more than a share of the second one's largest number."""
    if ours.shape != theirs.shape:
        yield f"{what} has shape {tuple(ours.shape)}, expected {tuple(theirs.shape)}"
        return
    if not theirs.numel():
        return
    ours, theirs = ours.detach(), theirs.detach()
    largest = max(1e-3, float(theirs.abs().max()))
    difference = float((ours - theirs).abs().max()) / largest
    if not difference <= tolerance:
        yield f"{what} is apart by {difference:.2g} of the largest"


def _gradients_apart(
    name: str, ours: Tensor | None, theirs: Tensor | None, largest: float
) -> Iterator[str]:
    """None counts as zeros: a weight may be read for statistics alone."""
    if ours is None and theirs is None:
        return
    if ours is None or theirs is None:
        known = theirs if ours is None else ours
        if known is not None and known.any():
            yield f"only one of both has a gradient of {name}"
        return
    difference = float((ours - theirs).abs().max())
    if not difference <= EXACT * largest:
        yield f"the gradient of {name} is apart by {difference / largest:.2g} of the largest"


def idle(case: Case) -> Iterator[str]:
    """What runs is what answers ask for, layer by layer, each once; nothing else is kept."""
    composite = case.fresh.eval()
    calls: dict[str, int] = {}
    handles = [
        part.register_forward_hook(
            lambda *_, path=path: calls.update({path: calls.get(path, 0) + 1})
        )
        for path, part in composite.named_modules()
        if path.startswith("sources.") and not [*part.children()]
    ]
    composite(case.batch())
    for handle in handles:
        handle.remove()
    numbers = dict(composite.state_dict())
    weights = Weights(numbers, training=False)
    interpreter = Interpreter(case.drawn.plan, case.drawn.walks, weights, case.batch())
    interpreter.answers()
    paths = {path for path, part in composite.named_modules() if not [*part.children()]}
    asked = {f"sources.{name}.{tap}" for name, tap in interpreter.ran}
    kept = {path for path in paths if path.startswith("sources.")}
    if unasked := kept - asked:
        yield f"layers that no answer asks for: {', '.join(sorted(unasked))}"
    if again := [path for path in kept if calls.get(path) != 1]:
        yield f"layers that do not run once: {', '.join(sorted(again))}"
    for graph in (composite.graph, composite.train_graph):
        if loose := [
            n.name for n in graph.nodes if not n.users and n.op not in ("output", "placeholder")
        ]:
            yield f"nodes that nothing reads: {', '.join(loose)}"


def empty(case: Case) -> Iterator[str]:
    """Without wires and heads every source answers as alone, bit for bit."""
    plan, sources = case.drawn.plan, case.drawn.sources
    composite = without_dropout(compose(replace(plan, wires=(), heads=()), sources))
    for training in (False, True):
        answers = run(composite, case.batch(), training=training)
        for name, one in sources.items():
            twin = replace(one, module=without_dropout(copy.deepcopy(one.module)))  # type: ignore[arg-type]
            if not torch.equal(answers[name], run_alone(twin, case.batch(), training=training)):
                yield f"empty plan: {name} is not itself with training={training}"


def zero_start(case: Case) -> Iterator[str]:
    """Wires that start at zero change no bit of any answer."""
    plan = case.drawn.plan
    others = tuple(wire for wire in plan.wires if wire.start != "zero")
    if len(others) == len(plan.wires):
        return
    bare = without_dropout(compose(replace(plan, wires=others), case.drawn.sources))
    for training in (False, True):
        ours = run(copy.deepcopy(case.fresh), case.batch(), training=training)
        if not same(ours, run(bare, case.batch(), training=training)):
            yield f"zero start changes an answer with training={training}"


def frozen(case: Case) -> Iterator[str]:
    """After a step of training, all that is frozen has the hash that it had."""
    composite = copy.deepcopy(case.stirred)
    parts = [name for name in ("adapters", "joins", "heads") if any(_below(composite, name))]
    parts += [
        f"{name}:**" for name in case.drawn.sources if any(_below(composite, f"sources.{name}"))
    ]
    if not parts:
        return
    chosen = case.given.choice(parts)  # something has to learn
    rules = [Rule("**", 0.0), *(Rule(part, float(case.given.random() < 0.4)) for part in parts)]
    policy = FreezePolicy("drawn", (Phase("drawn", (*rules, Rule(chosen, 1.0))),))
    freeze = work_out(policy, composite)
    held = apply_freeze(composite, freeze).train()
    before = hashes(held)
    learning = [weight for weight in held.parameters() if weight.requires_grad]
    moved = torch.optim.AdamW(learning, lr=0.1)
    total = torch.stack([x.square().sum() for x in held(case.batch()).values()]).sum()
    if total.requires_grad:
        total.backward()
    moved.step()
    free = {name for name, rate in freeze.rates.items() if rate > 0}
    after = hashes(held)
    for name, digest in before.items():
        is_held = any(name.startswith(f"{path}.") for path in freeze.held)
        is_weight = name in freeze.rates
        if name not in free and (is_weight or is_held) and after[name] != digest:
            yield f"{name} is frozen and has changed"


def _below(composite: Composite, section: str) -> Iterator[str]:
    """Names of the weights of a part."""
    return (name for name, _ in composite.named_parameters() if name.startswith(f"{section}."))


def hashes(module: nn.Module) -> Mapping[str, str]:
    """SHA-256 of every tensor."""
    return {
        name: hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in module.state_dict().items()
    }


def held_alike(case: Case) -> Iterator[str]:
    """With every source held, what two of them compute alike runs once, and the answers stay."""
    composite = case.stirred.eval()
    held = composite.holding([f"sources.{name}" for name in case.drawn.sources])
    if not same(composite(case.batch()), held.eval()(case.batch())):
        yield "sharing what is alike changes an answer"
    if len(held.graph.nodes) > len(composite.graph.nodes):
        yield "holding sources adds work"


def faster(case: Case) -> Iterator[str]:
    """Folded, simplified and optimised networks answer as the composite does."""
    composite = case.stirred.eval()
    with torch.no_grad():
        expected = composite(case.batch())
        for word, made in (
            ("folded", fold_adapters(composite).network),
            ("simplified", simplified(composite)),
            ("optimised", optimized(composite, case.batch())),
        ):
            for name, value in made(case.batch()).items():
                yield from apart(f"{word}: {name}", value, expected[name], FAST)


CHECKS: tuple[Check, ...] = (texts, naive, idle, empty, zero_start, frozen, held_alike)
