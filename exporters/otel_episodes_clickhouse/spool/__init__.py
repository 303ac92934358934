"""A finished span on disk, and from there to any sink; no ClickHouse, no network."""
