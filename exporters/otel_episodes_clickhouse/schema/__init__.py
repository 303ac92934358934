"""What a store should have, and how it gets there."""
