"""Checks of one server, and of what the servers make together."""
