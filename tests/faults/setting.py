"""The cluster that all faults happen in: what deploy/ installs, with the policy that holds changed templates in force."""

from __future__ import annotations

from api.cluster_access import ROOT, kubectl, once
from api.shop import install_gateway_api
from e2e.conftest import install as install_deploy


def install() -> None:
    """Install the kinds, the operator's rights and the admission policies, and wait until they are in force."""
    install_gateway_api()
    install_deploy(held_by_policy=True)
    once("flag-components", _install_flags)


def _install_flags() -> None:
    kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", str(ROOT / "deploy" / "components" / "flags"))
