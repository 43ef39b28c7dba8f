r"""
Events in an array of sensors
=============================

Twelve sensors along a line report in windows of sixteen readings. Events are short patterns in place and time; a
Kronecker dictionary learns both kinds of pattern from the running stream.

A window is a matrix :math:`Y = D_1 X D_2^\top + \varepsilon`, with patterns in place :math:`D_1` (12 x 12), patterns in
time :math:`D_2` (16 x 16) and few events :math:`X`. The data are simulated: smooth patterns, events, correlated noise.
"""

import matplotlib.pyplot as plt
import numpy as np

from structkit.dictionary import OrthogonalDictionary, dictionary_distance
from structkit.orthogonal import polar_factor

rng = np.random.default_rng(0)
n_sensors, n_times = 12, 16


def smooth_patterns(size):
    """Bumps of different places and widths, made orthogonal."""
    t = np.arange(size)
    bumps = np.exp(-(((t[:, None] - t) / (1.2 + 1.5 * rng.random(size))) ** 2))
    return polar_factor(bumps * np.cos(1.5 * (t[:, None] - t)))


place, time = smooth_patterns(n_sensors), smooth_patterns(n_times)


def windows(count):
    """Windows of readings, and their events."""
    active = rng.random((count, n_sensors, n_times)) < 0.03
    events = active * rng.laplace(size=active.shape)
    noise = rng.standard_normal((count, n_sensors, n_times + 1))
    noise = 0.04 * (noise[..., 1:] + 0.5 * noise[..., :-1])  # correlated in time
    return place @ events @ time.T + noise, events


# %%
# The stream arrives window by window. A few hundred are enough, because the two factors have 400 numbers; a dense
# dictionary of the same windows would have 36 864.

model = OrthogonalDictionary(shape=(n_sensors, n_times), warmup=300, random_state=0)
seen, errors = [], []
for _ in range(40):
    model.partial_fit(windows(50)[0])
    seen.append(model.n_samples_seen_)
    errors.append([dictionary_distance(f.T, truth.T) for f, truth in zip(model.factors_, (place, time), strict=True)])
for k in (3, 9, 39):
    print(f"{seen[k]:5d} windows: distance in place {errors[k][0]:.4f}, in time {errors[k][1]:.4f}")

# %%
# The codes of a new window are its events: what was a blur over several sensors and times becomes single points.

fresh, events = windows(400)
codes = model.transform(fresh)
print(f"{np.mean(codes != 0):.1%} of the codes are not zero, {np.mean(events != 0):.1%} of the events")
print(f"the codes hold {model.score(fresh):.1%} of the energy")

busy = int(np.argmax((events != 0).sum(axis=(1, 2))))
fig, axes = plt.subplot_mosaic(
    [["distance", "distance"], ["window", "codes"]], figsize=(8.5, 6.2), height_ratios=(1, 1.3), layout="constrained"
)
axes["distance"].loglog(seen, errors, lw=1.8)
axes["distance"].legend(["patterns in place", "patterns in time"], frameon=False)
axes["distance"].set(xlabel="windows seen", ylabel="distance to the true patterns")
limit = np.abs(fresh[busy]).max()
for name, values, title in (("window", fresh[busy], "a window of readings"), ("codes", codes[busy], "its codes")):
    shown = axes[name].imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    axes[name].set_title(title)
    fig.colorbar(shown, ax=axes[name])
axes["window"].set(xlabel="time (readings)", ylabel="sensor")
axes["codes"].set(xlabel="pattern in time", ylabel="pattern in place")
plt.show()

# %%
# What to try next: ``forgetting=0.05`` for sensors that are moved, ``robust=True`` for faulty readings, ``save`` in the
# middle of a stream.
