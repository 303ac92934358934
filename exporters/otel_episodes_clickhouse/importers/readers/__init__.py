"""One module a format, each with a ``READER``; the order in which they are asked is that of `registry.READERS`."""
