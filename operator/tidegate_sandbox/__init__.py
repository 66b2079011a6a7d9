"""A real Kubernetes cluster on one machine, without containers: for the demo, the tests and the benchmarks.

``tidegate-sandbox run --parts api,controllers,kwok -- CMD`` starts the parts in a private network namespace, runs
``CMD`` beside them and takes everything down again. Programs that run inside find their way with
:class:`tidegate_sandbox.cluster.ClusterInfo`.

The sandbox is a tool of the checkout: the operator never imports it and its image does not contain it.
"""
