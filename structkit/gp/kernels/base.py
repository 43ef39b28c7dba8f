"""The interface of covariance kernels of one real input: evaluation, derivatives, gradients, algebra."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import ClassVar

import numpy as np

from structkit._backend.namespace import as_array, backend_name, cast, get_namespace, is_torch, result_dtype
from structkit._core.errors import BackendMismatchError, NotFiniteError, ShapeError
from structkit._core.labels import days
from structkit._core.types import Array
from structkit.gp.kernels.parameters import Parametrised, flat_numbers
from structkit.gp.kernels.spectra import Component, density

__all__ = ["Kernel"]


def _as_coordinates(x: object, name: str) -> Array:
    """Check one set of coordinates: real, one-dimensional, finite."""
    arr = as_array(days(x), name)
    if arr.ndim != 1:
        raise ShapeError(f"{name} has shape {tuple(arr.shape)}; kernels take one-dimensional coordinates, shape (n,).")
    if "complex" in str(arr.dtype):
        raise TypeError(f"{name} has dtype {arr.dtype}; coordinates must be real.")
    xp = get_namespace(arr)
    finite = xp.isfinite(arr)
    if not bool(xp.all(finite)):
        bad = int(xp.argmin(xp.astype(finite, xp.int8)))
        raise NotFiniteError(
            f"{name}[{bad}] is {float(arr[bad])}; coordinates must be finite. Missing data is NaN in y only."
        )  # type: ignore
    return arr


class Kernel(Parametrised):
    """Covariance function of one real input, an immutable value.

    A kernel is called on coordinates, ``kernel(x1, x2)``, and returns the matrix of covariances; `d1` and `d2` ask
    for the covariance between derivatives of the process. Its free hyperparameters are one vector `theta`: the
    logarithm of positive ones, the others as they are. Kernels are combined by ``+``, ``*`` and multiplication with
    a positive number.

    See Also
    --------
    structkit.gp.SquaredExponential, structkit.gp.Matern, structkit.gp.SpectralMixture : the usual ones.

    Examples
    --------
    >>> from structkit.gp import Kernel, Matern, Periodic
    >>> k = Matern(nu=2.5, lengthscale=3.0) * Periodic(period=1.0).fix("variance") + 0.1
    >>> isinstance(k, Kernel)
    True
    >>> k([0.0, 1.0]).round(4)
    array([[1.1   , 1.0162],
           [1.0162, 1.1   ]])
    >>> k.parameter_names
    ('k1__k1__lengthscale', 'k1__k1__variance', 'k1__k2__lengthscale', 'k1__k2__period', 'k2__variance')
    """

    _registry: ClassVar[dict[str, type[Kernel]]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        Kernel._registry[cls.__name__] = cls

    # ---- evaluation ---------------------------------------------------------------------------------------------

    def __call__(self, x1: object, x2: object = None, *, d1: int = 0, d2: int = 0) -> Array:
        r"""Covariance matrix between two sets of coordinates, or between derivatives there.

        Parameters
        ----------
        x1 : array, shape ``(n1,)``
            Coordinates, in the units of the lengthscale.
        x2 : array, shape ``(n2,)``, optional
            Second set. Default: `x1`.
        d1, d2 : int, >= 0
            Orders of differentiation in the first and second argument.

        Returns
        -------
        K : array, shape ``(n1, n2)``
            :math:`\partial^{d_1}_x \partial^{d_2}_{x'} k(x, x')`, in the library, dtype and
            on the device of the coordinates.

        Raises
        ------
        NotFiniteError
            If a coordinate is not finite.
        ValueError
            If the derivative does not exist (the message states the highest order).
        ShapeError
            If coordinates are not one-dimensional.

        Examples
        --------
        >>> from structkit.gp import SquaredExponential
        >>> k = SquaredExponential(lengthscale=2.0)
        >>> k([0.0, 2.0]).round(3)
        array([[1.   , 0.607],
               [0.607, 1.   ]])
        >>> k([0.0], d1=1, d2=1)                      # variance of the slope
        array([[0.25]])
        """
        a, b = self._coordinates(x1, x2)
        self._check_order(d1, d2)
        return self._evaluate(a, b, d1, d2)

    def diagonal(self, x: object, *, order: int = 0) -> Array:
        """Variance of the process, or of its derivative of the given order, at each coordinate.

        Parameters
        ----------
        x : array, shape ``(n,)``
            Coordinates.
        order : int, >= 0
            Order of the derivative; 0 is the process itself.

        Returns
        -------
        variance : array, shape ``(n,)``
            The diagonal of ``kernel(x, d1=order, d2=order)`` at the cost of `n` evaluations.

        Examples
        --------
        >>> from structkit.gp import Matern
        >>> Matern(nu=1.5, lengthscale=0.5).diagonal([0.0, 1.0], order=1)
        array([12., 12.])
        """
        a, _ = self._coordinates(x, None)
        self._check_order(order, order)
        return self._diagonal(a, order)

    def jacobian(self, x1: object, x2: object = None, *, d1: int = 0, d2: int = 0) -> Array:
        r"""Derivatives of the covariance matrix with respect to the free hyperparameters.

        Parameters
        ----------
        x1, x2, d1, d2
            As in calling the kernel.

        Returns
        -------
        J : array, shape ``(p, n1, n2)``
            :math:`\partial K / \partial \theta_k`, analytic, in the order of `parameter_names`.

        Examples
        --------
        >>> from structkit.gp import SquaredExponential
        >>> SquaredExponential().jacobian([0.0], [1.0])[:, 0, 0].round(4)     # log lengthscale, log variance
        array([0.6065, 0.6065])
        """
        a, b = self._coordinates(x1, x2)
        self._check_order(d1, d2)
        return self._jacobian(a, b, d1, d2)

    def contract_gradient(self, x: object, G: object, x2: object = None, *, d1: int = 0, d2: int = 0) -> Array:
        r"""Gradient of a scalar function of the covariance matrix, given its gradient in the matrix.

        Parameters
        ----------
        x : array, shape ``(n,)``
            Coordinates.
        G : array, shape ``(n, n)``, or ``(n, n2)`` with `x2`
            Weights, :math:`\partial f / \partial K_{ij}`; need not be symmetric.
        x2 : array, shape ``(n2,)``, optional
            Second set of coordinates. Default: `x`.
        d1, d2 : int, >= 0
            Orders of differentiation of the block.

        Returns
        -------
        gradient : array, shape ``(p,)``
            :math:`\sum_{ij} G_{ij}\, \partial K_{ij} / \partial \theta_k`, without forming the jacobian; summed in
            float64 for numpy.

        Examples
        --------
        >>> import numpy as np
        >>> from structkit.gp import SquaredExponential
        >>> SquaredExponential().contract_gradient([0.0, 1.0], np.ones((2, 2))).round(4)
        array([1.2131, 3.2131])
        """
        a, b = self._coordinates(x, x2)
        self._check_order(d1, d2)
        weights = as_array(G, "G")
        backend_name(a, weights)
        n, m = a.shape[0], (a if b is None else b).shape[0]
        if tuple(weights.shape) != (n, m):
            raise ShapeError(
                f"G has shape {tuple(weights.shape)}; expected ({n}, {m}), one weight for each pair of coordinates."
            )
        return self._contract(a, b, weights, d1, d2)

    def spectral_density(self, frequency: object) -> Array:
        """Power spectral density of a stationary kernel.

        Parameters
        ----------
        frequency : array, any shape
            Frequencies in cycles per unit of the coordinate.

        Returns
        -------
        density : array, same shape as `frequency`
            Two-sided density; its integral over the real line is ``k(0)``.

        Raises
        ------
        ValueError
            If the spectrum is not a density (periodic and constant kernels), has no closed form (products of rough
            kernels) or the kernel is not stationary.

        Examples
        --------
        >>> from structkit.gp import Matern
        >>> Matern(nu=0.5, lengthscale=0.5).spectral_density([0.0, 1.0]).round(4)
        array([1.   , 0.092])
        """
        f = as_array(frequency, "frequency")
        return density(self._components(), f, repr(self))

    def _evaluate(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        raise NotImplementedError

    def _diagonal(self, x: Array, order: int) -> Array:
        raise NotImplementedError

    def _jacobian(self, x1: Array, x2: Array | None, d1: int, d2: int) -> Array:
        raise NotImplementedError

    def _contract(self, x1: Array, x2: Array | None, G: Array, d1: int, d2: int) -> Array:
        raise NotImplementedError

    def _components(self) -> list[Component]:
        raise ValueError(f"{type(self).__name__} has no closed-form spectral density.")

    def _scaled_by(self, factor: float) -> Kernel:
        """Return the kernel times a positive number, without a new hyperparameter where one already scales it."""
        raise NotImplementedError

    @property
    def max_order(self) -> float:
        """Highest total order ``d1 + d2`` for which the derivative block exists; infinite for smooth kernels."""
        return math.inf

    @property
    def is_stationary(self) -> bool:
        """Whether the covariance depends on the difference of the coordinates only."""
        return False

    @property
    def _has_profile(self) -> bool:
        """Whether the covariance is given as a function of the difference."""
        return False

    def _check_order(self, d1: int, d2: int) -> None:
        for name, d in (("d1", d1), ("d2", d2)):
            if isinstance(d, bool) or not isinstance(d, (int, np.integer)) or d < 0:
                raise ValueError(f"{name} must be an integer >= 0; got {d!r}.")
        if d1 + d2 and d1 + d2 > self.max_order:
            raise ValueError(
                f"{self!r} has derivative blocks up to total order {int(self.max_order)}; got d1={d1}, d2={d2}, "
                f"total {d1 + d2}. Use a smoother kernel, for example SquaredExponential."
            )

    def _coordinates(self, x1: object, x2: object) -> tuple[Array, Array | None]:
        """Check coordinates and bring them to one library and dtype."""
        a = _as_coordinates(x1, "x1")
        b = None if x2 is None or x2 is x1 else _as_coordinates(x2, "x2")
        library = backend_name(a) if b is None else backend_name(a, b)
        if library == "numpy" and any(is_torch(v) for v in self._leaf_values()):
            raise BackendMismatchError(
                "The hyperparameters of this kernel are torch tensors and the coordinates are numpy; "
                "pass torch coordinates, or build the kernel from floats."
            )
        if b is not None:
            dtype = result_dtype(a, b)
            a, b = cast(a, dtype), cast(b, dtype)
        return a, b

    # ---- priors and starting values ------------------------------------------------------------------------------

    def log_prior(self) -> tuple[float, np.ndarray]:
        """Log prior density of the hyperparameters and its gradient in `theta`, shape ``(p,)``; zero without priors."""
        return 0.0, np.zeros(len(self.parameter_names))

    def initialize(self, x: object, variance: float | None = None) -> Kernel:
        """Return the kernel with scales and bounds that suit a set of coordinates.

        Parameters
        ----------
        x : array, shape ``(n,)``
            Coordinates; at least two different ones.
        variance : float, optional
            Variance of the data, in squared units of the data. Default: keep the kernel's.

        Returns
        -------
        kernel : Kernel
            Lengthscales start at a tenth of the range, between the smallest spacing and ten times the range; periods
            at a third of the range; frequencies spread evenly up to a quarter of the sampling rate. Fixed
            hyperparameters stay.

        Examples
        --------
        >>> import numpy as np
        >>> from structkit.gp import SquaredExponential
        >>> SquaredExponential().initialize(np.arange(101)).lengthscale
        10.0
        """
        a, _ = self._coordinates(x, None)
        points = np.unique(flat_numbers(a))
        if points.size < 2:
            raise ValueError(f"initialize needs at least two different coordinates; got {points.size}.")
        return self._initialize(float(np.ptp(points)), float(np.min(np.diff(points))), variance)

    def _initialize(self, span: float, spacing: float, variance: float | None) -> Kernel:
        return self

    # ---- algebra and storage -----------------------------------------------------------------------------------

    __array_ufunc__ = None  # numpy scalars and arrays leave + and * to the kernel

    def __add__(self, other: object) -> Kernel:
        return self._combined("Sum", self, other)

    def __radd__(self, other: object) -> Kernel:
        return self._combined("Sum", other, self)

    def __mul__(self, other: object) -> Kernel:
        return self._combined("Product", self, other)

    def __rmul__(self, other: object) -> Kernel:
        return self._combined("Product", other, self)

    def _combined(self, rule: str, left: object, right: object) -> Kernel:
        number = next((v for v in (left, right) if isinstance(v, Real) and not isinstance(v, bool)), None)
        if number is not None and not (number > 0 and math.isfinite(number)):  # type: ignore[operator,arg-type]
            raise ValueError(f"A kernel can be combined with a positive finite number only; got {number}.")
        if number is not None and rule == "Product":
            return self._scaled_by(float(number))
        constant: Callable[..., Kernel] = Kernel._registry["Constant"]
        terms = [constant(variance=float(v)) if isinstance(v, Real) and v is number else v for v in (left, right)]
        if not all(isinstance(t, Kernel) for t in terms):
            return NotImplemented
        return Kernel._registry[rule](*terms)  # type: ignore[call-arg]

    @staticmethod
    def from_dict(data: Mapping[str, object]) -> Kernel:
        """Rebuild a kernel from the output of `to_dict`.

        Parameters
        ----------
        data : mapping
            What `to_dict` returned.

        Returns
        -------
        kernel : Kernel
            Equal to the one that was described.

        Examples
        --------
        >>> from structkit.gp import Kernel, Matern
        >>> Kernel.from_dict(Matern(nu=2.5, lengthscale=0.3).fix("variance").to_dict())
        Matern(nu=2.5, lengthscale=0.3, variance=1.0).fix('variance')
        """
        name = data.get("kernel")
        if name not in Kernel._registry:
            raise ValueError(f"Unknown kernel {name!r}; known are {', '.join(sorted(Kernel._registry))}.")
        return Kernel._registry[str(name)]._from_dict(data)
