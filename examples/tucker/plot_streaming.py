r"""
Learn from a stream of entries
==============================

Entries arrive in batches, each is seen once, and the model is ready to predict after every batch.

`partial_fit <structkit.tucker.FunctionalCP.partial_fit>` keeps what earlier batches said about each function, the
weights and the noise as Gaussian and Gamma factors, and finds the posterior that these and the new entries support.
Memory grows with the number of levels, not with the number of entries.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.datasets import sample_functional_tensor
from structkit.tucker import FunctionalCP

# %%
# A tensor of rank 2 with 100 levels in each of three modes, a tenth of the levels of the test entries never seen, and
# 12 batches of 500 entries.

data = sample_functional_tensor(6000, unseen=0.1, random_state=4)
batches = np.array_split(np.arange(6000), 12)
options = {"kernel": "matern32", "mean": "zero", "tol": 1e-3, "random_state": 0}


def score(model):
    """Error against the noise-free values in units of the noise, and coverage of the 90 % intervals."""
    mean, std = model.predict(data.X_test, return_std=True, include_noise=True)
    covered = np.abs(mean - data.y_test) < 1.645 * std
    return np.sqrt(np.mean((mean - data.f_test) ** 2)) / data.noise_std, covered.mean()


stream, scores = FunctionalCP(3, **options), []
for rows in batches:
    stream.partial_fit(data.X_train[rows], data.y_train[rows])
    scores.append(score(stream))
seen = 500 * np.arange(1, 13)
errors, coverage = np.transpose(scores)

# %%
# The same entries in one `fit`, for two of the sizes.

at_once = {n: score(FunctionalCP(3, **options).fit(data.X_train[:n], data.y_train[:n])) for n in (2000, 6000)}

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(seen, errors, "o-", color="#0072B2", label="stream, every entry seen once")
left.plot(list(at_once), [e for e, _ in at_once.values()], "s", color="#D55E00", ms=8, label="one fit of all so far")
left.set(xlabel="entries seen", ylabel="error / noise standard deviation", ylim=(0, 0.65))
left.legend(frameon=False)
right.axhline(90, color="0.6", ls="--", lw=1)
right.plot(seen, 100 * coverage, "o-", color="#0072B2")
right.plot(list(at_once), [100 * c for _, c in at_once.values()], "s", color="#D55E00", ms=8)
right.set(xlabel="entries seen", ylabel="coverage of the 90 % intervals (%)", ylim=(50, 100))
plt.show()
print(f"stream: error {errors[0]:.2f} after the first batch, {errors[-1]:.2f} after the last")
print(f"one fit of all entries: {at_once[6000][0]:.2f}; coverage of the stream's 90 % intervals {coverage[-1]:.1%}")
print(f"noise {stream.noise_var_**0.5:.3f}, truth {data.noise_std:.3f}; components in use: {stream.rank_}")

# %%
# What to try next: new levels may appear in any batch; ``warm_start=True`` goes on from the last posterior in another
# `fit`; `save <structkit.tucker.FunctionalCP.save>` keeps a stream between two runs of a program.
