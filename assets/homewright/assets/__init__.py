"""Data that travels with Homewright: recorded machines, manifests, themes, schemas."""
