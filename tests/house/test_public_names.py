"""Every name in every ``__all__`` resolves, lazily and eagerly."""

import importlib
import subprocess
import sys

import pytest

import structkit
from tests.house.imports import source_files


def modules_with_all():
    return [m for m, path in source_files().items() if "__all__" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("module", modules_with_all())
def test_every_name_in_all_resolves(module):
    loaded = importlib.import_module(module)
    missing = [name for name in loaded.__all__ if not hasattr(loaded, name)]
    assert missing == []
    assert len(set(loaded.__all__)) == len(loaded.__all__)


def test_dir_lists_the_lazy_names():
    assert set(structkit.__all__) <= set(dir(structkit))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_that_name'"):
        _ = structkit.nothing_of_that_name


def test_eager_import_loads_everything():
    code = "import sys, structkit; print(all(n in vars(structkit) for n in structkit.__all__))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**__import__("os").environ, "EAGER_IMPORT": "1"},
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "True", run.stderr
