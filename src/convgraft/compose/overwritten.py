"""Readers of a value that was overwritten in place: what they read is what the writer returned.

    y = relu_(x); z = conv(y); return z + x        the sum reads relu_'s result, under another name

As long as nothing is joined in between, both names mean one piece of memory. Where the writer's
result is replaced by something else, nobody would ask for it any more, and `x` would stay as it
was. So the graph says what is read: `z + y`, y being what the network itself computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import fx

from convgraft.sources import Source, Survey
from convgraft.sources.dry_run import dry_run

Reads = Mapping[tuple[str, str], str]


def later_reads(
    source: Source, survey: Survey, nodes: Mapping[str, fx.Node], *, training: bool
) -> Reads:
    """(reader, argument) to the writer that the reader's argument has its value from.

    Args:
        nodes: of the source's graph in that mode, by name, in order.
    """
    mutators = survey.mutators[training]
    found = dict(_candidates(nodes, mutators))
    if not found:
        return {}
    graph, channels = source.capture.graph(training), source.preprocessing.channels
    shape = (2, channels, survey.image_size, survey.image_size)
    real = bool(source.capture.opaque)
    run = dry_run(source.module, graph.fx, [graph.output], shape, training=training, real=real)
    return {
        (reader, argument): writer
        for (reader, argument), writer in found.items()
        if run.storages.get(writer) == run.storages[argument]
        and run.shapes[writer] == run.shapes[argument]
    }


def _candidates(
    nodes: Mapping[str, fx.Node], mutators: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[tuple[str, str], str]]:
    place = {name: number for number, name in enumerate(nodes)}
    for argument, writers in mutators.items():
        known = [name for name in writers if name in place]
        for reader in nodes[argument].users if argument in nodes else ():
            before = [name for name in known if place[name] < place.get(reader.name, -1)]
            if before:
                yield (reader.name, argument), max(before, key=place.__getitem__)
