"""Loaders of real data sets that come with packages structkit depends on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from structkit._backend.namespace import to_numpy
from structkit._core.types import DTypeLike
from structkit._core.validation import require

__all__ = ["HyperspectralImage", "indian_pines"]

CLASSES = (
    "Unlabelled",
    "Alfalfa",
    "Corn-notill",
    "Corn-mintill",
    "Corn",
    "Grass-pasture",
    "Grass-trees",
    "Grass-pasture-mowed",
    "Hay-windrowed",
    "Oats",
    "Soybean-notill",
    "Soybean-mintill",
    "Soybean-clean",
    "Wheat",
    "Woods",
    "Buildings-Grass-Trees-Drives",
    "Stone-Steel-Towers",
)


@dataclass(frozen=True)
class HyperspectralImage:
    """An image with many spectral bands.

    Attributes
    ----------
    cube : numpy.ndarray, shape ``(n_rows, n_columns, n_bands)``
        Values; rows from the top of the image, columns from its left.
    wavelengths : numpy.ndarray, shape ``(n_bands,)``
        Centre of each band in nanometres.
    labels : numpy.ndarray of int, shape ``(n_rows, n_columns)``
        Class of each pixel, an index into `class_names`.
    class_names : tuple of str
        Names of the classes.
    unit : str
        Unit of the values.
    attribution : str
        Source and licence.
    """

    cube: np.ndarray
    wavelengths: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    unit: str
    attribution: str


def indian_pines(dtype: DTypeLike = np.float32) -> HyperspectralImage:
    """Load the Indian Pines image: farmland and woods in Indiana, 145 x 145 pixels of 20 m, 200 spectral bands.

    The image was taken by the airborne spectrometer AVIRIS on 12 June 1992, and tensorly carries it.

    Parameters
    ----------
    dtype : dtype, default float32
        Of the values, which are whole numbers between 955 and 9604 and exact in single precision.

    Returns
    -------
    image : HyperspectralImage
        A value `v` stands for the radiance ``(v - 1000) / 500`` in W / (cm^2 nm sr). The bands of water vapour were
        taken out. The wavelengths are those that tensorly lists; they do not increase throughout, because the ranges
        of the four spectrometers overlap, so give an axis of bands their numbers or a `FreeCovariance`.

    Raises
    ------
    MissingDependencyError
        If tensorly is not installed.

    Examples
    --------
    >>> from structkit.datasets import indian_pines
    >>> image = indian_pines()
    >>> image.cube.shape, image.wavelengths.shape
    ((145, 145, 200), (200,))
    >>> image.class_names[image.labels[0, 0]]
    'Corn-mintill'
    """
    bunch = require("tensorly.datasets").load_indian_pines()
    labels, wavelengths = bunch.ticks
    return HyperspectralImage(
        cube=to_numpy(bunch.tensor).astype(dtype),  # type: ignore[call-overload]
        wavelengths=np.array(wavelengths, dtype=np.float64),
        labels=np.array(labels, dtype=np.int64),
        class_names=CLASSES,
        unit="1000 + 500 W / (cm^2 nm sr)",
        attribution=f"{bunch.reference}. {bunch.LICENCE}.",
    )
