"""One local process: OTLP in, pages, the job loop; needs the extra ``[serve]``."""
