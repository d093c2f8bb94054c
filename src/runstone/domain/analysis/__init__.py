"""What numpy works out, loaded by the first question that takes it: statistics over rows, and many runs as columns."""
