"""The site's Kubernetes cluster from outside: its kubeconfig, and its API."""
