"""Other ways to learn a dictionary from samples, each as its users would call it; atoms come as rows."""

from __future__ import annotations

import warnings

import numpy as np

__all__ = ["fast_ica", "mini_batch", "msp", "spams_batches"]

# Penalty of the codes: the best of 0.1, 0.3, 0.6 and 1 for unit codes with one nonzero in ten.
PENALTY = 0.3


def msp(Y: np.ndarray, *, n_iter: int = 200, tol: float = 1e-4, seed: int = 0) -> np.ndarray:
    """Match, stretch, project: fixed points of the sum of fourth powers (Zhai and others, JMLR 21, 2020)."""
    n = Y.shape[1]
    A = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    for _ in range(n_iter):
        U, _, Vt = np.linalg.svd((Y @ A.T).T ** 3 @ Y, full_matrices=False)
        previous, A = A, U @ Vt
        if np.linalg.norm(A - previous) < tol * np.sqrt(n):
            break
    return A


def fast_ica(Y: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Independent components by scikit-learn."""
    from sklearn.decomposition import FastICA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FastICA(Y.shape[1], whiten="unit-variance", max_iter=200, random_state=seed).fit(Y).mixing_.T


def mini_batch(Y: np.ndarray, *, passes: int = 1, seed: int = 0) -> np.ndarray:
    """Online dictionary learning by scikit-learn."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MiniBatchDictionaryLearning(
            Y.shape[1],
            alpha=PENALTY,
            max_iter=passes,
            batch_size=256,
            random_state=seed,
            tol=0,
            max_no_improvement=None,
        )
        return model.fit(Y).components_


def spams_batches(Y: np.ndarray, *, passes: int = 10) -> np.ndarray:
    """Online dictionary learning by SPAMS."""
    import spams

    steps = passes * len(Y) // 256
    columns = np.asfortranarray(Y.T)
    D = spams.trainDL(columns, K=Y.shape[1], lambda1=PENALTY, iter=steps, batchsize=256, numThreads=1, verbose=False)
    return D.T
