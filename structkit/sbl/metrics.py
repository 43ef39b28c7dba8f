"""How well a recovery did."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from structkit._backend.namespace import as_array, to_numpy
from structkit._core.errors import ShapeError
from structkit._core.random import check_random_state
from structkit._core.types import Array, RandomState

__all__ = ["nmse", "support_recovery_rate", "symbol_error_rate"]


def nmse(estimate: Array, truth: Array) -> float:
    r"""Compute the normalised mean squared error :math:`\|\hat x - x\|^2 / \|x\|^2`.

    Parameters
    ----------
    estimate : array, any shape
        What was found.
    truth : array, same shape
        What is true; not all zero.

    Returns
    -------
    error : float
        Dimensionless; 0 is perfect, 1 is what zeros would have.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `truth` is zero everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import nmse
    >>> nmse(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    0.25
    """
    found, true = to_numpy(as_array(estimate, "estimate")), to_numpy(as_array(truth, "truth"))
    if found.shape != true.shape:
        raise ShapeError(f"estimate has shape {found.shape} and truth {true.shape}; expected one shape.")
    power = float(np.sum(np.abs(true) ** 2))
    if power == 0:
        raise ValueError("truth is zero everywhere, so there is nothing to normalise by.")
    return float(np.sum(np.abs(found - true) ** 2)) / power


def support_recovery_rate(
    estimate: Array | Sequence[np.ndarray], truth: Array | Sequence[np.ndarray], *, threshold: float = 1e-3
) -> float:
    """Compute the size of the common support over that of the joint support.

    Parameters
    ----------
    estimate : array, or list of index arrays
        Coefficients, or the positions per mode of a Cartesian product such as `KroneckerSBL.support_`.
    truth : array, or list of index arrays
        The truth, in the same form.
    threshold : float, default 1e-3
        Coefficients above this times the largest count as support; the default is the published one.

    Returns
    -------
    rate : float
        Between 0 and 1.

    Raises
    ------
    ShapeError
        If shapes or numbers of modes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import support_recovery_rate
    >>> support_recovery_rate([np.array([1, 2]), np.array([5])], [np.array([1]), np.array([5])])
    0.5
    """
    if isinstance(estimate, (list, tuple)) and isinstance(truth, (list, tuple)):
        if len(estimate) != len(truth):
            raise ShapeError(f"estimate has {len(estimate)} modes and truth {len(truth)}; expected as many.")
        common = math.prod(len(np.intersect1d(a, b)) for a, b in zip(estimate, truth, strict=True))
        joint = math.prod(map(len, estimate)) + math.prod(map(len, truth)) - common
        return common / joint if joint else 1.0
    sizes = [np.abs(to_numpy(x)) for x in (estimate, truth)]  # type: ignore[arg-type]
    if sizes[0].shape != sizes[1].shape:
        raise ShapeError(f"estimate has shape {sizes[0].shape} and truth {sizes[1].shape}; expected one shape.")
    first, second = (a > threshold * a.max(initial=0.0) for a in sizes)
    joint = int((first | second).sum())
    return int((first & second).sum()) / joint if joint else 1.0


def symbol_error_rate(
    estimate: Array,
    channel: Array,
    noise_var: float,
    *,
    n_symbols: int = 100_000,
    random_state: RandomState = None,
) -> float:
    r"""Simulate the errors of QPSK symbols that are sent and received with an estimated channel.

    Transmitter and receiver use the leading singular vectors of the estimate, :math:`p` and :math:`d`; a symbol
    :math:`s` arrives as :math:`d^H (H p s + n)`, is divided by :math:`d^H \hat H p`, and goes to the nearest symbol.

    Parameters
    ----------
    estimate : array, shape ``(n_receive, n_transmit)`` or ``(k, n_receive, n_transmit)``
        Estimated channels.
    channel : array, same shape
        True channels.
    noise_var : float, >= 0
        Variance of the complex noise at every antenna.
    n_symbols : int, default 100000
        Symbols per channel.
    random_state : None, int or numpy.random.Generator
        Source of symbols and noise.

    Returns
    -------
    rate : float
        Between 0 and 1; 0.75 is guessing.

    Raises
    ------
    ShapeError
        If the channels have different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from structkit.sbl import symbol_error_rate
    >>> H = np.diag([2.0, 1.0]) + 0j
    >>> symbol_error_rate(H, H, 0.01, random_state=0)
    0.0
    """
    guesses, truths = (np.asarray(to_numpy(a)) for a in (estimate, channel))
    if guesses.shape != truths.shape or guesses.ndim not in (2, 3):
        raise ShapeError(
            f"estimate has shape {guesses.shape} and channel {truths.shape}; expected one shape, a matrix or a stack."
        )
    rng = check_random_state(random_state)
    wrong = 0.0
    stack = guesses.reshape(-1, *guesses.shape[-2:])
    for guess, truth in zip(stack, truths.reshape(stack.shape), strict=True):
        U, _, Vh = np.linalg.svd(guess)
        d, p = U[:, 0], Vh[0].conj()
        symbols = rng.integers(0, 4, n_symbols)
        sent = np.exp(0.5j * np.pi * symbols + 0.25j * np.pi)
        noise = rng.standard_normal((n_symbols, 2)) @ [1, 1j] * np.sqrt(noise_var / 2)
        gain = d.conj() @ guess @ p
        received = (d.conj() @ truth @ p * sent + noise) / (gain if gain else 1.0)
        decided = np.floor(np.angle(received) / (0.5 * np.pi)).astype(int) % 4
        wrong += float(np.mean(decided != symbols))
    return wrong / len(stack)
