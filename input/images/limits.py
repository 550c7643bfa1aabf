"""Limits of the images that are decoded."""

#: Default of `max_image_pixels`: 8,000 x 8,000 pixels, 192 MB in color.
MAX_IMAGE_PIXELS = 64_000_000
