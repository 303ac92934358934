"""One open store: reading, writing, and the connections beneath."""
