"""The site's Kubernetes cluster from outside: its kubeconfig, and its API."""

SECRET = "cluster/kubeconfig"
"""Its name among the site's secrets."""
