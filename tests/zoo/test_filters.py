"""Fixed filters: kernels against their formulas, banks against correlation, and their place in
a plan."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor

from convgraft import load, save
from convgraft.compose import Composite, compose
from convgraft.errors import SourceError
from convgraft.plan import parse_plan
from convgraft.sources import source
from convgraft.strategies.ingredients import source_ref
from convgraft.zoo.filters import build_filters
from convgraft.zoo.kernels import KERNELS
from helpers import head, images, opened, plan_for, run, run_alone, wire

BUILT_IN = [name for name in KERNELS if name != "kernels"]
BY_HAND = {
    "identity": [[[1]]],
    "identity:size=3": [[[0, 0, 0], [0, 1, 0], [0, 0, 0]]],
    "box": [[[1 / 9] * 3] * 3],
    "box:size=5": [[[1 / 25] * 5] * 5],
    "sharpen": [[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]],
    "laplacian": [[[0, 1, 0], [1, -4, 1], [0, 1, 0]]],
    "sobel_x": [[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]],
    "sobel_y": [[[-1, -2, -1], [0, 0, 0], [1, 2, 1]]],
    "sobel": [[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]],
    "scharr_x": [[[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]],
    "scharr_y": [[[-3, -10, -3], [0, 0, 0], [3, 10, 3]]],
    "scharr": [[[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]], [[-3, -10, -3], [0, 0, 0], [3, 10, 3]]],
}
SUMS = {
    **dict.fromkeys(["identity", "box:size=7", "gaussian:size=9,sigma=2", "sharpen"], 1.0),
    **dict.fromkeys(["unsharp", "unsharp:size=7,sigma=1,amount=3"], 1.0),
    **dict.fromkeys(["laplacian", "sobel", "scharr", "gabor", "gabor:size=5,wavelength=3"], 0.0),
}


def kernels(text: str) -> Tensor:
    """Kernels of a bank on one colour each, [n, k, k]."""
    weight = build_filters(text).filter.weight.detach()
    each = weight.view(-1, 3, *weight.shape[-2:])
    assert torch.equal(each[:, 0], each[:, 1])
    assert torch.equal(each[:, 0], each[:, 2])
    return each[:, 0]


@pytest.mark.parametrize(("text", "expected"), BY_HAND.items())
def test_kernels_written_by_hand(text: str, expected: list[list[list[float]]]):
    assert torch.equal(kernels(text), torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize(("text", "total"), SUMS.items())
def test_smoothing_keeps_a_flat_image_and_edges_take_it_away(text: str, total: float):
    flat = build_filters(text)(torch.full((1, 3, 16, 16), 0.5))
    torch.testing.assert_close(flat, torch.full_like(flat, 0.5 * total), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.5), (5, 1.1), (7, 2.0)])
def test_gaussian_against_a_loop(size: int, sigma: float):
    middle = size // 2
    expected = torch.tensor(
        [
            [
                math.exp(-((x - middle) ** 2 + (y - middle) ** 2) / (2 * sigma**2))
                for x in range(size)
            ]
            for y in range(size)
        ]
    )
    expected /= expected.sum()
    torch.testing.assert_close(kernels(f"gaussian:size={size},sigma={sigma}")[0], expected)
    image = torch.zeros(size, size)
    image[middle, middle] = 1
    unsharp = kernels(f"unsharp:size={size},sigma={sigma},amount=0.7")[0]
    torch.testing.assert_close(unsharp, image + 0.7 * (image - expected))


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.8), (5, 1.1), (7, 1.4)])
def test_the_width_of_a_gaussian_follows_its_size(size: int, sigma: float):
    own = kernels(f"gaussian:size={size}")
    torch.testing.assert_close(own, kernels(f"gaussian:size={size},sigma={sigma}"))


def test_a_gabor_bank_against_a_loop():
    bank = kernels("gabor:size=7,orientations=4,wavelength=5,sigma=1.5,aspect=0.8")
    assert bank.shape == (4, 7, 7)
    for number, kernel in enumerate(bank):
        angle = math.pi * number / 4
        wave, envelope = torch.zeros(7, 7), torch.zeros(7, 7)
        for y, x in itertools.product(range(-3, 4), repeat=2):
            u = x * math.cos(angle) + y * math.sin(angle)
            v = -x * math.sin(angle) + y * math.cos(angle)
            envelope[y + 3, x + 3] = math.exp(-(u**2 + 0.8**2 * v**2) / (2 * 1.5**2))
            wave[y + 3, x + 3] = envelope[y + 3, x + 3] * math.cos(2 * math.pi * u / 5)
        wave -= envelope * wave.sum() / envelope.sum()
        torch.testing.assert_close(kernel, wave / wave.square().sum().sqrt(), rtol=0, atol=1e-5)


def test_a_gabor_bank_sees_the_orientation_of_a_wave():
    bank = build_filters("gabor:wavelength=6")
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    for number in range(8):
        angle = math.pi * number / 8
        wave = torch.cos(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / 6)
        seen = bank(wave.expand(1, 3, 32, 32)).square().view(8, -1).sum(1)
        assert seen.argmax() == number


def test_random_kernels_are_drawn_from_their_seed():
    first, again = (build_filters("random:size=5,channels=400,seed=3") for _ in range(2))
    other = build_filters("random:size=5,channels=400,seed=4").filter.weight
    assert first.filter.weight.shape == (400, 3, 5, 5)
    assert torch.equal(first.filter.weight, again.filter.weight)
    assert not torch.equal(first.filter.weight, other)
    assert first.filter.weight.square().sum((1, 2, 3)).mean().item() == pytest.approx(1, abs=0.05)
    assert kernels("random").shape == (1, 3, 3)


@pytest.mark.parametrize("text", [*BUILT_IN, "gaussian+sobel+gabor:orientations=2", "box+identity"])
def test_a_bank_is_correlation_with_mirrored_borders(text: str):
    image = images(14)
    result = build_filters(text)(image)
    pictures = [
        ndimage.correlate(image[:, colour].numpy(), kernel.numpy()[None], mode="mirror")
        for kernel in kernels(text)
        for colour in range(3)
    ]
    expected = torch.stack([torch.from_numpy(picture) for picture in pictures], 1)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_filters_side_by_side_are_their_channels_in_order():
    image = images(14)
    texts = [
        "gaussian:size=7",
        "sobel",
        "identity",
        "random:channels=4",
        "random:channels=2,seed=1",
    ]
    for chosen in (texts, texts[:3], texts[3:]):
        expected = torch.cat([build_filters(text)(image) for text in chosen], 1)
        torch.testing.assert_close(build_filters("+".join(chosen))(image), expected)


def test_one_colour_alone_is_seen_by_its_own_filters():
    image = torch.zeros(1, 3, 9, 9)
    image[:, 1, 4, 4] = 1
    seen = build_filters("gaussian+random:channels=2")(image).abs().sum((0, 2, 3)) > 0
    assert seen.tolist() == [False, True, False, True, True]


WRITERS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "k.npy": np.save,
    "k.npz": lambda path, array: np.savez(path, kernels=array),
    "c++ +x/a,b.npy": np.save,
    "k.safetensors": lambda path, array: save_file({"kernels": torch.from_numpy(array)}, path),
}
TEXTS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "k.csv": lambda path, array: np.savetxt(path, array, delimiter=","),
    "k.txt": np.savetxt,
}


SHAPES = [(3, 3), (4, 3, 3), (3, 5, 5), (5, 3, 3, 3)]
FILES = [*itertools.product(WRITERS, SHAPES), *((name, (5, 5)) for name in TEXTS)]


@pytest.mark.parametrize(("name", "shape"), FILES, ids=str)
def test_kernels_from_a_file(name: str, shape: tuple[int, ...], tmp_path: Path):
    array = np.random.default_rng(0).normal(size=shape)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    {**WRITERS, **TEXTS}[name](tmp_path / name, array)
    text = f"kernels:file={tmp_path / name}"
    expected = torch.from_numpy(array).float()
    if len(shape) == 4:
        assert torch.equal(build_filters(text).filter.weight, expected)
    else:
        assert torch.equal(kernels(text), expected.view(-1, *shape[-2:]))
    assert (
        build_filters(f"{text}+sobel")(images(8)).shape[1] == opened(f"filters/{text}").classes + 6
    )


BAD = {
    "gausian": ('no filter called "gausian"', "did you mean gaussian"),
    "gaussian+": ('no filter called "gaussian\\+"', "gaussian"),
    "sobel+edge": ('no filter called "edge"', ""),
    "gaussian:siz=5": ('gaussian has no option "siz"', "did you mean size"),
    "gaussian:": ('gaussian has no option ""', ""),
    "sobel:size=3": ('sobel has no option "size"', ""),
    "box:size=3,size=5": ('given "size" twice', ""),
    "gaussian:size=4": ("gaussian:size cannot be that", ""),
    "gaussian:size=-3": ("gaussian:size cannot be that", ""),
    "gaussian:size=big": ("gaussian:size cannot be that", ""),
    "gaussian:sigma=-1": ("gaussian:sigma cannot be that", ""),
    "gaussian:sigma=nan": ("gaussian:sigma cannot be that", ""),
    "gaussian:sigma=1e-200": ("not finite", ""),
    "unsharp:amount=inf": ("unsharp:amount cannot be that", ""),
    "gabor:size=1": ("gabor:size cannot be that", ""),
    "gabor:wavelength=1": ("gabor:wavelength cannot be that", ""),
    "random:channels=0": ("random:channels cannot be that", ""),
    "random:seed=-1": ("random:seed cannot be that", ""),
    "kernels": ("does not say where", "kernels:file=PATH"),
    "kernels:file=nowhere/k.npy": ('no kernels at "nowhere/k.npy"', ""),
    "kernels:file=k.pkl": ('"k.pkl" is not a kind of file', ""),
}


@pytest.mark.parametrize(("text", "words"), BAD.items())
def test_what_is_no_filter_is_refused(text: str, words: tuple[str, str]):
    with pytest.raises(SourceError, match=words[0]) as caught:
        source(f"filters/{text}")
    assert words[1] in (caught.value.hint or "")


@pytest.mark.parametrize(
    "array",
    [np.ones(3), np.ones((4, 4)), np.ones((3, 5)), np.ones((2, 2, 3, 3)), np.ones((0, 3, 3)),
     np.full((3, 3), np.nan), np.array([["a"]]), np.array([[{}]], dtype=object)],
    ids=["line", "even", "oblong", "two colours", "empty", "nan", "words", "pickle"],
)  # fmt: skip
def test_what_holds_no_kernels_is_refused(array: np.ndarray, tmp_path: Path):
    np.save(tmp_path / "k.npy", array, allow_pickle=True)
    with pytest.raises(SourceError, match=r"k\.npy"):
        source(f"filters/kernels:file={tmp_path / 'k.npy'}")


@pytest.mark.parametrize("name", ["k.npy", "k.npz", "k.csv", "k.txt", "k.safetensors"])
def test_a_damaged_file_and_a_wrong_name_are_told(name: str, tmp_path: Path):
    (tmp_path / name).write_text("not, numbers; at all")
    with pytest.raises(SourceError, match="cannot be read"):
        source(f"filters/kernels:file={tmp_path / name}")
    with pytest.raises(SourceError, match="no kernels at") as caught:
        source(f"filters/kernels:file={tmp_path / name.replace('k', 'kk', 1)}")
    assert name in (caught.value.hint or "")


def test_several_arrays_are_not_guessed_among(tmp_path: Path):
    np.savez(tmp_path / "k.npz", one=np.ones((3, 3)), two=np.ones((3, 3)))
    with pytest.raises(SourceError, match="cannot be read") as caught:
        source(f"filters/kernels:file={tmp_path / 'k.npz'}")
    assert "2 arrays" in (caught.value.found or "")


def test_a_bank_is_a_source_with_taps():
    bank = source("filters/gaussian:size=7")
    assert [(tap.name, tap.kind, tap.shape) for tap in bank.taps(24)] == [
        ("input", "input", (3, 24, 24)),
        ("filter", "logits", (3, 24, 24)),
    ]
    assert bank.survey(24).macs == 3 * 24 * 24 * 49  # depthwise
    assert bank.spec == "filters/gaussian:size=7"
    assert bank.preprocessing.mean == (0, 0, 0)
    assert bank.preprocessing.std == (1, 1, 1)
    assert list(bank.module.state_dict()) == ["filter.weight"]
    wide = source("filters/gaussian+sobel").survey(24)
    assert wide.tap("filter").shape == (9, 24, 24)
    assert wide.find("features") is None


def front(bank: str, adapter: str = "identity", target: str = "b:input") -> Composite:
    """A bank in front of a CIFAR ResNet-20, with the network's own preprocessing."""
    network = opened("cifar_resnet20")
    own = network.preprocessing
    sources = {"f": source(f"filters/{bank}", mean=own.mean, std=own.std), "b": network}
    plan = plan_for(
        sources,
        wires=[wire(f"f:filter -> {target}", "replace", adapter, "one")],
        heads=[head("label", "identity", "b:fc")],
    )
    refs = tuple(source_ref(name, opened_source) for name, opened_source in sources.items())
    return compose(replace(plan, sources=refs), sources)


def test_an_identity_in_front_of_a_network_is_the_network():
    image = images()
    for training in (False, True):
        expected = run_alone(opened("cifar_resnet20"), image, training=training)
        result = run(front("identity:size=5"), image, training=training)["label"]
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)


def test_a_blur_in_front_of_a_network_is_the_network_on_blurred_images():
    image = images()
    blurred = ndimage.gaussian_filter(image.numpy(), 1.1, radius=2, axes=(2, 3), mode="mirror")
    expected = run_alone(opened("cifar_resnet20"), torch.from_numpy(blurred), training=False)
    result = run(front("gaussian:size=5,sigma=1.1"), image, training=False)["label"]
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_a_bank_of_many_channels_in_front_goes_through_an_adapter():
    composite = front("gabor", "conv1x1")
    assert composite(images())["label"].shape == (2, 10)


def test_a_bank_instead_of_the_first_layer():
    composite = front("random:channels=16", target="b:conv1")
    assert composite(images())["label"].shape == (2, 10)
    assert "sources.f.filter.weight" in composite.state_dict()
    assert "sources.b.conv1.weight" not in composite.state_dict()
    assert parse_plan(str(composite.plan)) == composite.plan


def test_filters_can_learn_and_are_saved(tmp_path: Path):
    composite = front("gaussian+sobel_x", "conv1x1")
    composite(images())["label"].square().sum().backward()
    weight = composite.get_parameter("sources.f.filter.weight")
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0
    with torch.no_grad():
        weight -= weight.grad / weight.grad.norm()
    labels = [f"class {number}" for number in range(10)]
    run_folder = save(tmp_path / "run", composite, labels=labels)
    image = images()
    assert torch.equal(load(run_folder).composite(image)["label"], composite.eval()(image)["label"])
    learned = source(f"filters/gaussian+sobel_x@{run_folder}#f")
    assert torch.equal(learned.module.get_parameter("filter.weight"), weight)
    with pytest.raises(SourceError, match="are not of filters/box"):
        source(f"filters/box@{run_folder}#f")
