"""Pictures of mistakes, where the images can be had and are those that the run was tested on."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convgraft.errors import ConvgraftError

if TYPE_CHECKING:
    from convgraft.data import ImageSet
    from convgraft.report.page_data import Examined

SIDE = 96  # pixels of a picture at most


@dataclass(frozen=True)
class Pictures:
    """Where images may be found.

    Attributes:
        data: as a command names an image set; None where nobody said.
        target: its label columns.
        fingerprint: of the set that was tested on; empty where it is not known.
        asked: whether the user named the set, so that a failure is an error.
    """

    data: str | None = None
    target: tuple[str, ...] = ()
    fingerprint: str = ""
    asked: bool = True

    def of_run(self, metrics: Mapping[str, Any]) -> Pictures:
        """With what a run has noted of its images, where the user said nothing."""
        noted = metrics.get("data", {})
        known = {"fingerprint": noted.get("fingerprint", "")}
        if self.data or "location" not in noted:
            return replace(self, **known)
        target = self.target or tuple(filter(None, (noted.get("target"),)))
        return Pictures(noted["location"], target, asked=False, **known)

    def shown(self, examined: Examined) -> Examined:
        """The same with a picture of each mistake, as far as there are any."""
        images = self._open() if examined.mistakes else None
        if images is None:
            return examined
        place = {name: number for number, name in enumerate(images.ids)}
        mistakes = tuple(
            replace(one, picture=_picture(images, place[one.id])) if one.id in place else one
            for one in examined.mistakes
        )
        return replace(examined, mistakes=mistakes)

    def _open(self) -> ImageSet | None:
        """The image set; None where there is none, or where it is another one by now."""
        from convgraft.cli.console import say
        from convgraft.data import open_images

        if not self.data:
            return None
        try:
            images = open_images(self.data, target=list(self.target) or None)
        except ConvgraftError:
            if self.asked:
                raise
            return None
        if self.fingerprint and images.fingerprint != self.fingerprint:
            say(f"no pictures: {self.data} is not the set that was tested on")
            return None
        return images


def _picture(images: ImageSet, index: int) -> str:
    """An image as the address of a PNG within the page; empty where it is broken."""
    from PIL import Image

    from convgraft.data import BrokenImage

    try:
        pixels = images.read(index)
    except BrokenImage:
        return ""
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
