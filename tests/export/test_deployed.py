"""What stands around a deployed network: the resize inside, layouts, outputs."""

from __future__ import annotations

import pytest
import torch
from helpers_runs import Case, run_of
from torch import Tensor, nn

from convgraft.data import resized
from convgraft.errors import UsageError
from convgraft.export.deployed import Deployed, deployed

SIZES = [(16, 16), (16, 40), (333, 77), (5, 9), (1, 1), (100, 100)]


class Shown(nn.Module):
    """Says what it was given: its logits are the grey levels."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        self.given = images
        return {"label": images.float().mean((2, 3))}


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_the_network_sees_what_it_saw_in_training(height: int, width: int, layout: str) -> None:
    shown = Shown()
    images = torch.randint(0, 256, (3, 3, height, width), dtype=torch.uint8)
    given = images if layout == "nchw" else images.permute(0, 2, 3, 1).contiguous()
    Deployed(shown, "label", 16, layout)(given)
    assert shown.given.dtype == torch.uint8
    assert torch.equal(shown.given, resized(images, 16))


def test_an_image_of_the_networks_size_is_untouched() -> None:
    shown = Shown()
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    Deployed(shown, "label", 16, "nchw")(images)
    assert torch.equal(shown.given, images)


def test_probabilities_and_index_of_every_label_column(real_images: Tensor) -> None:
    run = run_of(Case("multitask"), real_images)
    whole = deployed(run, layout="nchw")
    assert whole.outputs == ("probabilities", "index", "probabilities_kind", "index_kind")
    with torch.no_grad():
        main, index, kind, kind_index = whole(real_images)
    assert torch.equal(main, run.probabilities(real_images))
    assert torch.equal(index, main.argmax(1)) and index.dtype == torch.int64
    assert kind.shape == (100, 3) and torch.equal(kind_index, kind.argmax(1))


def test_other_layouts_are_refused() -> None:
    with pytest.raises(UsageError, match="nhwc, nchw"):
        Deployed(Shown(), "label", 16, "hwc")
