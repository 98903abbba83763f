"""Packing a function: images by whichever container engine there is, zips by pip alone."""
