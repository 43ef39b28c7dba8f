"""Every example of the user guide runs."""

import doctest

import pytest

from tests.house.imports import ROOT

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "guide").glob("*.rst")), ids=lambda p: p.stem)
def test_examples_of_the_guide_run(page):
    result = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert result.failed == 0
