"""What batching is worth: requests at one time beside the same requests one after another.

The composite is SqueezeNet 1.1 and MobileNetV2 in parallel at 100x100, with random weights, served
by `convgraft serve` in a process of its own. A request is one JPEG of 100x100 pixels in a form.

- `one_at_a_time`: a client that asks, waits for the answer, and asks again.
- `at_once`: the same number of requests over `--clients` connections at one time.
- `unbatched`: the same as that, of a server with `--batch-size 1`.

All are throughputs in requests a second, medians over `--rounds`, which take turns. The client
writes its requests to sockets by itself, so that it costs little of the machine. `ratio` is at once
over one at a time, its goal 2; `errors` are answers that are not 200, its goal 0.

    python benchmarks/serve.py
    python benchmarks/serve.py --requests 40 --clients 20 --rounds 1 --size 32
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

GOAL = 2.0
NETWORKS = ("torchvision/squeezenet1_1", "torchvision/mobilenet_v2")
CLASSES, BATCH = 8, 32
CODE = (
    "import sys; from pathlib import Path; from convgraft.cli.serve import serve; "
    "serve(Path(sys.argv[1]), port=0, threads=int(sys.argv[2]), engine=sys.argv[3], "
    "batch_size=int(sys.argv[4]))"
)


def write_run(folder: Path, size: int) -> Path:
    """A run of the composite, not trained."""
    from convgraft.compose import compose
    from convgraft.export import save
    from convgraft.sources import source
    from convgraft.strategies import STRATEGIES, Ingredients

    opened = {name: source(spec) for name, spec in zip("ab", NETWORKS, strict=True)}
    given = Ingredients(opened, size, CLASSES)
    composite = compose(STRATEGIES["parallel"].write(given), opened).eval()
    return save(folder / "parallel", composite, labels=[f"class {n}" for n in range(CLASSES)])


@contextmanager
def serving(run: Path, threads: int, engine: str, batch: int) -> Iterator[int]:
    """The port of a server of its own."""
    command = [sys.executable, "-c", CODE, str(run), str(threads), engine, str(batch)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = process.stderr.readline()
        try:
            yield int(said.partition("http://127.0.0.1:")[2].split()[0])
        finally:
            process.terminate()


def request_of(size: int) -> bytes:
    """A whole HTTP request with one picture in a form."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
    body = part + file.getvalue() + b"\r\n--x--\r\n"
    told = (
        "POST /v1/predict?top=3 HTTP/1.1",
        "Host: localhost",
        "Content-Type: multipart/form-data; boundary=x",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*told, "", "")).encode() + body


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, count: int
) -> int:
    """Ask so often over one connection, one after another: how many answers are not 200."""
    wrong = 0
    for _ in range(count):
        writer.write(request)
        top = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in top.split("\r\n") if line.startswith("content-length"))
        await reader.readexactly(int(length.partition(":")[2]))
        wrong += top.split()[1] != "200"
    writer.close()
    return wrong


async def throughput(port: int, request: bytes, requests: int, clients: int) -> tuple[float, int]:
    """Requests a second, and how many went wrong."""
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(clients)]
    began = time.perf_counter()
    wrong = await asyncio.gather(*(ask(*line, request, requests // clients) for line in lines))
    return requests / (time.perf_counter() - began), sum(wrong)


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="What batching is worth.")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", default="torch", help="torch, or onnx if RUN holds one")
    parser.add_argument("--run", type=Path, help="a run of your own, instead of the composite")
    options = parser.parse_args()
    speeds, errors = measure(options)
    one, many, unbatched = (statistics.median(found) for found in speeds.values())
    case = {
        "requests": options.requests,
        "clients": options.clients,
        "one_at_a_time": round(one, 2),
        "at_once": round(many, 2),
        "unbatched": round(unbatched, 2),
        "errors": errors,
    }
    ratio = round(many / one, 3)
    print(json.dumps({"benchmark": "serve", "ratio": ratio, "goal": GOAL, "cases": [case]}))
    return 0 if ratio >= GOAL and not errors else 1


def measure(options: argparse.Namespace) -> tuple[dict[str, list[float]], int]:
    """Requests a second of every round by what is measured, and how many went wrong."""
    request, clients = request_of(options.size), options.clients
    speeds: dict[str, list[float]] = {"one_at_a_time": [], "at_once": [], "unbatched": []}
    errors = 0
    with tempfile.TemporaryDirectory() as place:
        run = options.run or write_run(Path(place), options.size)
        own = (run, options.threads, options.engine)
        with serving(*own, BATCH) as port, serving(*own, 1) as other:
            asked = ((port, 1), (port, clients), (other, clients))
            for number in range(-1, options.rounds):  # the first round warms up
                for found, (at, count) in zip(speeds.values(), asked, strict=True):
                    speed, wrong = asyncio.run(throughput(at, request, options.requests, count))
                    errors += wrong
                    found += [speed] if number >= 0 else []
                if number >= 0:
                    told = {name: round(found[-1], 1) for name, found in speeds.items()}
                    print(f"round {number + 1}: {told}")
    return speeds, errors


if __name__ == "__main__":
    sys.exit(main())
