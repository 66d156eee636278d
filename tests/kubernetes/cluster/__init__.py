"""A real one-node Kubernetes cluster without Docker, in namespaces of its own, for the tests beside this package."""
