"""The compiled kernels: they know bytes, buffers and numbers, and nothing of runs or users."""
