"""Matching networks with themselves, with permuted copies, and with others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from convgraft.compose import Composite, compose
from convgraft.data import ImageSet, open_images, split_images
from convgraft.errors import RunError, UsageError
from convgraft.match import AllPairs, debiased_cka, match_taps, r_squared, solve_ridge
from convgraft.plan import Plan, parse_plan
from convgraft.sources import Source, Tap, source
from convgraft.training import Task, start_adapters
from helpers import Tiny

SIZE = 32


def blocks(one: Source) -> list[Tap]:
    return [tap for tap in one.survey(SIZE).taps if tap.kind == "block"]


def permuted(one: Source) -> Source:
    """The same function with the channels of each stage in another order."""
    state = one.module.state_dict()
    order = {"conv1": torch.randperm(16)}
    order |= {f"layer{i}": torch.randperm(16 * 2 ** (i - 1)) for i in (1, 2, 3)}
    order["layer1"] = order["conv1"]  # the first stage's shortcut has no layer that could reorder
    changed = {name: _permute(name, value, order) for name, value in state.items()}
    own = one.preprocessing
    copy = source("cifar_resnet20", classes=one.classes, mean=own.mean, std=own.std)
    copy.module.load_state_dict(changed)
    return copy


def _permute(name: str, value: Tensor, order: dict[str, Tensor]) -> Tensor:
    stage, _, rest = name.partition(".")
    if stage in ("conv1", "bn1"):
        return value[order["conv1"]] if value.dim() else value
    if stage == "fc":
        return value[:, order["layer3"]] if value.dim() == 2 else value
    before = order["conv1"] if stage == "layer1" else order[f"layer{int(stage[5:]) - 1}"]
    into = before if rest.startswith("0.") else order[stage]
    if rest.endswith(("conv1.weight", "downsample.0.weight")):
        value = value[:, into]
    writes = ".conv2" in rest or ".bn2" in rest or ".downsample" in rest
    return value[order[stage]] if writes and value.dim() else value


@pytest.fixture(scope="module")
def pretrained(shared_weights: Path) -> Source:
    return source(f"cifar_resnet20@{shared_weights}/cifar100_resnet20.safetensors")


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> ImageSet:
    return open_images(shared_data / "cifar100" / "test.parquet", target="fine_label")


@pytest.fixture(scope="module")
def task(photographs: ImageSet) -> Task:
    return Task(photographs, split_images(photographs, seed=0, limit=1000), SIZE)


@pytest.mark.parametrize("copy", [lambda one: one, permuted], ids=["itself", "permuted"])
def test_a_network_is_most_like_itself(copy, pretrained: Source, task: Task) -> None:
    other = copy(pretrained)
    images = task.pixels("train").images[:300]
    noise = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        logits = pretrained.module.eval()(noise)
        torch.testing.assert_close(other.module.eval()(noise), logits, rtol=1e-3, atol=1e-3)
    taps = blocks(pretrained)
    matching = match_taps(pretrained, other, images, taps, taps, image_size=SIZE)
    diagonal = torch.arange(len(taps))
    for table in (matching.cka, matching.forward, matching.backward):
        assert table.shape == (len(taps), len(taps))
        assert torch.equal(table.argmax(0), diagonal)
        assert torch.equal(table.argmax(1), diagonal)
        assert table.diagonal().min() > 0.999
    assert matching.forward_error.diagonal().max() < 1e-3 * matching.forward_error.max()


def test_stitched_with_a_permuted_copy_it_loses_nothing(pretrained: Source, task: Task) -> None:
    sources = {"a": pretrained, "b": permuted(pretrained)}
    train, images = task.pixels("train"), task.pixels("train").images[300:800]
    labels = train.labels[300:800]
    correct = _correct(compose(_stitch(None), {"b": sources["b"]}), images, labels)
    for stage in ("layer1", "layer2", "layer3"):
        stitched = compose(_stitch(stage), sources)
        start_adapters(stitched, train.images[:300])
        assert abs(_correct(stitched, images, labels) - correct) / len(images) < 0.001


@torch.inference_mode()
def _correct(network: Composite, images: Tensor, labels: Tensor) -> int:
    return int((network.eval()(images)["label"].argmax(1) == labels).sum())


def _stitch(stage: str | None) -> Plan:
    wire = f"wire a:{stage} -> b:{stage} join=replace adapter=ridge start=one\n" if stage else ""
    front = "source a = cifar_resnet20 classes=100\n" if stage else ""
    return parse_plan(
        f"image 32\n{front}source b = cifar_resnet20 classes=100\n{wire}"
        "head label = identity(b:fc) classes=100\n"
    )


def test_tables_are_those_of_the_pairs_moments(task: Task) -> None:
    left, right = source("cifar_resnet20", seed=1), source("cifar_resnet32", seed=2)
    rows, columns = blocks(left)[::4], blocks(right)[::6]
    seen: list[tuple[int, int]] = []
    matching = match_taps(
        left,
        right,
        task.pixels("train").images[:45],
        rows,
        columns,
        image_size=SIZE,
        positions=None,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (45, 45)
    pair, held = matching.fitted.pair(0, 1), matching.held.pair(0, 1)
    height, width = columns[1].shape[1:]
    assert (pair.count, held.count) == (36 * height * width, 9 * height * width)
    expected = r_squared(held, solve_ridge(pair, 1e-3))
    assert matching.forward[0, 1].item() == pytest.approx(expected)
    both = matching.fitted.alike(0, 1) + matching.held.alike(0, 1)
    assert matching.cka[0, 1].item() == pytest.approx(debiased_cka(both))
    back = matching.adapter(0, 1, backward=True)
    assert back.weight.shape == (rows[0].shape[0], columns[1].shape[0])


def test_too_few_images_and_no_taps_are_told(task: Task) -> None:
    one = source("cifar_resnet20")
    images = task.pixels("train").images
    with pytest.raises(UsageError, match="too few images"):
        match_taps(one, one, images[:19], blocks(one), blocks(one), image_size=SIZE)
    with pytest.raises(UsageError, match="no taps"):
        match_taps(one, one, images[:20], [], blocks(one), image_size=SIZE)


def test_sums_that_would_not_fit_in_memory_are_refused_before_any_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = source("cifar_resnet20")
    taken = AllPairs([tap.shape for tap in blocks(one)], [tap.shape for tap in blocks(one)])
    monkeypatch.setattr("convgraft.match.matching.LARGEST", 3 * taken.bytes - 1)
    with pytest.raises(UsageError, match="GiB"):
        match_taps(one, one, torch.zeros(20, 3, 8, 8), blocks(one), blocks(one), image_size=SIZE)


def test_the_bytes_are_those_of_the_sums() -> None:
    left, right = [(3, 8, 8), (5, 4, 4)], [(4, 8, 8), (2, 2, 2)]
    moments = AllPairs(left, right)
    moments.add([torch.randn(2, *s) for s in left], [torch.randn(2, *s) for s in right])
    moments.pair(0, 0)
    squares = [
        sum(one.second.numel() for side in (sums.left, sums.right) for one in side if one)
        + sum(second.numel() for second in sums.second)
        for sums in moments._sums.values()
    ]
    assert moments.bytes == 8 * sum(squares)


def test_every_fifth_image_is_held_out(task: Task) -> None:
    one = source("cifar_resnet20", seed=1)
    tap = blocks(one)[-1]
    images = task.pixels("train").images[:40]
    matching = match_taps(one, one, images, [tap], [tap], image_size=SIZE, positions=None)
    chosen = images[4::5].repeat(5, 1, 1, 1)  # the same images, each held out and fitted on
    again = match_taps(one, one, chosen, [tap], [tap], image_size=SIZE, positions=None)
    held, expected = matching.held.pair(0, 0), again.fitted.pair(0, 0) + again.held.pair(0, 0)
    assert (held.count, expected.count) == (8 * 64, 40 * 64)
    torch.testing.assert_close(held.mean_x, expected.mean_x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(held.cov_x, expected.cov_x, rtol=1e-3, atol=1e-5)


def test_a_tap_that_overflows_is_named():
    network = Tiny(seed=2)
    with torch.no_grad():
        network.bn.weight.fill_(3e38)
    one = source(network, size=16)
    taps = one.survey(16).taps
    pixels = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
    with pytest.raises(RunError, match="infinite or none"):
        match_taps(one, one, pixels, taps, taps, image_size=16)


class Inverse(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(1 / x)


@pytest.mark.parametrize("positions", [2, None])
@pytest.mark.parametrize("broken", [3, 104, 118])
def test_one_black_pixel_that_gives_an_infinite_number_is_enough(
    positions: int | None, broken: int
) -> None:
    """In any batch, held out or not, drawn or not."""
    one = source(Tiny(seed=2), size=16)
    other = source(Inverse(seed=3), size=16, mean=(0, 0, 0), std=(1, 1, 1))
    left, right = ([t for t in each.survey(16).taps if t.is_map] for each in (one, other))
    pixels = torch.randint(1, 256, (120, 3, 16, 16), dtype=torch.uint8)
    match_taps(one, other, pixels, left, right, image_size=16, positions=positions)
    pixels[broken, 0, 5, 5] = 0
    with pytest.raises(RunError, match='"truediv" gives'):
        match_taps(one, other, pixels, left, right, image_size=16, positions=positions)
