"""What is computed from the stored spans, and asked of it."""
