"""Weights and exported models of a run, copied with what they say of themselves made portable."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from convgraft.durable.tensors import write_tensors
from convgraft.errors import ArtifactError
from convgraft.export.facts import read_facts, weights_hash
from convgraft.export.hub.check import WEIGHTS, weights_metadata
from convgraft.export.hub.places import Places, portable_network
from convgraft.export.onnx_content import refuse_external_data
from convgraft.plan import Plan

KEPT = ("format", "convgraft_plan", "sources", "held")


def copy_weights(run: Path, folder: Path, plan: Plan) -> None:
    """Copy `model.safetensors`, noted as that of a portable plan; the tensors stay as they are."""
    old = weights_metadata(run / WEIGHTS)
    new = {key: value for key, value in old.items() if key in KEPT}
    new["convgraft_plan"] = plan.hash
    if "sources" in old:
        new["sources"] = _portable_notes(old["sources"], plan)
    if new == old:
        shutil.copyfile(run / WEIGHTS, folder / WEIGHTS)
        return
    from safetensors.torch import load_file

    write_tensors(folder / WEIGHTS, load_file(run / WEIGHTS), new)


def _portable_notes(text: str, plan: Plan) -> str:
    notes: dict[str, dict[str, Any]] = json.loads(text)
    for name, note in notes.items():
        ref = plan.source(name)
        nested = ref is not None and ref.plan is not None
        note["network"] = portable_network(str(note.get("network", "")), nested=nested)
    return json.dumps(notes)


def copy_onnx(old: Path, new: Path, plan: Plan, card: str, places: Places) -> str | None:
    """Copy an exported model that belongs to the weights beside it, if there is one.

    Its notes become those of the portable plan; what a compiler noted on its nodes, such as lines
    of files on this machine, is left out. Gives the reason where the file itself is left out.
    """
    if not old.is_file():
        return None
    try:
        import onnx
    except ImportError:
        return f'{old.name}: pip install "convgraft[onnx]" to send it'
    from google.protobuf.message import DecodeError

    try:
        refuse_external_data(old)
        model = onnx.load(str(old))
        facts = read_facts({one.key: one.value for one in model.metadata_props}, name=old.name)
    except (DecodeError, ArtifactError, OSError, ValueError) as error:
        return f"{old.name}: {str(error).splitlines()[0]}"
    if not facts.is_of(old.parent):
        return f"{old.name}: it was exported from other weights; export it again"
    noted = weights_hash(new.parent)
    facts = replace(facts, plan=str(plan), plan_hash=plan.hash, weights_hash=noted, card=card)
    _forget_notes(model)
    onnx.helper.set_model_props(model, facts.texts())
    onnx.save(model, str(new))
    told = places.told_by(new)
    if told:
        new.unlink()
    return f"{old.name}: it names {told}" if told else None


def _forget_notes(message: Any) -> None:
    """Clear the documentation and notes of a protobuf message and of all that is in it."""
    for field, value in list(message.ListFields()):
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for item in [value] if hasattr(value, "ListFields") else value:
                _forget_notes(item)
