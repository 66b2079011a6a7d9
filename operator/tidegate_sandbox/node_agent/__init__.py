"""The node agent of the local cluster: it runs pods as processes of this machine.

The real scheduler binds pods to the agent's nodes. The agent gives each pod an address of its own, starts its
containers as local processes, probes them, restarts them, reports their status and stops them, the way a kubelet
does wherever a Deployment, a Job or an EndpointSlice can tell the difference.

Known differences from a kubelet:

* an image is a name that maps to a local program (see :mod:`.images`); nothing is pulled,
* containers share the machine's file system: volumes, resources and security contexts are ignored, the working
  directory is a folder of the pod's own unless ``workingDir`` names another,
* while a container was never ready, readiness and startup probes run every 200 ms instead of every
  ``periodSeconds`` (failures still count once per period),
* a liveness probe's first check comes one ``periodSeconds`` after the start, never sooner,
* postStart hooks and gRPC probes are not run; the latter end in CreateContainerConfigError,
* the path of the termination message is taken within the pod's own folder: ``dev/termination-log`` unless
  ``terminationMessagePath`` names another,
* ``kubectl logs`` works, ``kubectl exec``, ``attach`` and ``port-forward`` do not,
* containers of a running pod are not replaced when the pod's image is patched in place.
"""
