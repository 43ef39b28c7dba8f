r"""Decompositions of Kronecker products, factor by factor, and numbers that follow from the factors alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from structkit._backend.namespace import as_factors, cast, check_memory_beside, get_namespace, is_torch, result_dtype
from structkit._core.errors import NotFiniteError, NotPositiveDefiniteError, ShapeError
from structkit._core.types import Array
from structkit.kron._symmetric import check_symmetric, eigh, square_factors
from structkit.kron.entries import check_index, no_dask

__all__ = [
    "KronEigh",
    "KronSVD",
    "KronSlogdet",
    "kron_cholesky",
    "kron_diag",
    "kron_eigh",
    "kron_rows",
    "kron_slogdet",
    "kron_svd",
    "kron_trace",
]


class KronEigh(NamedTuple):
    """Eigendecomposition of a Kronecker product: ``kron(*eigenvectors)`` has the products of `eigenvalues`.

    Attributes
    ----------
    eigenvalues, eigenvectors : lists of array, shapes ``(n_d,)`` and ``(n_d, n_d)``
        Of each factor; eigenvalues ascending, eigenvectors as columns.
    """

    eigenvalues: list[Array]
    eigenvectors: list[Array]


class KronSVD(NamedTuple):
    """Singular value decomposition of a Kronecker product; the singular values of the product are not sorted.

    Attributes
    ----------
    U, S, Vh : lists of array, shapes ``(m_d, r_d)``, ``(r_d,)`` and ``(r_d, n_d)``
        Left singular vectors as columns, singular values (descending), conjugated right ones as rows, per factor.
    """

    U: list[Array]
    S: list[Array]
    Vh: list[Array]


class KronSlogdet(NamedTuple):
    """Sign and logarithm of the absolute determinant.

    Attributes
    ----------
    sign, logabsdet : number
        Of modulus one, complex for complex factors; natural logarithm. Zero and minus infinity for a singular product.
    """

    sign: Array
    logabsdet: Array


def kron_eigh(factors: Sequence[Array]) -> KronEigh:
    r"""Decompose a symmetric (Hermitian) Kronecker product into eigenvalues and eigenvectors, factor by factor.

    With :math:`A_d = V_d \operatorname{diag}(w_d) V_d^H` the product has the eigenvectors
    :math:`V_1 \otimes \dots \otimes V_D` and the eigenvalues :math:`w_1 \otimes \dots \otimes w_D`.

    Parameters
    ----------
    factors : sequence of array, shapes ``(..., n_d, n_d)``
        Symmetric (Hermitian) factors, the first one slowest; numpy or torch.

    Returns
    -------
    KronEigh
        `eigenvalues`, real, ascending, shapes ``(..., n_d)``, and `eigenvectors` as columns, ``(..., n_d, n_d)``.

    Raises
    ------
    ShapeError
        If a factor is not square.
    NotSymmetricError
        If a factor is not symmetric (Hermitian) to rounding; names it.

    Examples
    --------
    >>> import numpy as np
    >>> w, V = kron_eigh([np.diag([1.0, 2.0]), np.diag([3.0, 5.0])])
    >>> np.kron(w[0], w[1])
    array([ 3.,  5.,  6., 10.])
    """
    arrays = square_factors(factors, "kron_eigh")
    check_symmetric(arrays, "kron_eigh")
    pairs = [eigh(a) for a in arrays]
    return KronEigh([w for w, _ in pairs], [V for _, V in pairs])


def kron_cholesky(factors: Sequence[Array]) -> list[Array]:
    r"""Return the lower Cholesky factors: ``kron(*result)`` is the lower Cholesky factor of the Kronecker product.

    Parameters
    ----------
    factors : sequence of array, shapes ``(..., n_d, n_d)``
        Symmetric (Hermitian) positive definite factors; numpy or torch (gradients flow).

    Returns
    -------
    list of array, shapes ``(..., n_d, n_d)``
        Lower triangular matrices with a positive diagonal.

    Raises
    ------
    NotSymmetricError, NotPositiveDefiniteError
        If a factor is not; names it.

    Examples
    --------
    >>> import numpy as np
    >>> kron_cholesky([4 * np.eye(1), np.eye(1)])
    [array([[2.]]), array([[1.]])]
    """
    arrays = square_factors(factors, "kron_cholesky")
    check_symmetric(arrays, "kron_cholesky")
    lower = []
    for i, a in enumerate(arrays):
        try:
            lower.append(get_namespace(a).linalg.cholesky(a))
        except (RuntimeError, np.linalg.LinAlgError) as err:  # torch's own LinAlgError is a RuntimeError
            raise NotPositiveDefiniteError(
                f"factors[{i}] of shape {tuple(a.shape)} is not positive definite, so it has no Cholesky factor. "
                "Add noise to its diagonal, or use kron_eigh for semi-definite factors."
            ) from err
    return lower


def kron_svd(factors: Sequence[Array]) -> KronSVD:
    r"""Decompose a Kronecker product into singular values and vectors, factor by factor.

    Parameters
    ----------
    factors : sequence of array, shapes ``(..., m_d, n_d)``
        Factors, rectangular ones included; numpy or torch.

    Returns
    -------
    KronSVD
        Per factor the reduced `U`, the singular values `S` in descending order, and `Vh`, with
        ``factors[d] == U[d] * S[d] @ Vh[d]``.

    Raises
    ------
    ShapeError
        If there is no factor or one is no matrix.
    NotFiniteError
        If a factor holds NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> kron_svd([np.array([[3.0, 4.0]]), 2 * np.eye(1)]).S
    [array([5.]), array([2.])]
    """
    arrays = as_factors(factors)
    no_dask(*arrays)
    for i, a in enumerate(arrays):
        if not bool(get_namespace(a).all(get_namespace(a).isfinite(a))):
            raise NotFiniteError(f"factors[{i}] of shape {tuple(a.shape)} contains NaN or infinity.")
    parts = [get_namespace(a).linalg.svd(a, full_matrices=False) for a in arrays]
    return KronSVD([p[0] for p in parts], [p[1] for p in parts], [p[2] for p in parts])


def kron_slogdet(factors: Sequence[Array]) -> KronSlogdet:
    r"""Compute sign and logarithm of the determinant of a Kronecker product, at any size and scale.

    Uses :math:`\log|\det| = \sum_d (N / n_d) \log|\det A_d|`, never a product of eigenvalues, so that nothing under- or
    overflows; the factors may be non-symmetric, indefinite or complex.

    Parameters
    ----------
    factors : sequence of array, shapes ``(..., n_d, n_d)``
        Square factors; numpy or torch (gradients flow). Leading axes are a batch.

    Returns
    -------
    KronSlogdet
        `sign` (0 for a singular product) and `logabsdet` (minus infinity then), as scalars or with the batch shape.
        With numpy single precision is computed and returned in double precision.

    Raises
    ------
    ShapeError
        If a factor is not square: a square product of rectangular factors has no such formula.

    Examples
    --------
    >>> import numpy as np
    >>> sign, logabsdet = kron_slogdet([1e-6 * np.eye(100), np.eye(200)])
    >>> round(float(logabsdet / np.log(1e-6)))
    20000
    """
    arrays = square_factors(factors, "kron_slogdet")
    sizes = [a.shape[-1] for a in arrays]
    total = math.prod(sizes)
    if not is_torch(arrays[0]):
        arrays = [cast(a, np.result_type(a.dtype, np.float64)) for a in arrays]  # type: ignore[arg-type, call-overload]
    xp = get_namespace(*arrays)
    sign, terms = None, []
    for a, n in zip(arrays, sizes, strict=True):
        power = total // n if n else 0
        s, logabs = xp.linalg.slogdet(a)
        s = _power(s, power)
        sign = s if sign is None else sign * s
        # A zero power (an empty product) must not meet the logarithm of zero.
        terms.append(logabs * _as_float(power) if power else logabs * 0 if n == 0 else xp.zeros_like(logabs))
    if not is_torch(terms[0]) and all(t.ndim == 0 for t in terms) and all(math.isfinite(t) for t in terms):
        return KronSlogdet(sign, np.float64(math.fsum(terms)))  # type: ignore[arg-type]
    return KronSlogdet(sign, sum(terms[1:], start=terms[0]))  # type: ignore[arg-type]


def _power(sign: Array, power: int) -> Array:
    """Raise signs (-1, 0, 1 or unit complex numbers) to a power of any size."""
    if "complex" not in str(sign.dtype):
        return sign * sign if power % 2 == 0 and power else (sign if power else sign * 0 + 1)
    result, base = sign * 0 + 1, sign
    while power:
        if power % 2:
            result = result * base
        base, power = base * base, power // 2
    size = abs(result)
    return result / (size + (size == 0))


def _as_float(n: int) -> float:
    """Convert an integer, to infinity beyond the range of floating point."""
    return float(n) if n < 2**1000 else math.inf


def kron_trace(factors: Sequence[Array]) -> Array:
    r"""Compute the trace of a Kronecker product, the product of the traces.

    Parameters
    ----------
    factors : sequence of array, shapes ``(..., n_d, n_d)``
        Square factors; numpy or torch (gradients flow).

    Returns
    -------
    scalar, or array with the batch shape

    Raises
    ------
    ShapeError
        If there is no factor or one is not square.

    Examples
    --------
    >>> import numpy as np
    >>> float(kron_trace([np.eye(3), 2 * np.eye(4)]))
    24.0
    """
    arrays = square_factors(factors, "kron_trace")
    result = None
    for a in arrays:
        t = get_namespace(a).linalg.diagonal(a).sum(-1)
        result = t if result is None else result * t
    return result  # type: ignore[return-value]


def kron_diag(factors: Sequence[Array]) -> Array:
    r"""Compute the main diagonal of a Kronecker product, the Kronecker product of the diagonals.

    Parameters
    ----------
    factors : sequence of array, shapes ``(n_d, n_d)``
        Square factors; numpy or torch (gradients flow).

    Returns
    -------
    d : array, shape ``(N,)``

    Raises
    ------
    ShapeError
        If a factor is not square: the diagonal of a product of rectangular factors mixes other entries.
    SizeError
        If the diagonal does not fit in memory.

    Examples
    --------
    >>> import numpy as np
    >>> kron_diag([np.diag([1.0, 2.0]), np.diag([3.0, 5.0])])
    array([ 3.,  5.,  6., 10.])
    """
    arrays = square_factors(factors, "kron_diag")
    check_memory_beside(arrays[0], math.prod(a.shape[-1] for a in arrays) * 8, "The diagonal")
    result = None
    for a in arrays:
        d = get_namespace(a).linalg.diagonal(a)
        result = d if result is None else (result[..., :, None] * d[..., None, :]).reshape(*d.shape[:-1], -1)
    return result * 1 if len(arrays) == 1 else result  # type: ignore[operator, return-value]


def kron_rows(factors: Sequence[Array], index: Array) -> Array:
    r"""Compute some rows of a Kronecker product without forming it.

    Parameters
    ----------
    factors : sequence of array, shapes ``(m_d, n_d)``
        Factors; numpy or torch (gradients flow).
    index : integer array, shape ``(S, D)``
        Row ``s`` of the result is row ``index[s, 0], ..., index[s, D-1]`` of the product, first factor slowest.

    Returns
    -------
    rows : array, shape ``(S, n_1 * ... * n_D)``

    Raises
    ------
    IndexRangeError
        If an index lies outside its factor.
    SizeError
        If the rows do not fit in memory.

    Examples
    --------
    >>> import numpy as np
    >>> kron_rows([np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 3.0]])], [[0, 1]])
    array([[0., 3., 0., 6.]])
    """
    arrays = as_factors(factors)
    no_dask(*arrays)
    if any(a.ndim != 2 for a in arrays):
        raise ShapeError(f"factors have shapes {[tuple(a.shape) for a in arrays]}; kron_rows takes matrices (m, n).")
    dtype = result_dtype(*arrays)
    idx = check_index(index, [a.shape[0] for a in arrays], arrays[0])
    count = idx.shape[0]
    check_memory_beside(arrays[0], count * math.prod(a.shape[1] for a in arrays) * 8, "The rows")
    result = None
    for d, a in enumerate(arrays):
        row = cast(a, dtype)[idx[:, d]]
        if result is None:
            result = row
        else:
            result = (result[:, :, None] * row[:, None, :]).reshape(count, result.shape[1] * row.shape[1])
    return result  # type: ignore[return-value]
