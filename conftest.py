"""What every test and doctest needs."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _figures_are_closed():
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
