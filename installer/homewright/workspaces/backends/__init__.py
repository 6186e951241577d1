"""Where workspaces live: one backend a kind of place."""
