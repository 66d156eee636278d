"""Apps in a Kubernetes cluster: Deployments that are adopted or owned, upgraded by template and watched pod by pod.

``clusters`` connects, ``runner``, ``probes`` and ``traffic`` are the ports; ``render``, ``repair``, ``marks`` and
``standing`` are pure functions of what the API server says.
"""

from noren.adapters.kubernetes.clusters import Clusters as Clusters
from noren.adapters.kubernetes.probes import PodProbes as PodProbes
from noren.adapters.kubernetes.runner import Deployments as Deployments
from noren.adapters.kubernetes.traffic import Templates as Templates
