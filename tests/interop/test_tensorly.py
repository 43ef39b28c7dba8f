"""tensorly's tensors: the same numbers both ways, and structkit products on its arrays."""

from __future__ import annotations

import numpy as np
import pytest

from structkit import ShapeError
from structkit.interop import from_tensorly, to_tensorly
from structkit.kron import KhatriRao, Kronecker, mode_product, multi_mode_product

tl = pytest.importorskip("tensorly")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("weighted", [False, True])
def test_cp_there_and_back(weighted: bool) -> None:
    factors = [normal(n, 3, seed=n) for n in (2, 4, 5)]
    weights = normal(3) if weighted else None
    cp = to_tensorly(factors, weights=weights)
    dense = tl.cp_to_tensor(cp)
    op, w = from_tensorly(cp)
    assert isinstance(op, KhatriRao)
    assert np.allclose((op @ w).reshape(2, 4, 5), dense)
    assert np.shares_memory(cp.factors[0], factors[0])


def test_tucker_there_and_back() -> None:
    factors, core = [normal(4, 2), normal(5, 3), normal(3, 3)], normal(2, 3, 3)
    tucker = to_tensorly(factors, core=core)
    op, vector = from_tensorly(tucker)
    assert isinstance(op, Kronecker)
    assert np.allclose((op @ vector).reshape(4, 5, 3), tl.tucker_to_tensor(tucker))


def test_decompositions_of_tensorly_come_in() -> None:
    from tensorly.decomposition import parafac, tucker

    X = tl.tensor(normal(4, 5, 3))
    op, _ = from_tensorly(parafac(X, rank=2, n_iter_max=5, random_state=0))
    assert op.shape == (60, 2)
    op, core = from_tensorly(tucker(X, rank=[4, 5, 3], n_iter_max=5))
    assert np.allclose((op @ core).reshape(4, 5, 3), X)


def test_products_take_tensorly_arrays() -> None:
    X, A = tl.tensor(normal(4, 5, 3)), tl.tensor(normal(2, 5))
    assert np.allclose(mode_product(X, A, 1), tl.tenalg.mode_dot(X, A, 1))
    mats = [tl.tensor(normal(2, n)) for n in (4, 5, 3)]
    assert np.allclose(multi_mode_product(X, mats), tl.tenalg.multi_mode_dot(X, mats))


def test_torch_tensors_stay_torch() -> None:
    import torch

    cp = to_tensorly([torch.ones(2, 3), torch.ones(4, 3)], weights=torch.ones(3))
    op, w = from_tensorly(cp)
    assert isinstance(op @ w, torch.Tensor)


def test_bad_shapes() -> None:
    with pytest.raises(ShapeError, match="same number"):
        to_tensorly([np.ones((2, 3)), np.ones((4, 2))])
    with pytest.raises(ShapeError, match="core has shape"):
        to_tensorly([np.ones((2, 3))], core=np.ones(2))
    with pytest.raises(ShapeError, match="both"):
        to_tensorly([np.ones((2, 3))], core=np.ones(3), weights=np.ones(3))
    with pytest.raises(ShapeError, match="weights has shape"):
        to_tensorly([np.ones((2, 3))], weights=np.ones(2))
    with pytest.raises(TypeError, match="CPTensor or TuckerTensor"):
        from_tensorly(np.ones((2, 2)))
