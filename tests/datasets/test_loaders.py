import dataclasses

import numpy as np
import pytest
import tensorly

from structkit.datasets import indian_pines


@pytest.fixture(scope="module")
def image():
    return indian_pines()


def test_shape_type_and_range(image):
    assert image.cube.shape == (145, 145, 200)
    assert image.cube.dtype == np.float32
    assert (image.cube.min(), image.cube.max()) == (955.0, 9604.0)


def test_single_precision_holds_the_whole_numbers_exactly(image):
    exact = indian_pines(np.float64)
    assert exact.cube.dtype == np.float64
    assert np.array_equal(exact.cube, image.cube)
    assert np.array_equal(exact.cube, np.rint(exact.cube))


def test_values_are_those_of_tensorly_in_its_order(image):
    original = np.asarray(tensorly.datasets.load_indian_pines().tensor)
    assert np.array_equal(image.cube, original)


def test_classes_have_their_published_sizes(image):
    # the ground truth of the data set: 10249 labelled pixels in 16 classes
    sizes = dict(zip(image.class_names, np.bincount(image.labels.ravel()), strict=True))
    assert image.labels.shape == (145, 145)
    assert sum(sizes.values()) - sizes["Unlabelled"] == 10249
    assert (sizes["Alfalfa"], sizes["Corn-notill"], sizes["Soybean-mintill"], sizes["Woods"]) == (46, 1428, 2455, 1265)


def test_labels_lie_where_the_image_changes(image):
    # orientation: pixels of one class resemble each other more than pixels of the transposed map
    def spread(labels):
        red = image.cube[:, :, 30]
        return sum(red[labels == k].var() * (labels == k).sum() for k in range(1, 17))

    assert spread(image.labels) < 0.7 * spread(image.labels.T)


def test_one_wavelength_per_band_within_the_range_of_the_instrument(image):
    assert image.wavelengths.shape == (200,)
    assert image.wavelengths.min() >= 400
    assert image.wavelengths.max() <= 2500


def test_source_and_licence_are_named(image):
    assert "10.4231/R7RX991C" in image.attribution
    assert "Attribution 3.0" in image.attribution


def test_every_call_returns_arrays_of_its_own(image):
    other = indian_pines()
    other.cube[:] = 0
    other.wavelengths[:] = 0
    assert image.cube.min() == 955.0
    assert indian_pines().wavelengths.min() >= 400


def test_record_is_frozen(image):
    with pytest.raises(dataclasses.FrozenInstanceError):
        image.cube = None


def test_any_backend_of_tensorly_gives_numpy(image):
    with tensorly.backend_context("pytorch"):
        assert np.array_equal(indian_pines().cube, image.cube)
