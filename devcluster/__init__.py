"""A real Kubernetes on this machine, built from its Go modules, without an image registry."""
