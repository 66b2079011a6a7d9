"""The demo: good versions are promoted, bad ones are shut out, on a real cluster with real traffic.

``python -m tidegate_sandbox.demo`` brings up a cluster of its own, plays four releases of a service under the seed
policy while load runs through Envoy, and measures what happened by itself: it asks Prometheus, Envoy and the API server
and does not take the operator's word. It leaves ``build/demo.json`` behind, and exit status 0 only where every outcome
and every limit is as said.
"""
