"""The inference layer: opens packed models and answers with them on ONNX Runtime.

It counts what an answer used (tokens, truncations) and leaves prices to `farthing.billing`.
"""
