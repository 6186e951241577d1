"""Workspaces: what one is, the templates it is made from, and the backends that hold it."""
