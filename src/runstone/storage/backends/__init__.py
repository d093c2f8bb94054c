"""Where logs and packs may be kept: interfaces, and the local implementation of each."""
