"""Fitted objects as one ``.npz`` file: arrays and JSON, no pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
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
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_archive(path: str | os.PathLike[str], kinds: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Return the kind, one of `kinds`, and the values of a file written by `write_archive`."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(str(archive["__header__"]))
            version, kind, values = int(header["format"]), str(header["kind"]), dict(header["values"])
            if version > FORMAT_VERSION:
                raise StructKitError(
                    f"{name} has format {version}; this version reads up to {FORMAT_VERSION}. Upgrade structkit."
                )
            values.update({k: archive[k] for k in archive.files if k != "__header__"})
    except (FileNotFoundError, PermissionError, IsADirectoryError, StructKitError):
        raise
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as err:
        raise StructKitError(f"{name} is not a complete structkit file: {err}. Save the object again.") from err
    if kind not in kinds:
        raise StructKitError(f"{name} holds a {kind!r}; expected one of {', '.join(kinds)}.")
    return kind, values


def _umask() -> int:
    """Permissions that new files of this process lack."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
