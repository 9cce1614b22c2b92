import pytest

from convgraft.errors import SourceError
from convgraft.sources import SourceSpec, parse_spec

GOOD = {
    "torchvision/resnet18": SourceSpec("torchvision", "resnet18"),
    "torchvision/resnet18@DEFAULT": SourceSpec("torchvision", "resnet18", "DEFAULT"),
    "timm/mobilenetv3_small_100@w.safetensors": SourceSpec(
        "timm", "mobilenetv3_small_100", "w.safetensors"
    ),
    "timm/resnet18.a1_in1k": SourceSpec("timm", "resnet18.a1_in1k"),
    "cifar_resnet20": SourceSpec("builtin", "cifar_resnet20"),
    "cifar_resnet20@runs/one": SourceSpec("builtin", "cifar_resnet20", "runs/one"),
    "cifar_resnet20@runs/join#b": SourceSpec("builtin", "cifar_resnet20", "runs/join#b"),
    "custom16@/tmp/me@home/my weights.pth": SourceSpec(
        "builtin", "custom16", "/tmp/me@home/my weights.pth"
    ),
    "python:my_package.nets:build": SourceSpec("python", "my_package.nets:build"),
    "filters/gaussian": SourceSpec("filters", "gaussian"),
    "filters/gaussian:size=7,sigma=1.5+sobel_x": SourceSpec(
        "filters", "gaussian:size=7,sigma=1.5+sobel_x"
    ),
    "filters/kernels:file=my kernels/k.npy": SourceSpec("filters", "kernels:file=my kernels/k.npy"),
    "filters/sobel@runs/one#f": SourceSpec("filters", "sobel", "runs/one#f"),
    "python:nets:Models.small@w.pth": SourceSpec("python", "nets:Models.small", "w.pth"),
}
BAD = [
    "", "@w.pth", "resnet-18", "torchvision/", "torchvision/a/b", "keras/resnet18", "python:nets",
    "python::build", "python:1nets:build", "Torchvision/resnet18", "20net",
    "filters/", "filters/ ", "Filters/gaussian",
]  # fmt: skip


@pytest.mark.parametrize(("text", "spec"), GOOD.items())
def test_reads_what_the_grammar_allows(text: str, spec: SourceSpec):
    assert parse_spec(text) == spec


@pytest.mark.parametrize("text", GOOD)
def test_prints_as_it_was_written(text: str):
    assert str(parse_spec(text)) == text
    assert parse_spec(text).architecture == text.split("@")[0]


def test_space_around_a_spec_does_not_matter():
    assert parse_spec("  cifar_resnet20 \n") == SourceSpec("builtin", "cifar_resnet20")


@pytest.mark.parametrize("text", BAD)
def test_refuses_what_names_no_network(text: str):
    with pytest.raises(SourceError, match="does not name a network") as caught:
        parse_spec(text)
    assert "ARCH[@WEIGHTS]" in (caught.value.expected or "")


def test_weights_announced_and_not_named():
    with pytest.raises(SourceError, match='"cifar_resnet20@" names no weights') as caught:
        parse_spec("cifar_resnet20@")
    assert "cifar_resnet20@FILE" in (caught.value.hint or "")
