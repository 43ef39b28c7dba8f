"""Every public name is documented and typed."""

import pytest

from tests.house import docstrings


def test_public_names_are_documented_and_typed():
    assert docstrings.all_problems() == []


def test_public_modules_are_found():
    assert "structkit.kron" in docstrings.public_modules()
    assert "structkit.kron.kron_matmul" in dict(docstrings.public_objects())


def undocumented(x, y: int):
    return x


def documented(x: float) -> float:
    """Return the number.

    Parameters
    ----------
    x : float
        Any number, dimensionless.

    Returns
    -------
    float
        The same number.

    Examples
    --------
    >>> documented(1.0)
    1.0
    """
    return x


@pytest.mark.parametrize(("thing", "fails"), [(undocumented, True), (documented, False)])
def test_the_checker_can_fail(thing, fails):
    assert bool(docstrings.problems_of(thing.__name__, thing)) == fails


def test_missing_types_are_seen():
    assert docstrings.unannotated("f", undocumented) == ["f: no type for x, return"]
    assert docstrings.unannotated("f", documented) == []
