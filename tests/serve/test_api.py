"""The addresses: what they answer is what the run says."""

from __future__ import annotations

import base64

import pytest
import torch
from starlette.testclient import TestClient

from convgraft.data import read_resized
from convgraft.export import Run
from convgraft.serve.page import PARTS
from convgraft.serve.served import Served

from .conftest import LABELS, SIZE, asking, files, picture

PICTURES = [picture(seed, (20 + seed, 30)) for seed in range(5)]


def expected(run: Run, data: bytes) -> list[tuple[str, float]]:
    """The classes of one file, the most probable first, by the run itself."""
    chances = run.probabilities(read_resized(data, SIZE)[None])[0]
    order = chances.argsort(descending=True).tolist()
    return [(LABELS[index], chances[index].item()) for index in order]


def test_many_files_are_answered_in_their_order_as_the_run_does(
    client: TestClient, run: Run
) -> None:
    answer = client.post("/v1/predict?top=4", files=files(*PICTURES))
    assert answer.status_code == 200
    told = answer.json()
    assert told["engine"] == "PyTorch"
    assert [one["name"] for one in told["answers"]] == [f"{n}.png" for n in range(5)]
    for one, data in zip(told["answers"], PICTURES, strict=True):
        for found, (label, chance) in zip(one["classes"], expected(run, data), strict=True):
            assert found["label"] == label == LABELS[found["index"]]
            assert found["probability"] == pytest.approx(chance, abs=1e-5)


def test_json_says_the_same_as_a_form(client: TestClient) -> None:
    encoded = [base64.b64encode(data).decode() for data in PICTURES]
    as_json = client.post("/v1/predict", json={"images": encoded}).json()["answers"]
    as_form = client.post("/v1/predict", files=files(*PICTURES)).json()["answers"]
    assert [one["name"] for one in as_json] == [None] * 5
    for one, other in zip(as_json, as_form, strict=True):
        assert [c["label"] for c in one["classes"]] == [c["label"] for c in other["classes"]]


@pytest.mark.parametrize(("top", "count"), [(1, 1), (3, 3), (1000, 4)])
def test_top_says_how_many_classes(client: TestClient, top: int, count: int) -> None:
    answer = client.post(f"/v1/predict?top={top}", files=files(picture())).json()
    assert len(answer["answers"][0]["classes"]) == count


def test_an_explanation_is_of_the_answer_and_its_evidence_covers_the_picture(
    client: TestClient, run: Run
) -> None:
    told = client.post("/v1/explain", files=files(picture())).json()
    label, chance = expected(run, picture())[0]
    assert told["explained"]["label"] == label
    assert told["explained"]["probability"] == pytest.approx(chance, abs=1e-5)
    a, b = told["sources"]
    assert (a["name"], a["told"], b["name"], b["told"]) == ("a", "own", "b", "nearest")
    own = run.composite(read_resized(picture(), SIZE)[None])["own_a"].softmax(1)[0]
    assert a["classes"][0]["probability"] == pytest.approx(own.max().item(), abs=1e-5)
    assert a["classes"][0]["label"] == LABELS[int(own.argmax())]
    seen = [one["evidence"] for one in (a, b) if one["evidence"]]
    assert seen
    for one in seen:
        values = torch.tensor(one["values"])
        assert values.shape == (one["height"], one["width"])
        assert values.max() == 1 and values.min() >= 0
    assert {one["part"] for one in told["strengths"]} == {"wire", "branch"}


def test_another_class_can_be_explained(client: TestClient) -> None:
    maps = []
    for index in range(len(LABELS)):
        told = client.post(f"/v1/explain?index={index}", files=files(picture())).json()
        assert told["explained"]["index"] == index
        maps.append([one["evidence"] for one in told["sources"]])
    assert any(one != maps[0] for one in maps)
    wrong = client.post("/v1/explain?index=4", files=files(picture()))
    assert wrong.status_code == 422 and wrong.json()["error"]["expected"] == "0 to 3"


def test_the_model_tells_what_it_is(client: TestClient) -> None:
    told = client.get("/v1/model").json()
    assert told["labels"] == list(LABELS) and told["size"] == SIZE
    assert told["engine"] == "PyTorch" and told["explains"] is True
    assert "A card." in told["card"] and told["networks"] == [
        "a: cifar_resnet20",
        "b: cifar_resnet20",
    ]


def test_the_map_shows_the_wire(client: TestClient) -> None:
    svg = client.get("/v1/map").json()["svg"]
    assert svg.startswith("<svg") and "a:layer1 → b:layer1" in svg and "<script" not in svg


def test_a_model_without_its_run_is_not_explained(served: Served) -> None:
    bare = Served("m.onnx", served.classifier, why_not="an exported model has no networks")
    with asking(bare) as client:
        assert client.get("/v1/model").json()["explains"] is False
        assert client.post("/v1/predict", files=files(picture())).status_code == 200
        for answer in (client.get("/v1/map"), client.post("/v1/explain", files=files(picture()))):
            assert answer.status_code == 404
            assert "no networks" in answer.json()["error"]["found"]


def test_metrics_count_what_was_done(client: TestClient) -> None:
    client.post("/v1/predict", files=files(*PICTURES))
    client.post("/v1/predict", files=files(b"no picture"))
    client.get("/made/up/by/strangers")
    assert client.get("/healthz").json() == {"status": "ok"}
    text = client.get("/metrics").text
    assert 'convgraft_requests_total{path="/v1/predict",status="200"} 1.0' in text
    assert 'convgraft_requests_total{path="other",status="404"} 1.0' in text
    assert 'convgraft_errors_total{status="422"} 1.0' in text
    assert "convgraft_batch_images_sum 5.0" in text
    assert "convgraft_waiting_images 0.0" in text
    assert 'convgraft_request_seconds_count{path="/v1/predict"} 2.0' in text


def test_the_page_and_its_parts_ask_nobody_else(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"
    for name in PARTS:
        part = client.get(f"/assets/{name}")
        assert (
            part.status_code == 200
            and f"assets/{name}" in page.text + client.get("/assets/page.js").text
        )
        assert "https://" not in part.text and "fetch(" not in part.text.replace("fetch(path", "")
    assert "<script>" not in page.text and "http" not in page.text
    assert client.get("/assets/../app.py").status_code == 404


def test_what_is_not_foreseen_is_told_without_a_traceback(served: Served) -> None:
    class Broken:
        labels, size, engine, digest = LABELS, SIZE, "none", ""

        def probabilities(self, images: object) -> None:
            raise RuntimeError("secret path /home/me")

    with asking(Served("x", Broken())) as client:  # type: ignore[arg-type]
        answer = client.post("/v1/predict", files=files(picture()))
        assert answer.status_code == 500
        assert "secret" not in answer.text and answer.json()["error"]["hint"]
        assert client.get("/healthz").status_code == 200
