"""What goes in and out as JSON. The OpenAPI document is made of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0)]


class Problem(BaseModel):
    """What is wrong: in a sentence, what would be right, what was there, what to try."""

    what: str
    expected: str | None
    found: str | None
    hint: str | None


class ErrorAnswer(BaseModel):
    """Every answer whose status is 400 or more."""

    error: Problem


class Base64Images(BaseModel):
    """Pictures as JSON: files (JPEG, PNG, ...), each encoded as base64."""

    model_config = ConfigDict(extra="forbid", strict=True)
    images: Annotated[list[str], Field(min_length=1)]


class Chance(BaseModel):
    """A class and how probable it is; `index` is its place among the labels."""

    label: str
    index: Annotated[int, Field(ge=0)]
    probability: Probability


class Answer(BaseModel):
    """What is in one picture: the most probable classes first. `name` is the file's, as sent."""

    name: str | None
    classes: list[Chance]


class Predictions(BaseModel):
    """An answer for each picture, in the order in which they came."""

    engine: str
    answers: list[Answer]


class Evidence(BaseModel):
    """Where a network found evidence for a class: a small grid over the whole picture.

    `values` are `height` rows of `width` numbers from 0 (none) to 1 (most); `tap` is the place in
    the network that it was read at.
    """

    tap: str
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    values: list[list[Probability]]


class SourceAnswer(BaseModel):
    """What one network of the composite says of the picture.

    `told` says where `classes` are from: its `own` head, the `nearest` thing that can be computed
    (the other networks' features held at their mean), or `none`; `words` say it to people.
    """

    name: str
    network: str
    told: Literal["own", "nearest", "none"]
    words: str
    classes: list[Chance]
    evidence: Evidence | None


class Strength(BaseModel):
    """How strongly a part of the fusion works on this picture.

    `part` is a `wire`, a `branch` of a fused head, a `member` of a vote or a `rung` of a ladder.
    `of_image` tells whether another picture may have another number; `words` say what it means.
    """

    part: Literal["wire", "branch", "member", "rung"]
    name: str
    strength: Share
    of_image: bool
    words: str


class Explanation(BaseModel):
    """Why: the class that is explained, each network's answer and evidence, the strengths."""

    explained: Chance
    sources: list[SourceAnswer]
    strengths: list[Strength]


class Model(BaseModel):
    """The model that answers. `explains` is false where `why_not` says why."""

    name: str
    engine: str
    labels: list[str]
    size: Annotated[int, Field(ge=1)]
    networks: list[str]
    card: str
    explains: bool
    why_not: str


class Map(BaseModel):
    """The fusion map: a picture of the plan as SVG."""

    title: str
    svg: str


class Health(BaseModel):
    """That the server is up."""

    status: Literal["ok"]
