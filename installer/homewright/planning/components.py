"""What the platform is made of and what each part costs: figures with their source, as data."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "what our manifest asks for"
ESTIMATE = "our estimate, since its maker names no figure"


@dataclass(frozen=True)
class Component:
    """One part of the platform."""

    id: str
    title: str
    cpu: float
    """Processors that it asks for."""
    memory: float
    """GiB that it asks for."""
    disk: float
    """GiB of volumes; images come on top."""
    source: str
    """Where the figures come from."""
    note: str = ""
    """What else to know before it is chosen."""


CLUSTER_PER_NODE = Component(
    "cluster", "Kubernetes itself, on each node", 0.5, 1.0, 20,
    "MicroK8s' requirements name 4 GB and 20 GB for a node with room to work; of the memory a quarter is its own",
)  # fmt: skip

CORE: tuple[Component, ...] = (
    Component("gpu-operator", "NVIDIA GPU operator", 0.5, 0.5, 0, ESTIMATE),
    Component("coredns", "CoreDNS", 0.1, 0.1, 0, "kubeadm's manifest: 100m, 70Mi"),
    Component("cert-manager", "cert-manager", 0.1, 0.2, 0, ESTIMATE),
    Component("ingress", "Ingress and MetalLB", 0.3, 0.4, 0, ESTIMATE),
    Component("postgresql", "PostgreSQL", 0.5, 1.0, 10, OURS),
    Component("keycloak", "Keycloak", 0.5, 1.25, 0, "keycloak.org, sizing CPU and memory: 1250 MB a pod"),
    Component("harbor", "Harbor", 2.0, 4.0, 50, "goharbor.io, prerequisites: 2 CPU, 4 GB; registry 50Gi"),
    Component("seaweedfs", "SeaweedFS", 0.5, 1.0, 20, ESTIMATE),
    Component("argo", "Argo Workflows and Events", 0.3, 0.5, 0, ESTIMATE),
    Component("argocd", "Argo CD", 0.5, 1.0, 0, ESTIMATE),
    Component("devpi", "DevPi", 0.1, 0.3, 5, OURS),
    Component("gitea", "Gitea", 0.2, 0.5, 10, OURS),
    Component("code-server", "Admin code-server", 0.5, 1.0, 10, OURS),
    Component("control", "Control service", 0.2, 0.5, 5, OURS),
)
"""Always there, in the order in which they are installed."""

OPTIONAL: tuple[Component, ...] = (
    Component("jupyterhub", "JupyterHub", 0.5, 1.0, 5, "z2jh guarantees 1 GB to each user, on top of this"),
    Component("prometheus", "Prometheus", 0.5, 2.0, 20, ESTIMATE),
    Component("awx", "AWX", 1.0, 2.0, 8, ESTIMATE),
    Component("mlflow", "MLflow", 0.2, 0.5, 10, ESTIMATE),
    Component("qdrant", "Qdrant", 0.5, 1.0, 10, ESTIMATE),
    Component("valkey", "Valkey", 0.1, 0.3, 5, ESTIMATE),
    Component("pgadmin", "pgAdmin", 0.1, 0.3, 1, ESTIMATE),
    Component(
        "knative", "Knative", 0.7, 0.5, 0,
        "requests of its own manifests; knative.dev advises 2 CPU, 4 GB and 20 GB on each node",
    ),
    Component("opensearch", "OpenSearch", 1.0, 2.0, 8, "the chart's 1000m and 8Gi; memory is twice its heap of 1 GB"),
    Component("ollama", "Ollama", 0.5, 8.0, 30, "its README: 8 GB for models of 7 billion parameters",
              "without a GPU its models answer slowly"),
    Component("litellm", "LiteLLM", 0.5, 1.0, 0, ESTIMATE),
)  # fmt: skip
"""Those that a site can add; the order of platform.md."""
