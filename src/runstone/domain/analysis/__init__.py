"""Statistics over rows: works with numpy, and is loaded by the first question that takes them."""
