"""Policies that name the operator's account name those of all operators that share a cluster."""

from __future__ import annotations

from api.manifests import helm, needs_helm


@needs_helm
def test_policies_that_name_the_operator_name_all_operators() -> None:
    """Several share a cluster: none of their accounts is kept from what it may do, nor free of what keeps it."""
    theirs = helm("--set", "flags.enabled=true", "--set-json", 'admission.guard.operators=["system:serviceaccount:b:tidegate"]')
    named = "request.userInfo.username in ['system:serviceaccount:tidegate-system:tidegate', 'system:serviceaccount:b:tidegate']"
    for name in ("tidegate-guard", "tidegate-changed-by", "tidegate-flags", "tidegate-feature-flags"):
        conditions = theirs["ValidatingAdmissionPolicy", name]["spec"]["matchConditions"]
        assert any(named in one["expression"] for one in conditions), name
