"""What each provider sells for the work, a file for each kind."""
