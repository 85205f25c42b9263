"""Builds the file of a version, in a process of its own: it takes memory, and seconds of CPU."""

import os
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from app.errors import ServiceError
from app.inference.exporting.formats import Format
from app.inference.exporting.torch_files import pack
from app.inference.stored import StoredVersion
from app.settings import Settings
from app.storage import CacheFolder, open_store, with_cache
from models import calibrated, known, methods, state
from models.learner import restore
from models.portable import to_onnx
from models.torch_program import to_program

# As little urgent as Linux knows: predictions come first.
_NICENESS = 19
_REASON_LENGTH = 300


def build(
    settings: Settings,
    form: Format,
    classifier: str,
    stored: StoredVersion,
    target: Path,
    result: Connection,
) -> None:
    """Write the file of a version; send None, or why there is none and whether it may pass.

    The entry of the process.
    """
    os.nice(_NICENESS)
    torch.set_num_threads(1)
    try:
        _write(settings, form, classifier, stored, target)
    except ServiceError as error:
        result.send((error.detail, True))
    except Exception as error:  # what exporters raise, and networks of other packages
        reason = " ".join(str(error).split())[:_REASON_LENGTH] or type(error).__name__
        result.send((reason, False))
    else:
        result.send(None)


def _write(
    settings: Settings, form: Format, classifier: str, stored: StoredVersion, target: Path
) -> None:
    spec, store = stored.spec, open_store(settings.storage_url)
    tensors = stored.tensors(with_cache(store, CacheFolder.of(settings)))
    loaded = state.State(tensors, stored.tasks)
    method = restore(spec, loaded)
    servable = calibrated.servable(method, loaded.parts.get(calibrated.PART, {}))
    servable.requires_grad_(False).eval()
    held_out = loaded.parts.get(known.PART, {})
    about = {
        "classifier": classifier,
        "version": stored.number,
        "labels": stored.labels,
        "tasks": stored.tasks,
        "method": spec.method,
        "classify": methods.get(spec.method).classify[0],
        "backbone": spec.backbone,
        "image_size": spec.image_size,
        "resize": spec.resize,
        "false_alarms": spec.false_alarms,
    }
    least = known.smallest_p(held_out)
    # With too few held-out images, no image can be called unknown.
    false_alarms = spec.false_alarms if least is not None and least <= spec.false_alarms else None
    if form == "onnx":
        from app.inference.exporting.graph import complete  # noqa: PLC0415 - needs the extra `onnx`

        outputs = to_onnx(servable, held_out, spec.image_size, target)
        complete(
            target,
            outputs,
            size=spec.image_size,
            resize=spec.resize,
            labels=stored.labels,
            false_alarms=false_alarms,
            about=about,
        )
    else:
        program = to_program(servable, held_out, spec.image_size)
        pack(target, program, {**about, "false_alarms": false_alarms})
