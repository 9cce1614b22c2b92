"""A function for each address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from convgraft.serve import schemas
from convgraft.serve.documents import ERRORS, METRICS_TEXT, body_of, errors
from convgraft.serve.metrics import CONTENT_TYPE
from convgraft.serve.page import asset, page_html
from convgraft.serve.service import Service
from convgraft.serve.uploads import read_uploads

DEFAULT_TOP, MOST_TOP = 5, 1000
Top = Annotated[int, Query(ge=1, le=MOST_TOP, description="How many classes to name.")]
Index = Annotated[
    int | None,
    Query(ge=0, description="The class to explain, by its place among the labels."),
]
router = APIRouter()


def service_of(request: Request) -> Service:
    """The service that the application was made for."""
    return request.app.state.service


@router.post(
    "/v1/predict",
    responses=errors(*ERRORS),
    openapi_extra=body_of("One picture or many."),
    operation_id="predict",
)
async def predict(request: Request, top: Top = DEFAULT_TOP) -> schemas.Predictions:
    """Say what is in pictures: the most probable classes of each, in the order they came."""
    service = service_of(request)
    with service.held.of_request() as share:
        uploads = await read_uploads(request, service.limits, share)
        answers = await service.predict(uploads, top)
    return schemas.Predictions(engine=service.served.classifier.engine, answers=answers)


@router.post(
    "/v1/explain",
    responses=errors(*ERRORS, 404),
    openapi_extra=body_of("One picture.", most=1),
    operation_id="explain",
)
async def explain(
    request: Request, top: Top = DEFAULT_TOP, index: Index = None
) -> schemas.Explanation:
    """Say why: what each network says alone, where it found evidence, how strong the wires are."""
    service = service_of(request)
    service.explainer()
    with service.held.of_request() as share:
        [upload] = await read_uploads(request, service.limits, share, most=1)
        return await service.explain(upload, top, index)


@router.get("/v1/model", responses=errors(), operation_id="model")
async def model(request: Request) -> schemas.Model:
    """What answers: its labels, its card, the side in pixels that pictures are brought to."""
    served = service_of(request).served
    return schemas.Model(
        name=served.name,
        engine=served.classifier.engine,
        labels=list(served.classifier.labels),
        size=served.classifier.size,
        networks=list(served.networks),
        card=served.card,
        explains=served.explainer is not None,
        why_not=served.why_not,
    )


@router.get("/v1/map", responses=errors(404, 503, 504), operation_id="map")
async def fusion_map(request: Request) -> schemas.Map:
    """The fusion map as SVG."""
    return await service_of(request).map()


@router.get("/healthz", responses=errors(), operation_id="health")
async def health() -> schemas.Health:
    """That the server is up."""
    return schemas.Health(status="ok")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: METRICS_TEXT, **errors()},
    operation_id="metrics",
)
async def metrics(request: Request) -> Response:
    """Requests, seconds, errors and sizes of batches, as Prometheus reads them."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The web page. It holds nothing of the model, so it needs no token."""
    return Response(page_html(), media_type="text/html")


@router.get("/assets/{name}", include_in_schema=False)
async def assets(name: str) -> Response:
    """The page's style and scripts."""
    return asset(name)
