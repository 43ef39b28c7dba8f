"""Public signatures and docstrings follow the conventions, and the checker sees where one does not."""

import pytest

from tests.house import conventions


def test_the_public_api_follows_its_conventions():
    assert conventions.all_problems() == []


def test_everything_public_is_walked():
    names = {name for name, _ in conventions.callables()}
    assert {"structkit.kron.kron_matmul", "structkit.gp.GridGP", "structkit.gp.GridGP.predict"} <= names
    assert {"structkit.tucker.FunctionalCP.sample", "structkit.kron.Kronecker"} <= names
    assert len(names) > 200


def test_every_exception_is_needed():
    used = {
        (name, p.name)
        for name, function in conventions.callables()
        for p in conventions.parameters(function)
        if list(conventions._of_parameter(name, p))
    }
    assert set(conventions.ON_PURPOSE) <= used


def undocumented(x, seed=None):
    return x


def positional_option(x: float, tol: float = 1e-3) -> None:
    pass


def positional_switch(x: float, fast: bool = False) -> None:
    pass


def other_default(x: float, *, verbose: int = 1) -> None:
    pass


def many_by_position(x: float, a: int = 1, b: int = 2, c: int = 3) -> None:
    pass


def other_order(variance: float = 1.0, lengthscale: float = 1.0) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (undocumented, "seed is called random_state elsewhere"),
        (positional_option, "tol is given by name elsewhere"),
        (positional_switch, "the switch fast can be given by position"),
        (other_default, "verbose=1; elsewhere it is 0"),
        (many_by_position, "a, b, c can all be given by position"),
        (other_order, "variance, lengthscale in another order than lengthscale, variance"),
    ],
)
def test_the_checker_sees_signatures(function, message):
    assert any(message in problem for problem in conventions.signature_problems("f", function))


def documented(x: float) -> float:
    """Return the number.

    Parameters
    ----------
    x : float
        Any number.

    Returns
    -------
    float
        The same.

    See Also
    --------
    undocumented : the same without words.
    """
    return x


def silent(x: float, y: float) -> float:
    """Return the number.

    Parameters
    ----------
    x : float
        Any number.
    """
    return x


def test_the_checker_sees_docstrings():
    assert conventions.docstring_problems("f", documented, is_method=False) == []
    assert conventions.docstring_problems("f", silent, is_method=False) == [
        "f: y not under Parameters",
        "f: no Returns",
        "f: neither Raises nor See Also",
    ]
