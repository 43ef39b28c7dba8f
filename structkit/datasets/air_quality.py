"""Measurements at real coordinates, as entries of tensors with continuous indexes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np

__all__ = ["MeasuredTensor", "beijing_pm25", "us_temperature"]


@dataclass(frozen=True)
class MeasuredTensor:
    """Measured values at real coordinates, with a split into training and test entries.

    Attributes
    ----------
    X : numpy.ndarray, shape ``(n, K)``
        Coordinates of each entry, float64.
    y : numpy.ndarray, shape ``(n,)``
        Values, float64.
    test : boolean array, shape ``(n,)``
        True for the entries that are held out.
    names, units : tuple of K str
        What the columns of `X` are, and in which units.
    value : str
        What `y` is, with its unit.
    attribution : str
        Source and licence.
    """

    X: np.ndarray
    y: np.ndarray
    test: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    value: str
    attribution: str

    @property
    def X_train(self) -> np.ndarray:
        """Coordinates of the training entries."""
        return self.X[~self.test]

    @property
    def y_train(self) -> np.ndarray:
        """Values of the training entries."""
        return self.y[~self.test]

    @property
    def X_test(self) -> np.ndarray:
        """Coordinates of the entries that are held out."""
        return self.X[self.test]

    @property
    def y_test(self) -> np.ndarray:
        """Values of the entries that are held out."""
        return self.y[self.test]


def beijing_pm25(fold: int = 0) -> MeasuredTensor:
    """Load daily fine dust (PM2.5) in Beijing by temperature, pressure and day: 16 965 entries, bundled.

    Daily means at the monitoring stations of the city from 1 March 2013 to 28 February 2017. The entries are those of
    [2]_, with its random splits: a fifth of the entries is held out.

    Parameters
    ----------
    fold : int, 0, 1 or 2, default 0
        Which of three splits; their test sets overlap.

    Returns
    -------
    tensor : MeasuredTensor
        Columns of `X`: temperature in degrees Celsius (399 levels), pressure in hectopascal (480 levels) and day since
        1 March 2013 (1461 levels), sorted by day. Values are standardised over all entries, mean 0 and standard
        deviation 1. Stations that share a day, a temperature and a pressure scatter by 0.13 around their mean: no model
        of these coordinates predicts better than that. Temperature and pressure are rounded, most of them to 0.1.

    Raises
    ------
    ValueError
        If there is no such fold.

    References
    ----------
    .. [1] Song Chen, "Beijing Multi-Site Air Quality", UCI Machine Learning Repository, 2019,
       https://doi.org/10.24432/C5RK5G. Licence: Creative Commons Attribution 4.0.
    .. [2] Fang, Yu, Wang, Li, Kirby, Zhe, "Functional Bayesian Tucker Decomposition for Continuous-indexed Tensor
       Data", ICLR 2024.

    Examples
    --------
    >>> from structkit.datasets import beijing_pm25
    >>> tensor = beijing_pm25()
    >>> tensor.X_train.shape, tensor.X_test.shape
    ((13572, 3), (3393, 3))
    >>> tensor.names, tensor.units
    (('temperature', 'pressure', 'day'), ('°C', 'hPa', 'd'))
    """
    _check_fold(fold, 3)
    with (files("structkit.datasets") / "data" / "beijing_pm25.npz").open("rb") as f, np.load(f) as data:
        temperature, pressure, day = data["index"]
        hundredths = data["temperature"][temperature], data["pressure"][pressure]
        return MeasuredTensor(
            X=np.stack([*(column / 100.0 for column in hundredths), day.astype(np.float64)], axis=1),
            y=data["value"].astype(np.float64),
            test=np.unpackbits(data["test"][fold], count=len(day)).astype(bool),
            names=("temperature", "pressure", "day"),
            units=("°C", "hPa", "d"),
            value="PM2.5, standardised",
            attribution="Song Chen, Beijing Multi-Site Air Quality, UCI Machine Learning Repository, 2019, "
            "doi:10.24432/C5RK5G. Creative Commons Attribution 4.0 International (CC BY 4.0). "
            "Daily means, standardised.",
        )


def us_temperature(
    path: str | os.PathLike[str], *, fold: int = 0, split: Literal["grouped", "random"] = "grouped"
) -> MeasuredTensor:
    """Read a file of annual temperatures of cities in the United States, which does not come with structkit.

    Parameters
    ----------
    path : str or path
        A numpy archive (``.npz``) with ``idx`` ``(n, 3)``, integer positions in the levels ``lat`` (degrees North),
        ``lon_w`` (degrees West) and ``year``; ``value`` ``(n,)``, degrees Fahrenheit; ``group_fold`` ``(n,)``, the
        fold of each entry; ``test0``, ``test1``, ..., the rows that the random splits hold out.
    fold : int, >= 0, default 0
        Number of the split.
    split : {"grouped", "random"}, default "grouped"
        Cities in one cell of the source's grid share their values. A random split puts copies of most of its test
        entries into the training set; the grouped one keeps all entries of a cell and year together.

    Returns
    -------
    tensor : MeasuredTensor
        Columns of `X`: latitude in degrees North, longitude in degrees West, year.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the archive lacks an array, or there is no such split or fold.

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> from structkit.datasets import us_temperature
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "us.npz")
    ...     levels = {"lat": [30.0, 40.0], "lon_w": [90.0], "year": [1900, 1901]}
    ...     entries = {"idx": [[0, 0, 0], [1, 0, 1]], "value": [70.0, 50.0], "group_fold": [1, 0]}
    ...     np.savez(path, **levels, **entries)
    ...     tensor = us_temperature(path)
    >>> tensor.X_test
    array([[  40.,   90., 1901.]])
    """
    if split not in ("grouped", "random"):
        raise ValueError(f'split={split!r}; expected "grouped" or "random".')
    with np.load(path) as data:
        levels = [_array(data, name) for name in ("lat", "lon_w", "year")]
        index, value = _array(data, "idx"), _array(data, "value")
        test = np.zeros(len(value), dtype=bool)
        if split == "grouped":
            groups = _array(data, "group_fold")
            _check_fold(fold, int(groups.max()) + 1)
            test[groups == fold] = True
        else:
            _check_fold(fold, sum(name.startswith("test") for name in data.files))
            test[_array(data, f"test{fold}")] = True
    return MeasuredTensor(
        X=np.stack([x[i] for x, i in zip(levels, index.T, strict=True)], axis=1).astype(np.float64),
        y=value.astype(np.float64),
        test=test,
        names=("latitude", "longitude", "year"),
        units=("°N", "°W", "a"),
        value="annual mean temperature, °F",
        attribution="Berkeley Earth surface temperature by city; see the file's own source for its licence.",
    )


def _check_fold(fold: int, count: int) -> None:
    """Raise unless `fold` numbers one of the splits."""
    if not isinstance(fold, (int, np.integer)) or isinstance(fold, bool) or not 0 <= fold < count:
        raise ValueError(f"fold={fold!r}; expected an integer from 0 to {count - 1}.")


def _array(data: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    """One array of an archive, or an error that names it."""
    if name not in data.files:
        raise ValueError(f"The archive has no array {name!r}; it holds {', '.join(sorted(data.files))}.")
    return data[name]
