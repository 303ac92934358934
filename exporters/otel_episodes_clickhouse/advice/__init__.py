"""What was learned, for the next run."""
