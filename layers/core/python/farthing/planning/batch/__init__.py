"""What a batch run costs, before it runs: on functions, on spot nodes, on Ray."""
