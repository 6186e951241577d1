"""Workspaces in a Kubernetes cluster: what each is made of, what is seen of it, and every verb on it."""
