"""File formats of labelled sets, each read in chunks of bounded size."""
