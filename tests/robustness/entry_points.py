"""Public entry points with small good input: one list that every test of this folder runs over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from structkit.gp import GridGP, Matern, SquaredExponential
from structkit.kron import (
    Kronecker,
    cg,
    cp_at,
    gaussian_evidence,
    khatri_rao,
    kron,
    kron_cholesky,
    kron_eigh,
    kron_matmul,
    kron_rmatmul,
    kron_slogdet,
    kron_solve,
    kron_svd,
    kron_trace,
    lstsq,
    mode_product,
    mttkrp,
    mttkrp_sparse,
    multi_mode_product,
    slogdet,
    solve,
    ttmc_sparse,
    tucker_at,
    tucker_mttkrp_sparse,
    unfold,
)
from structkit.orthogonal import polar_factor
from structkit.pde import PDE, D, Dirichlet, GPSolver, OnCurve, chebyshev_solve
from structkit.sbl import OMP, SBL, KroneckerOMP, KroneckerSBL, SeparableSBL, nmse
from structkit.statespace import (
    discretize,
    interpolate,
    kalman_filter,
    log_likelihood,
    matern_sde,
    rts_smoother,
    sample_prior,
)
from structkit.tucker import FunctionalCP, FunctionalTucker

Call = Callable[..., object]


@dataclass(frozen=True)
class EntryPoint:
    """A public function or an estimator with its first answers.

    Attributes
    ----------
    call : callable
        Takes the arrays by name and returns arrays, or nested tuples and lists of them.
    arrays : mapping of str to numpy.ndarray
        Good input.
    names : mapping of str to str
        How messages name an argument, where that is not its key: ``A`` is ``factors[0]``.
    rtol : float
        What other layouts may change: sums in another order, no more.
    """

    call: Call
    arrays: Mapping[str, np.ndarray]
    names: Mapping[str, str]
    rtol: float = 1e-12

    def name(self, key: str) -> str:
        """How a message names an argument."""
        return self.names.get(key, key)


RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def spd(n: int) -> np.ndarray:
    A = normal(n, n)
    return A @ A.T + n * np.eye(n)


TWO = {"A": normal(3, 4), "B": normal(2, 3)}
SPD = {"A": spd(3), "B": spd(2)}
FACTORS = {"A": "factors[0]", "B": "factors[1]"}
MATRICES = {"A": "matrices[0]", "B": "matrices[1]"}
ENTRIES = {"index": np.array([[0, 1], [2, 0], [3, 2]]), "values": normal(3)}
CP = {"A": normal(4, 2), "B": normal(3, 2)}
CORE = {"core": normal(2, 3), "A": normal(4, 2), "B": normal(3, 3)}
PAIR = {**TWO, "x": normal(12)}

KRON: dict[str, EntryPoint] = {
    "kron_matmul": EntryPoint(lambda A, B, x: kron_matmul([A, B], x), PAIR, FACTORS),
    "kron_rmatmul": EntryPoint(lambda A, B, x: kron_rmatmul([A, B], x), {**TWO, "x": normal(6)}, FACTORS),
    "kron": EntryPoint(lambda A, B: kron(A, B), TWO, FACTORS),
    "kron_solve": EntryPoint(lambda A, B, b: kron_solve([A, B], b), {**SPD, "b": normal(6)}, FACTORS),
    "kron_slogdet": EntryPoint(lambda A, B: kron_slogdet([A, B]), SPD, FACTORS),
    "kron_eigh": EntryPoint(lambda A, B: kron_eigh([A, B])[0], SPD, FACTORS),
    "kron_svd": EntryPoint(lambda A, B: kron_svd([A, B])[1], TWO, FACTORS),
    "kron_cholesky": EntryPoint(lambda A, B: kron_cholesky([A, B]), SPD, FACTORS),
    "kron_trace": EntryPoint(lambda A, B: kron_trace([A, B]), SPD, FACTORS),
    "mode_product": EntryPoint(lambda X, A: mode_product(X, A, 1), {"X": normal(2, 4, 3), "A": normal(3, 4)}, {}),
    "multi_mode_product": EntryPoint(
        lambda X, A, B: multi_mode_product(X, [A, B]), {**TWO, "X": normal(4, 3)}, MATRICES
    ),
    "unfold": EntryPoint(lambda X: unfold(X, 1), {"X": normal(2, 4, 3)}, {}),
    "khatri_rao": EntryPoint(lambda A, B: khatri_rao([A, B]), CP, MATRICES),
    "mttkrp": EntryPoint(lambda X, A, B: mttkrp(X, [A, B], 0), {**CP, "X": normal(4, 3)}, MATRICES),
    "mttkrp_sparse": EntryPoint(
        lambda index, values, A, B: mttkrp_sparse(index, values, [A, B], 0), {**ENTRIES, **CP}, MATRICES
    ),
    "ttmc_sparse": EntryPoint(
        lambda index, values, A, B: ttmc_sparse(index, values, [A, B], 0), {**ENTRIES, **CP}, MATRICES
    ),
    "tucker_mttkrp_sparse": EntryPoint(
        lambda index, values, core, A, B: tucker_mttkrp_sparse(index, values, core, [A, B], 0),
        {**ENTRIES, **CORE},
        MATRICES,
    ),
    "cp_at": EntryPoint(lambda index, A, B: cp_at(index, [A, B]), {"index": ENTRIES["index"], **CP}, MATRICES),
    "tucker_at": EntryPoint(
        lambda index, core, A, B: tucker_at(index, core, [A, B]), {"index": ENTRIES["index"], **CORE}, MATRICES
    ),
    "gaussian_evidence": EntryPoint(
        lambda A, B, y: gaussian_evidence([A, B], y, 0.1).value, {**SPD, "y": normal(3, 2)}, FACTORS
    ),
    "solve": EntryPoint(lambda A, B, b: solve(Kronecker(A, B), b), {**SPD, "b": normal(6)}, FACTORS),
    "lstsq": EntryPoint(lambda A, B, b: lstsq(Kronecker(A, B), b), {**TWO, "b": normal(6)}, FACTORS),
    "slogdet": EntryPoint(lambda A, B: slogdet(Kronecker(A, B)), SPD, FACTORS),
    "cg": EntryPoint(lambda A, B, b: cg(Kronecker(A, B), b).value, {**SPD, "b": normal(6)}, FACTORS, 1e-8),
    "polar_factor": EntryPoint(lambda M: polar_factor(M), {"M": normal(4, 3)}, {}),
}

SDE = matern_sde(1.5, 0.4)
SERIES = {"times": np.cumsum(RNG.uniform(0.1, 0.5, 7)), "y": normal(7)}


def smoothed(times: np.ndarray, y: np.ndarray) -> object:
    result = rts_smoother(kalman_filter(SDE, times, y, noise_var=0.1))
    return result.mean, result.var


def between(times: np.ndarray, y: np.ndarray, new: np.ndarray) -> object:
    return interpolate(rts_smoother(kalman_filter(SDE, times, y, noise_var=0.1)), new).mean


STATESPACE: dict[str, EntryPoint] = {
    "kalman_filter": EntryPoint(smoothed, SERIES, {}),
    "interpolate": EntryPoint(between, {**SERIES, "new": np.array([0.2, 5.0])}, {"new": "times"}),
    "log_likelihood": EntryPoint(lambda times, y: log_likelihood(SDE, times, y, noise_var=0.1), SERIES, {}),
    "discretize": EntryPoint(lambda dt: discretize(SDE, dt).A, {"dt": np.array([0.1, 0.4, 0.2])}, {}),
    "sample_prior": EntryPoint(lambda times: sample_prior(SDE, times, random_state=0), {"times": SERIES["times"]}, {}),
}

GRID = {"t": np.linspace(0, 1, 6), "s": np.linspace(0, 2, 5), "y": normal(6, 5)}
HOLES = GRID["y"].copy()
HOLES[2, 1:3] = np.nan


def grid_process(t: np.ndarray, s: np.ndarray, y: np.ndarray, **options: object) -> GridGP:
    settings: dict[str, object] = {"noise_var": 0.1, "learn_kernels": False, "random_state": 0}
    return GridGP([SquaredExponential(0.3), Matern(1.5, 0.5)], **(settings | options)).fit([t, s], y)  # type: ignore[arg-type]


GP: dict[str, EntryPoint] = {
    "kernel": EntryPoint(lambda x1, x2: SquaredExponential(0.3)(x1, x2), {"x1": GRID["t"], "x2": GRID["s"]}, {}),
    "GridGP": EntryPoint(
        lambda t, s, y: grid_process(t, s, y).predict(return_std=True), GRID, {"t": "coords[0]", "s": "coords[1]"}
    ),
    "GridGP with holes": EntryPoint(
        lambda t, s, y: grid_process(t, s, y).predict(return_std=True),
        {**GRID, "y": HOLES},
        {"t": "coords[0]", "s": "coords[1]"},
        1e-9,
    ),
    "GridGP.predict": EntryPoint(
        lambda t: grid_process(**GRID).predict([t, None]), {"t": np.array([0.1, 1.5])}, {"t": "coords[0]"}
    ),
}

ROWS = {"X": RNG.integers(0, 5, (40, 2)) / 4, "y": normal(40)}
QUICK = {"n_starts": 1, "max_iter": 30, "tol": 1e-2, "mean": "constant", "random_state": 0}
TUCKER: dict[str, EntryPoint] = {
    "FunctionalCP": EntryPoint(
        lambda X, y: FunctionalCP(1, **QUICK).fit(X, y).predict(X, return_std=True), ROWS, {}, 1e-9
    ),
    "FunctionalTucker": EntryPoint(
        lambda X, y: FunctionalTucker(1, **QUICK).fit(X, y).predict(X, return_std=True), ROWS, {}, 1e-9
    ),
    "FunctionalCP.predict": EntryPoint(
        lambda X: FunctionalCP(1, **QUICK).fit(**ROWS).predict(X), {"X": normal(6, 2)}, {}
    ),
    "FunctionalCP.partial_fit": EntryPoint(
        lambda X, y: FunctionalCP(1, **QUICK).fit(**ROWS).partial_fit(X, y).predict(X), ROWS, {}, 1e-9
    ),
}

WIDE = {"A": normal(8, 12), "B": normal(6, 9)}
MEASURED = {**WIDE, "y": np.outer(WIDE["A"][:, 3] - WIDE["A"][:, 7], WIDE["B"][:, 2]) + 0.05 * normal(8, 6)}
ONE = {"A": WIDE["A"], "y": MEASURED["y"][:, 0]}


def recovered(model: object) -> Call:
    return lambda A, B, y: model.fit([A, B], y).coef_  # type: ignore[attr-defined]


SBL_POINTS: dict[str, EntryPoint] = {
    "KroneckerSBL": EntryPoint(recovered(KroneckerSBL()), MEASURED, FACTORS, 1e-6),
    "SeparableSBL": EntryPoint(recovered(SeparableSBL()), MEASURED, FACTORS, 1e-6),
    "KroneckerOMP": EntryPoint(recovered(KroneckerOMP(n_nonzero=2)), MEASURED, FACTORS, 1e-9),
    "OMP": EntryPoint(lambda A, y: OMP(n_nonzero=2).fit(A, y).coef_, ONE, FACTORS, 1e-9),
    "SBL": EntryPoint(lambda A, y: SBL(max_iter=400).fit(A, y).coef_, ONE, FACTORS, 1e-6),
    "KroneckerSBL.predict": EntryPoint(
        lambda A, B: KroneckerSBL().fit([WIDE["A"], WIDE["B"]], MEASURED["y"]).predict([A, B]), WIDE, FACTORS, 1e-9
    ),
    "nmse": EntryPoint(nmse, {"estimate": normal(5), "truth": normal(5)}, {}),
}

CODES = RNG.standard_normal((300, 6)) * (RNG.random((300, 6)) < 0.2)
ATOMS = np.linalg.qr(normal(6, 6))[0]
SAMPLES = {"X": CODES @ ATOMS.T}
DICTIONARY: dict[str, EntryPoint] = {
    "OrthogonalDictionary": EntryPoint(
        lambda X: OrthogonalDictionary(random_state=0).fit(X).components_, SAMPLES, {}, 1e-7
    ),
    "OrthogonalDictionary.partial_fit": EntryPoint(
        lambda X: OrthogonalDictionary(random_state=0).partial_fit(X).components_, SAMPLES, {}, 1e-7
    ),
    "OrthogonalDictionary.transform": EntryPoint(
        lambda X: OrthogonalDictionary(random_state=0).fit(**SAMPLES).transform(X), SAMPLES, {}, 1e-7
    ),
    "OrthogonalDictionary.inverse_transform": EntryPoint(
        lambda C: OrthogonalDictionary(random_state=0).fit(**SAMPLES).inverse_transform(C), {"C": CODES[:9]}, {}, 1e-7
    ),
    "dictionary_distance": EntryPoint(
        lambda D, D_true: dictionary_distance(D, D_true), {"D": ATOMS, "D_true": np.linalg.qr(normal(6, 6))[0]}, {}
    ),
}

SOURCE = {"x": np.linspace(0, 1, 20), "source": np.sin(3 * np.linspace(0, 1, 20))}
SENSORS = {"points": np.array([[0.1], [0.4], [0.7], [0.9]]), "values": np.array([0.1, 0.3, 0.2, 0.0])}
STRING = PDE(D(0, 2), domain=[(0, 1)], source=-1.0, conditions=Dirichlet(0.0))
PLATE = PDE(D(0, 2) + D(1, 2), domain=[(0, 1), (0, 1)], source=-1.0, conditions=Dirichlet(0.0))
HALF = np.array([0.25, 0.5])


def solved(problem: PDE, *observations: object) -> GPSolver:
    return GPSolver(lengthscale=0.5).fit(problem, *observations)


def from_samples(x: np.ndarray, source: np.ndarray) -> object:
    return solved(PDE(D(0, 2), domain=[(0, 1)], source=source, grid=[x], conditions=Dirichlet(0.0))).predict([HALF])


PDES: dict[str, EntryPoint] = {
    "PDE": EntryPoint(from_samples, SOURCE, {"x": "grid[0]"}, 1e-9),
    "GPSolver.predict": EntryPoint(
        lambda x, y: solved(PLATE).predict([x, y]), {"x": HALF, "y": HALF}, {"x": "coords[0]", "y": "coords[1]"}
    ),
    "GPSolver.predict_points": EntryPoint(
        lambda X: solved(PLATE).predict_points(X), {"X": HALF[:, None] + [0, 0.1]}, {}
    ),
    "ChebyshevSolution.predict": EntryPoint(
        lambda x, y: chebyshev_solve(PLATE, 12).predict([x, y]),
        {"x": HALF, "y": HALF},
        {"x": "coords[0]", "y": "coords[1]"},
    ),
    "GPSolver observations": EntryPoint(
        lambda points, values: solved(STRING, (points, values, 0.01)).predict([HALF], return_std=True),
        SENSORS,
        {},
        1e-9,
    ),
    "GPSolver frequencies": EntryPoint(
        lambda f: GPSolver(frequencies=[f]).fit(STRING).predict([HALF]),
        {"f": np.array([0.0, 3.0])},
        {"f": "frequencies[0]"},
    ),
    "OnCurve": EntryPoint(
        lambda curve: OnCurve(curve).points(5), {"curve": np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])}, {}
    ),
}

ENTRY_POINTS: dict[str, EntryPoint] = {**KRON, **STATESPACE, **GP, **TUCKER, **SBL_POINTS, **DICTIONARY, **PDES}
ARGUMENTS = [(name, key) for name, point in ENTRY_POINTS.items() for key in point.arrays]


def flat(result: object) -> list[np.ndarray]:
    """All arrays of a result."""
    if isinstance(result, (tuple, list)):
        return [a for part in result for a in flat(part)]
    return [np.asarray(result)]
