"""What a bundle is worth, measured through `farthing.inference`."""
