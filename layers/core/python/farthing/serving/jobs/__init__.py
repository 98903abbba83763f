"""Requests that may wait: kept as files until somebody computes them, and their answers after that.

    in/ID.json     a request that waits; whoever computes it removes it at the very end
    out/ID.json    what it came to, written only where nothing is: of two attempts one counts
    hooks/ID.json  a webhook that is still to be called, and how often it was tried

An answer's entry in the ledger is made only from `out/ID.json`, under the job's name, so that a job
which is computed twice is sold once, at the price that its answer tells.
"""
