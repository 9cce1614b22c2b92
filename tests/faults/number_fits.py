"""Small real fits whose numbers go wrong, or nearly so."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from convgraft.cache import Cache
from convgraft.compose import Composite, compose
from convgraft.data import open_images, split_images
from convgraft.errors import ConvgraftError, RunError, UsageError
from convgraft.plan import Head, Plan
from convgraft.sources import source
from convgraft.training import PRESETS, FitOptions, FitResult, Task, fit
from convgraft.training.diverged import batch_images
from convgraft.training.loaders import loader
from helpers import Tiny, head, plan_for

CLASSES, IMAGES, SIZE = 3, 48, 12
OPTIONS = FitOptions(epochs=2, batch_size=8, augment="none", accelerator="cpu")
LINEAR = (head("label", "linear", "a:flatten", classes=CLASSES),)


def make_folder(folder: Path, given: random.Random, *, constant: bool = False) -> Path:
    """A folder of PNG images in three classes: noise, brighter by class, or each one colour."""
    drawn = np.random.default_rng(given.randrange(2**32))
    for number in range(IMAGES):
        label = number % CLASSES
        path = folder / f"c{label}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = drawn.integers(0, 100, (SIZE, SIZE, 3)) + 70 * label
        pixels = np.full_like(pixels, 100) if constant else pixels
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def make_task(folder: Path, given: random.Random, cache: Cache | None = None) -> Task:
    """Such a folder as a task."""
    images = open_images(str(make_folder(folder / "images", given)))
    return Task(images, split_images(images, seed=0), SIZE, workers=0, cache=cache)


def make_network(heads: Sequence[Head] = LINEAR, seed: int = 0) -> Composite:
    """A tiny convolutional network with heads."""
    sources = {"a": source(Tiny(seed=seed), size=SIZE)}
    plan: Plan = plan_for(sources, heads=heads, size=SIZE)
    return compose(plan, sources)


def run_fit(
    network: Composite, task: Task, options: FitOptions = OPTIONS, **more: Any
) -> FitResult:
    """A fit in which everything learns, unless said otherwise."""
    return fit(network, task, more.pop("policy", PRESETS["all"]), options, **more)


def finite(module: nn.Module) -> bool:
    """Whether every weight is a number."""
    return all(tensor.isfinite().all() for tensor in module.state_dict().values())


def spoil_call(
    part: nn.Module, number: int, value: float, *, training: bool, rows: int = 0
) -> list[Tensor]:
    """From now on, one row of a module's answer in its call of that number (from 0) is `value`.

    Only calls with gradients count where `training`, only those without otherwise, and if `rows`
    is given those with so many rows. What the module was given in that call is put in the list.
    """
    calls: list[None] = []
    seen: list[Tensor] = []

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        if module.training != training or torch.is_grad_enabled() != training:
            return None
        if rows and len(output) != rows:
            return None
        calls.append(None)
        if len(calls) - 1 != number:
            return None
        seen.append(inputs[0].detach().clone())
        mark = torch.zeros_like(output)
        mark[0] = value
        return output + mark

    part.register_forward_hook(hook)
    return seen


def loss_at_a_step(given: random.Random, folder: Path) -> Iterator[str]:
    """NaN or Inf in one step of the second or third epoch: named, and nothing good is lost."""
    task, options = make_task(folder, given), replace(OPTIONS, epochs=3, seed=given.randrange(9))
    network, checkpoint = make_network(), folder / "fit.ckpt"
    steps = loader(task.pixels("train"), options, shuffle=True, seed=0).steps
    number = given.randrange(steps, 3 * steps)
    epoch, batch = divmod(number, steps)
    seen = spoil_call(
        network.get_submodule("heads.label"), number, given.choice((float("nan"), float("inf"))),
        training=True,
    )  # fmt: skip
    named = _named(network, seen)
    try:
        run_fit(network, task, options, checkpoint=checkpoint)
        yield "training went on over a loss that is no number"
        return
    except RunError as error:
        text = str(error)
    if f"epoch {epoch + 1}, batch {batch + 1}:" not in text or "--lr" not in text:
        yield f"not told which batch, or what to try: {text}"
    names = batch_images(task, options, 0, epoch, batch)
    if names[0] not in text:
        yield f"{names[0]} is not named: {text}"
    if named and not _same_images(task, names, named[-1]):
        yield "the images named are not those of the batch"
    if not finite(network):
        yield "the weights that are left are no numbers"
    yield from _goes_on(task, options, checkpoint)


def _named(network: Composite, seen: list[Tensor]) -> list[Tensor]:
    """The pixels of every batch up to the one that was spoilt."""
    pixels: list[Tensor] = []
    part = network.get_submodule("preprocess.a")
    part.register_forward_hook(
        lambda m, inputs, output: None if seen else pixels.append(inputs[0].detach().clone())
    )
    return pixels


def _same_images(task: Task, names: Sequence[str], pixels: Tensor) -> bool:
    known = task.pixels("train")
    rows = {task.images.ids[index]: row for row, index in enumerate(known.indices)}
    expected = torch.stack([known.images[rows[name]] for name in names])
    return torch.equal(expected, pixels.contiguous())


def _goes_on(task: Task, options: FitOptions, checkpoint: Path) -> Iterator[str]:
    """What was kept is the last whole epoch: a fit from there ends as if nothing had been."""
    resumed = run_fit(make_network(), task, options, checkpoint=checkpoint).composite
    whole = run_fit(make_network(), task, options).composite
    for name, tensor in whole.state_dict().items():
        if not torch.equal(tensor, resumed.state_dict()[name]):
            yield f"gone on from what was kept, {name} is another one"
            return


def validation(given: random.Random, folder: Path) -> Iterator[str]:
    """An answer to a validation image that is no number: named, and that epoch is not chosen."""
    task, network = make_task(folder, given), make_network()
    epoch = given.randrange(2)
    value = given.choice((float("nan"), float("inf"), float("-inf")))
    rows, label = len(task.split.val), network.get_submodule("heads.label")
    spoil_call(label, epoch, value, training=False, rows=rows)
    checkpoint = folder / "fit.ckpt"
    try:
        run_fit(network, task, checkpoint=checkpoint)
        yield "an epoch counts whose validation is no number"
    except RunError as error:
        name = task.images.ids[task.split.val[0]]
        if name not in str(error) or f"epoch {epoch + 1}" not in str(error):
            yield f"{name} is not named: {error}"
    if not finite(network) or checkpoint.exists() != (epoch > 0):
        yield "what is left is not the last good epoch"


def huge_rate(given: random.Random, folder: Path) -> Iterator[str]:
    """A learning rate of 1e10: a clear stop, or weights that are numbers."""
    task, network = make_task(folder, given), make_network(seed=given.randrange(9))
    rate = given.choice((1e10, 1e30, 1e38))
    options = replace(OPTIONS, lr=rate, optimiser=given.choice(("sgd", "adamw")), epochs=3)
    options = replace(options, schedule=given.choice(("cosine", "one-cycle", "constant")))
    kept = True
    try:
        run_fit(network, task, options, policy=PRESETS[given.choice(("all", "heads-only"))])
    except RunError as error:
        kept = "are kept" in str(error)  # else it was over before there was anything good
        if "--lr" not in str(error) or "epoch" not in str(error):
            yield f"no clear word: {error}"
    if kept and not finite(network):
        yield f"a rate of {rate} leaves weights that are no numbers"


def smoothing(given: random.Random, folder: Path) -> Iterator[str]:
    """Label smoothing at its ends."""
    for share in (1.0, -0.01, float("nan"), float("inf")):
        try:
            replace(OPTIONS, label_smoothing=share)
            yield f"a label smoothing of {share} is taken"
        except UsageError:
            pass
    network, share = make_network(), given.choice((0.0, 1e-12, 0.999999))
    run_fit(network, make_task(folder, given), replace(OPTIONS, label_smoothing=share))
    if not finite(network):
        yield f"a label smoothing of {share} leaves weights that are no numbers"


def small_batches(given: random.Random, folder: Path) -> Iterator[str]:
    """A last batch of one image, two images in all, one validation image: batch norm bears it."""
    task = make_task(folder, given)
    size = given.choice((2, 3, 5, 8, 30))
    count = given.choice((2, 3, size + 1, 2 * size + 1))
    train, val = task.split.train[:count], task.split.val[: given.choice((1, 2))]
    task = replace(task, split=replace(task.split, train=train, val=val))
    network = make_network()
    policy = PRESETS[given.choice(("all", "heads-only", "frozen-statistics"))]
    result = run_fit(network, task, replace(OPTIONS, batch_size=size), policy=policy)
    if not finite(result.composite):
        yield f"{len(train)} images in batches of {size} leave weights that are no numbers"


def few_labels(given: random.Random, folder: Path) -> Iterator[str]:
    """Training on one class or two; the others are in validation alone."""
    task = make_task(folder, given)
    labels = task.images.labels
    train = [i for i in task.split.train if labels[i] in given.choice(([0], [0, 1]))]
    task = replace(task, split=replace(task.split, train=type(task.split.train)(train)))
    heads = [
        *LINEAR,
        head("side", "side", "a:relu", "a:flatten", classes=CLASSES),
        head("vote", given.choice(("stack", "weighted", "greedy")), "heads:label", "heads:side"),
    ]
    network = make_network(heads)
    result = run_fit(network, task, OPTIONS)
    if not finite(result.composite):
        yield "training without a class leaves weights that are no numbers"


def one_colour(given: random.Random, folder: Path) -> Iterator[str]:
    """Images that are all of one colour: nothing varies, and nothing breaks."""
    images = open_images(str(make_folder(folder / "images", given, constant=True)))
    task = Task(images, split_images(images, seed=0), SIZE, workers=0, cache=None)
    heads = [head("label", given.choice(("linear", "side")), "a:bn", "a:flatten", classes=CLASSES)]
    network = make_network(heads)
    run_fit(network, task, policy=PRESETS[given.choice(("all", "heads-only"))])
    if not finite(network):
        yield "images of one colour leave weights that are no numbers"


def precision(given: random.Random, folder: Path) -> Iterator[str]:
    """Numbers that a short precision cannot hold: finite weights, or a clear word."""
    network, task = make_network(), make_task(folder, given)
    word = given.choice(("bf16-mixed", "16-mixed", "16-true", "bf16-true"))
    with torch.no_grad():
        network.get_parameter("sources.a.conv2.weight").mul_(given.choice((1.0, 1e4, 1e8)))
    try:
        result = run_fit(network, task, replace(OPTIONS, precision=word))
        if not finite(result.composite):
            yield f"{word} leaves weights that are no numbers"
    except ConvgraftError as error:
        if "precision" not in str(error):
            yield f"{word} stops without a word of precision: {error}"


def store_overflow(given: random.Random, folder: Path) -> Iterator[str]:
    """Values that a short type of the store cannot hold are never stored as infinite."""
    dtype = given.choice(("float16", "float16", "bfloat16", "int8"))
    cache = Cache(folder / "store", 2**26, dtype)
    task, network = make_task(folder, given, cache), make_network()
    with torch.no_grad():
        network.get_parameter("sources.a.conv2.weight").mul_(1e7)
    try:
        result = run_fit(network, task, policy=PRESETS["heads-only"])
    except RunError as error:
        if dtype != "float16" or "float32" not in str(error):
            yield f"{dtype}: {error}"
        return
    if dtype == "float16":
        yield "values above 65504 went through float16"
    if not finite(result.composite):
        yield f"{dtype} leaves weights that are no numbers"
