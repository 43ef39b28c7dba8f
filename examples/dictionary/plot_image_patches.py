"""
Patches of a photograph
=======================

Is a learned dictionary better for patches of a photograph than cosines? A little, if it has Kronecker structure.

Patches of the left half of a photograph are learned from; patches of the right half, unseen, are then written with few
atoms each. The picture is the portrait of Grace Hopper that comes with matplotlib.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct

from structkit.dictionary import OrthogonalDictionary
from structkit.plotting import plot_atoms

with get_sample_data("grace_hopper.jpg") as file:
    image = plt.imread(file, format="jpg")[..., :3].astype(float) @ [0.299, 0.587, 0.114] / 255
size, kept = 16, 8
middle = image.shape[1] // 2
train = sliding_window_view(image[:, :middle], (size, size))[::3, ::3].reshape(-1, size, size)
rows, columns = image.shape[0] // size, middle // size
right = image[: rows * size, middle : middle + columns * size]
test = right.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)
train = np.random.default_rng(0).permutation(train)
train = train - train.mean(axis=(1, 2), keepdims=True)
means = test.mean(axis=(1, 2), keepdims=True)

# %%
# Learning keeps the eight largest codes of each patch and starts from the cosines. A Kronecker dictionary has one
# matrix for columns and one for rows of a patch, 512 numbers; a dense one has 65 536. One pass over 15 000 patches.

cosines = dct(np.eye(size), axis=1, norm="ortho")
options = {"n_nonzero": kept, "warmup": 4096, "tol": 0.05}
models = {
    "Kronecker": OrthogonalDictionary(shape=(size, size), start="dct", **options).partial_fit(train),
    "dense": OrthogonalDictionary(start=np.kron(cosines, cosines), **options).partial_fit(train.reshape(-1, size**2)),
}
principal = np.linalg.svd(train.reshape(-1, size**2), full_matrices=False)[2]
dictionaries = {"cosines": np.kron(cosines, cosines).T, "principal axes": principal}
dictionaries |= {name: np.asarray(model.components_) for name, model in models.items()}


def written(atoms):
    """The right half, every patch with its largest codes."""
    codes = (test - means).reshape(len(test), -1) @ atoms.T
    least = np.sort(np.abs(codes), axis=1)[:, -kept, None]
    patches = (np.where(np.abs(codes) >= least, codes, 0) @ atoms).reshape(test.shape) + means
    return patches.reshape(rows, columns, size, size).swapaxes(1, 2).reshape(right.shape)


pictures = {name: written(atoms) for name, atoms in dictionaries.items()}
for name, picture in pictures.items():
    print(f"{name:16s} {-10 * np.log10(np.mean((picture - right) ** 2)):.2f} dB with {kept} of {size**2} codes")

# %%
# The gain over cosines is a few tenths of a decibel. Dense dictionaries gain less out of sample, or even lose, although
# they fit the left half better: they have many more numbers to learn. On other photographs the order can differ.

fig, axes = plt.subplot_mosaic(
    [["right", "cosines", "Kronecker", "atoms"]], figsize=(12, 5), layout="constrained", width_ratios=(1, 1, 1, 1.9)
)
for name, picture in (("right", right), ("cosines", pictures["cosines"]), ("Kronecker", pictures["Kronecker"])):
    axes[name].imshow(picture[80:400, 20:190], cmap="gray", vmin=0, vmax=1)
    axes[name].set(title=name if name != "right" else "right half, unseen", xticks=[], yticks=[])
chosen = (np.arange(8)[:, None] * size + np.arange(8)).ravel()  # of low frequency
plot_atoms(dictionaries["Kronecker"][chosen], ax=axes["atoms"])
axes["atoms"].set_title("Kronecker atoms of low order")
plt.show()

# %%
# What to try next: smaller patches, where learning gains less, ``start="random"``, or colour patches with
# ``shape=(16, 16, 3)``.
