"""Contract suites and fixtures that other implementations may use."""
