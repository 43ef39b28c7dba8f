"""Fitted objects as one ``.npz`` file: arrays and JSON, no pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from structkit._core.errors import StructKitError

__all__ = ["FORMAT_VERSION", "read_archive", "write_archive"]

FORMAT_VERSION = 1


def write_archive(path: str | os.PathLike[str], kind: str, data: Mapping[str, object]) -> None:
    """Write arrays and JSON-able values under one name each; the file appears whole or not at all."""
    arrays = {k: v for k, v in data.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in data.items() if not isinstance(v, np.ndarray)}
    header = json.dumps({"format": FORMAT_VERSION, "kind": kind, "values": rest})
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as f:
            np.savez(f, __header__=np.array(header), **arrays)  # type: ignore[arg-type]
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_archive(path: str | os.PathLike[str]) -> tuple[str, dict[str, object]]:
    """Return the kind and the values of a file written by `write_archive`."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(str(archive["__header__"]))
            values = dict(header["values"])
            values.update({k: archive[k] for k in archive.files if k != "__header__"})
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, json.JSONDecodeError) as err:
        raise StructKitError(
            f"{os.fspath(path)} is not a complete structkit file: {err}. Save the object again."
        ) from err
    if header["format"] > FORMAT_VERSION:
        raise StructKitError(
            f"{os.fspath(path)} has format {header['format']}; this version reads up to {FORMAT_VERSION}. "
            "Upgrade structkit."
        )
    return str(header["kind"]), values
