"""Whitening filters, against the definition of whitening."""

import numpy as np
import pytest

from model_fns.layers import patch_whitening

RNG = np.random.default_rng(0)


def make_images(count=20, size=9):
    """Makes images with correlated colors and neighboring pixels."""
    noise = RNG.normal(size=(count, size + 1, size + 1, 3)).astype(np.float32)
    images = noise[:, 1:, 1:] + noise[:, :-1, :-1] + 0.5 * noise[..., :1][:, 1:, 1:]
    return images + 0.3


def responses(images, kernel):
    """Returns the outputs of the convolution for all patches, [patches, filters]."""
    size = kernel.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), (1, 2))
    patches = np.moveaxis(windows, 3, -1)  # [B, H, W, size, size, C]
    return patches.reshape(-1, kernel[..., 0].size) @ kernel.reshape(
        -1, kernel.shape[-1]
    )


@pytest.mark.parametrize('size', [2, 3])
def test_outputs_are_white(size):
    images = make_images()
    kernel = patch_whitening.filters([images[:5], images[5:]], size)
    half = size * size * 3
    assert kernel.shape == (size, size, 3, 2 * half) and kernel.dtype == np.float32
    out = responses(images, kernel[..., :half])
    np.testing.assert_allclose(out.T @ out / len(out), np.eye(half), atol=2e-3)


def test_the_second_half_is_the_negative():
    kernel = patch_whitening.filters([make_images()], 2)
    np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])


def test_filters_are_sorted_by_falling_variance():
    kernel = patch_whitening.filters([make_images()], 2)[..., :12].reshape(12, 12)
    lengths = np.linalg.norm(kernel, axis=0)  # One over the standard deviation.
    assert (np.diff(lengths) > 0).all()


def test_epsilon_bounds_directions_that_hardly_vary():
    flat = np.ones((3, 4, 4, 1), np.float32)
    kernel = patch_whitening.filters([flat], 2, 1e-2)
    assert np.abs(kernel).max() <= 10
    assert np.isfinite(patch_whitening.filters([flat], 2, 1e-12)).all()


def test_signs_and_batches_do_not_matter():
    images = make_images()
    whole = patch_whitening.filters([images], 2)
    parts = patch_whitening.filters(np.split(images, 4), 2)
    np.testing.assert_allclose(whole, parts, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        whole, patch_whitening.filters([-images], 2), rtol=1e-3, atol=1e-4
    )


def test_no_images_are_refused():
    with pytest.raises(ValueError, match='at least one image'):
        patch_whitening.filters([], 2)
