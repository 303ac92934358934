"""From a finished span to a store: the processor, the exporter, the shipper, and what is told of them."""
