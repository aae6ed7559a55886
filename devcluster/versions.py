"""The one place of the versions that a devcluster is made of; the tools modules require the same (proven by a test)."""

KUBERNETES = "1.36.3"
ETCD = "3.6.6"
COREDNS = "1.15.0"
HELM = "4.3.1"
PAUSE = "1"
HEALTH = "1"
KWOK = "0.8.0"
KUBECONFORM = "0.8.0"
PROMETHEUS = "0.316.0"
GITLEAKS = "8.30.1"

GO = "1.26"  # the oldest Go that compiles them
GO_FETCHING = "1.21"  # the oldest Go that fetches a newer one through the module proxy by itself
