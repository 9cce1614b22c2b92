"""What a network overwrites in place stays overwritten, whatever is joined in where."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convgraft.compose import compose
from convgraft.sources import source
from helpers import Tiny, head, images, plan_for, wire


class ReadsAfter(nn.Module):
    """conv(relu(x)) + x, where the ReLU has overwritten x by then."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.relu = nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True)
        self.conv, self.fc = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        y = self.conv(self.relu(x))
        return self.fc((y + x).mean((2, 3)))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("join", ["replace", "add"])
def test_a_reader_after_the_writer_reads_what_was_written(join: str, training: bool) -> None:
    sources = {"a": source(Tiny(), size=16), "b": source(ReadsAfter(), size=16)}
    arriving = wire("a:conv -> b:relu", join, "conv1x1", "one")
    heads = [head("h", "identity", "b:fc")]
    plan = plan_for(sources, wires=[arriving], heads=heads, size=16)
    composite = compose(plan, sources).train(training)
    own, adapter = composite.sources.b, composite.adapters.get_submodule("a:conv->b:relu")
    image = composite.preprocess.b(images(16))
    written = own.entry(image).clamp(min=0)
    joined = adapter(composite.sources.a.conv(image))
    joined = joined if join == "replace" else joined + written
    expected = own.fc((own.conv(joined) + written).mean((2, 3)))
    torch.testing.assert_close(composite(images(16))["h"], expected)
