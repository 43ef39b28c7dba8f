"""Frequencies of the carriers: found greedily in what is known of a problem, with no scale to set."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.linalg

from structkit.pde.conditions import Periodic, values_on
from structkit.pde.features import CUTOFF, axis_features
from structkit.pde.problem import PDE

__all__ = ["chords", "companions", "discover_frequencies", "fibres", "has_no_lines", "merged"]

MAX_CARRIERS = 12
# Features whose part outside of the others is below this share of the largest one would fit rounding errors.
_RANK = 1e-12
_PADDING = 8
# Intervals between the samples of a fibre: as few as leave no more than this share of the power to the upper half of
# the spectrum.
_FEWEST, _MOST = 512, 8192
_EMPTY = 1e-8
# Geometric over arithmetic mean of a power spectrum: 0.56 for white noise, below 1e-3 for jumps, tiny for waves.
_FLAT = 0.05
# Lines below this share of what the conditions make the source to be, and not resolved, are rounding.
_TINY = 1e-9
# A carrier is kept if two of them take this share of the residual.
_WORTH = 0.02
_N_FIBRES = 8
_N_CHORDS = 3


def discover_frequencies(
    columns: np.ndarray,
    lower: float,
    upper: float,
    lengthscale: float,
    *,
    tol: float = 1e-10,
    max_carriers: int = MAX_CARRIERS,
    cutoff: float = CUTOFF,
    is_noise: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Return the carriers that evenly spaced samples need besides a smooth envelope.

    Parameters
    ----------
    columns : array, shape ``(n, c)``
        Samples from `lower` to `upper`, ends included. Every column has its own carriers and counts the same; one
        with a flat spectrum is noise and does not count.
    lower, upper : float
        Ends of the axis.
    lengthscale : float
        Length-scale of the envelope.
    tol : float, default 1e-10
        Relative residual that ends the search.
    max_carriers : int, default 12
        Most carriers, the frequency 0 included.
    cutoff : float
        As for `axis_features`.
    is_noise : callable, optional
        Which columns hold no carriers. Default: those with a flat spectrum, as if rounding were the only noise;
        `has_no_lines` looks for carriers in measurements.

    Returns
    -------
    frequencies : numpy.ndarray
        Ascending, in cycles per unit, 0 first.
    """
    n, is_noise = len(columns), is_noise or _is_noise
    columns = columns[:, ~is_noise(columns)]
    residual = columns / np.linalg.norm(columns, axis=0)
    found, basis = [0.0], np.empty((n, 0))
    if not residual.size:
        return np.zeros(1)
    x = np.linspace(lower, upper, n)
    spectrum = _Spectrum(n, upper - lower)
    sizes = [1.0]
    while True:
        block = axis_features(lower, upper, lengthscale, found[-1:], cutoff=cutoff)(x)
        added = _outside(block, basis)
        basis = np.hstack([basis, added])
        residual = residual - added @ (added.T @ residual)
        sizes.append(float(np.sqrt(np.mean(np.sum(residual**2, axis=0)))))
        if len(sizes) > 4 and sizes[-1] > (1 - _WORTH) * sizes[-3]:
            return np.sort(found[:-2])
        left = residual[:, ~is_noise(residual)]
        if sizes[-1] < tol or len(found) >= max_carriers or basis.shape[1] > 0.8 * n or not left.size:
            return np.sort(found)
        peak = spectrum.peak(left, found)
        if peak is None:
            return np.sort(found)
        found.append(peak)


def _outside(block: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Orthonormal basis of what a block adds to another."""
    size = np.linalg.norm(block, 2)
    for _ in range(2):
        block = block - basis @ (basis.T @ block)
    u, s, _ = scipy.linalg.svd(block, full_matrices=False)
    return u[:, s > _RANK * size]  # type: ignore[no-any-return]


class _Spectrum:
    """Power of residuals over frequency."""

    def __init__(self, n: int, length: float) -> None:
        self.window = np.blackman(n + 2)[1:-1, None]
        self.size = _PADDING * n
        self.frequencies = np.arange(self.size // 2 + 1) * (n - 1) / (self.size * length)
        self.gap = 1.0 / length

    def peak(self, residual: np.ndarray, taken: Sequence[float]) -> float | None:
        """Frequency of the largest power that is not beside one that was taken."""
        power = np.sum(np.abs(np.fft.rfft(self.window * residual, self.size, axis=0)) ** 2, axis=1)
        for f in taken:
            power[np.abs(self.frequencies - f) < self.gap] = 0.0
        return float(self.frequencies[np.argmax(power)]) if power.any() else None


def fibres(problem: PDE, axis: int, rng: np.random.Generator) -> np.ndarray:
    """Samples along one axis of the source and of the conditions, shape ``(n, c)``, as many as resolve them.

    Lines of rounding errors, as of a source that vanishes but for them, are left out. The finest samples decide what
    resolves: coarse ones show a fast wave as a slow one.
    """
    from_source, from_conditions = _source_lines(problem, axis, rng), _condition_lines(problem, axis, rng)
    x = np.linspace(*problem.domain[axis], _MOST + 1)
    columns = np.stack([line(x) for line in (*from_source, *from_conditions)] or [np.zeros(len(x))], axis=1)
    power = _power(columns)
    if not _resolved(power, _MOST):
        data = _data_size(problem)
        sizes = np.repeat([problem.operator_size * data, data], [len(from_source), len(from_conditions)])
        rough = power[_MOST // 4 :].sum(axis=0) > _EMPTY * power.sum(axis=0)
        noise = _is_noise(columns) | (rough & (np.abs(columns).max(axis=0) < _TINY * sizes))
        columns, power = columns[:, ~noise], power[:, ~noise]
    return _thinned(columns, power)


def chords(problem: PDE, axis: int, rng: np.random.Generator) -> list[tuple[float, float, np.ndarray]]:
    """Ends of lines along one axis that stay inside of a mask, and samples of the source along them.

    The longest of several through random points inside.
    """
    inside = problem.points_inside(_N_FIBRES)
    anchors = inside[rng.permutation(len(inside))[:_N_FIBRES]]
    x = np.linspace(*problem.domain[axis], _MOST + 1)
    pieces = []
    for anchor in anchors:
        line = np.tile(anchor, (len(x), 1))
        line[:, axis] = x
        outside = np.flatnonzero(~problem.inside(line))
        at = np.searchsorted(x, anchor[axis])
        first = outside[outside < at].max(initial=-1) + 1
        last = outside[outside >= at].min(initial=len(x)) - 1
        pieces.append((x[last] - x[first], anchor, x[first], x[last]))
    out = []
    for _, anchor, lower, upper in sorted(pieces, key=lambda p: -p[0])[:_N_CHORDS]:
        line = np.tile(anchor, (_MOST + 1, 1))
        line[:, axis] = np.linspace(lower, upper, _MOST + 1)
        columns = problem.source_at(line)[:, None]
        out.append((lower, upper, _thinned(columns, _power(columns))))
    return out


def merged(parts: Sequence[np.ndarray], lengths: Sequence[float]) -> np.ndarray:
    """Frequencies found on lines of some lengths, those that a line cannot tell from earlier ones left out."""
    found = list(parts[0])
    for part, length in zip(parts[1:], lengths[1:], strict=True):
        found += [f for f in part if all(abs(f - g) > 1 / length for g in found)]
    return np.sort(found[:MAX_CARRIERS])


def _thinned(columns: np.ndarray, power: np.ndarray) -> np.ndarray:
    """As few samples as resolve all columns."""
    n = _FEWEST
    while n < _MOST and not _resolved(power, n):
        n *= 2
    return columns[:: _MOST // n]


def _resolved(power: np.ndarray, n: int) -> bool:
    """Whether `n` samples leave the upper half of the spectrum of each column nearly empty."""
    return bool(np.all(power[n // 4 :].sum(axis=0) <= _EMPTY * power.sum(axis=0)))


def _data_size(problem: PDE) -> float:
    """Largest value of a condition."""
    coords = [np.linspace(a, b, 5) for a, b in problem.domain]
    size = 0.0
    for c in problem.conditions:
        if not isinstance(c, Periodic):
            for axis, side in c.faces(problem.n_axes):
                face = [x[[0 if side == "lower" else -1]] if a == axis else x for a, x in enumerate(coords)]
                size = max(size, float(np.abs(values_on(c.value, face, type(c).__name__)).max()))  # type: ignore[attr-defined]
    return size


def _is_noise(columns: np.ndarray) -> np.ndarray:
    """Which columns have a flat spectrum; those that vanish count, too."""
    power = _power(columns)
    mean = np.mean(power, axis=0)
    with np.errstate(divide="ignore"):
        flat = np.exp(np.mean(np.log(power), axis=0))
    return np.asarray(flat >= _FLAT * mean)


def has_no_lines(columns: np.ndarray) -> np.ndarray:
    """Which columns have no peak in their spectrum that white noise would have in one of a hundred cases only."""
    power = _power(columns)
    noise = np.median(power, axis=0) / math.log(2)  # of exponentially distributed powers, the mean
    return np.asarray(power.max(axis=0) <= noise * math.log(len(power) / 0.01))


def _power(columns: np.ndarray) -> np.ndarray:
    """Power spectra of columns under a window without side lobes."""
    return np.asarray(np.abs(np.fft.rfft(columns * np.blackman(len(columns))[:, None], axis=0)) ** 2)


def _source_lines(problem: PDE, axis: int, rng: np.random.Generator) -> list[Callable[[np.ndarray], np.ndarray]]:
    if not callable(problem.source):
        return []
    count = 1 if problem.n_axes == 1 else _N_FIBRES
    return [_line(problem.source, axis, _anchor(problem, rng), "source") for _ in range(count)]


def _condition_lines(problem: PDE, axis: int, rng: np.random.Generator) -> list[Callable[[np.ndarray], np.ndarray]]:
    lines = []
    for c in problem.conditions:
        if isinstance(c, Periodic) or not callable(c.value):  # type: ignore[attr-defined]
            continue
        for normal, side in c.faces(problem.n_axes):
            if normal != axis:
                anchor = _anchor(problem, rng)
                anchor[normal] = problem.domain[normal][0 if side == "lower" else 1]
                lines.append(_line(c.value, axis, anchor, type(c).__name__))  # type: ignore[attr-defined]
    return lines


def _anchor(problem: PDE, rng: np.random.Generator) -> list[float]:
    return [float(rng.uniform(a, b)) for a, b in problem.domain]


def _line(
    value: Callable[..., object], axis: int, anchor: list[float], name: str
) -> Callable[[np.ndarray], np.ndarray]:
    def line(x: np.ndarray) -> np.ndarray:
        coords = [x if a == axis else np.array([anchor[a]]) for a in range(len(anchor))]
        return values_on(value, coords, name).ravel()

    return line


def companions(problem: PDE, found: Sequence[np.ndarray]) -> list[np.ndarray]:
    r"""Add the frequencies with which homogeneous solutions answer to those found along the other axes.

    A wave :math:`e^{2 \pi i f x}` goes with :math:`e^{s t}` where the symbol of the operator vanishes: dispersion tells
    the carriers along an axis on which no data show them. Only for operators with constant coefficients.
    """
    terms = problem.operator.terms
    if not all(t.coefficient.is_constant for t in terms):
        return list(found)
    out = []
    for axis, own in enumerate(found):
        others = [f for a, f in enumerate(found) if a != axis]
        extra: list[float] = []
        for fs in itertools.islice(itertools.product(*others), 64):
            extra += _waves(problem, axis, fs)
        length = problem.domain[axis][1] - problem.domain[axis][0]
        kept = list(own)
        for f in sorted(extra, reverse=True):
            if len(kept) < MAX_CARRIERS and all(abs(f - g) > 0.5 / length for g in kept):
                kept.append(f)
        out.append(np.sort(kept))
    return out


def _waves(problem: PDE, axis: int, others: Sequence[float]) -> list[float]:
    """Frequencies along `axis` of homogeneous solutions with given frequencies along the other axes."""
    remaining = [a for a in range(problem.n_axes) if a != axis]
    symbol = np.zeros(problem.operator.order(axis) + 1, complex)
    for t in problem.operator.terms:
        factor = complex(t.coefficient.number({}))
        for a, f in zip(remaining, others, strict=True):
            factor *= (2j * math.pi * f) ** t.order(a)
        symbol[t.order(axis)] += factor
    symbol = np.trim_zeros(symbol, "b")
    with np.errstate(all="ignore"):
        if not symbol.size or not np.isfinite(symbol / symbol[-1]).all():
            return []
    roots = np.roots(symbol[::-1])
    return [abs(r.imag) / (2 * math.pi) for r in roots if abs(r.imag) > abs(r.real)]
