"""The client of a runstone server: its remote library and its fetch. Imports nothing of the server, and starts fast."""
