"""Whom a Release may have the operator write for: the admission policy tidegate-deputy, before real identities."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess
from typing import Any

import pytest

from api.cluster_access import ROOT, eventually, install_crds, kubectl, namespace, needs_api
from api.people import RELEASER, Person, editor, of_role, of_the_whole_cluster, rights
from api.test_admission import in_force

pytestmark = [*needs_api, pytest.mark.xdist_group("deputy")]

Json = dict[str, Any]
DEPLOYMENT = rights("apps", "deployments", "get", "patch")
SERVICE = rights("", "services", "get", "patch")
REPLICA_SETS = rights("apps", "replicasets", "create")
ANYTHING: Json = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


def release(name: str = "pay", **spec: Any) -> Json:
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": name},
        "spec": {"targetRef": {"name": "pay"}, "policyRef": {"name": "production"}, **spec},
    }


def traffic(*routes: str) -> Json:
    """Traffic by the Service `pay`, and by routes if any are named."""
    router = {"gatewayAPI": {"httpRoutes": [{"name": name} for name in routes]}} if routes else {}
    return {"traffic": {"service": "pay", **router}}


def httproutes(*names: str) -> Json:
    return rights("gateway.networking.k8s.io", "httproutes", "patch", names=names)


def passes(attempt: Callable[[], CompletedProcess[str]]) -> None:
    """It is accepted, once the API server knows of a right that was given a moment ago."""
    eventually(attempt, wanted=lambda done: done.returncode == 0, timeout=60)


def refused(attempt: Callable[[], CompletedProcess[str]], words: str) -> None:
    """It is refused with these words, once the API server knows likewise."""
    eventually(attempt, wanted=lambda done: done.returncode != 0 and words in done.stderr, timeout=60)


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """A namespace in which the policy is in force."""
    install_crds()
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "deploy" / "operator" / "people.yaml"))
    with namespace("tidegate-deputy") as name, in_force(ROOT / "deploy" / "admission" / "deputy.yaml", name):
        probe = of_role("probe", name, *RELEASER)
        eventually(lambda: probe.create(release()).returncode, wanted=lambda code: code != 0, timeout=60)
        yield name


@pytest.fixture(scope="module")
def releaser(place: str) -> Person:
    """Somebody with a right on Releases alone."""
    return of_role("releaser", place, *RELEASER)


def test_releaser_may_not_name_what_they_may_not_patch(releaser: Person) -> None:
    """Given a right on Releases alone, a Release is refused in words: who, what, and what would help."""
    assert not releaser.may("patch", "deployments.apps/pay")

    done = releaser.create(release(images={"app": "mine:1"}))

    assert done.returncode != 0
    assert "spec.targetRef: releaser may not patch Deployment pay, so may not write a Release that does; " in done.stderr
    assert (
        f"give this account the verb patch on deployments.apps in {releaser.namespace}, or have an account with that right"
        in done.stderr
    )


def test_right_on_the_one_deployment_is_enough(place: str) -> None:
    """Given `patch` on a Deployment by name, a Release of it passes, and one of another does not."""
    owner = of_role("owner", place, *RELEASER, rights("apps", "deployments", "patch", names=("pay",)))

    passes(lambda: owner.create(release()))
    refused(lambda: owner.create(release(targetRef={"name": "ledger"})), "owner may not patch Deployment ledger")


def test_images_take_the_right_to_create_replica_sets(place: str) -> None:
    """Given `patch` on Deployments alone, `spec.images` is refused; with `create` on ReplicaSets it passes."""
    patcher = of_role("patcher", place, *RELEASER, DEPLOYMENT)
    maker = of_role("maker", place, *RELEASER, DEPLOYMENT, REPLICA_SETS)
    imaged = release(images={"app": "pay:2"})

    passes(lambda: patcher.create(release()))
    passes(lambda: patcher.create(release(images={})))
    refused(lambda: patcher.create(imaged), "spec.images: patcher may not create ReplicaSets, so may not write a Release that runs")
    passes(lambda: maker.create(imaged))


def test_built_in_edit_may_release_but_not_by_a_route(place: str) -> None:
    """`edit` has no right on HTTPRoutes: a Release with images and a Service passes, and one with a route takes that right."""
    person = editor(place)
    routed = release(**traffic("pay"))
    assert not person.may("patch", "httproutes.gateway.networking.k8s.io/pay")

    passes(lambda: person.create(release(images={"app": "pay:2"})))
    words = "spec.traffic.gatewayAPI: editor may not patch HTTPRoute pay, so may not write a Release that does"
    refused(lambda: person.create(routed), words)

    of_role("editor", place, httproutes())
    passes(lambda: person.create(routed))


def test_service_counts_too(place: str) -> None:
    """Given a right on Deployments and routes, and none on the Service, the Service is named."""
    router = of_role("router", place, *RELEASER, DEPLOYMENT, httproutes())

    refused(lambda: router.create(release(**traffic("pay"))), "spec.traffic.service: router may not patch Service pay")


def test_flags_take_the_right_on_the_object_that_defines_them(place: str) -> None:
    """By name, a ConfigMap or a FeatureFlag; where a hook leads is the operator's configuration."""
    owner = of_role("flag-owner", place, *RELEASER, DEPLOYMENT, rights("", "configmaps", "patch", names=("pay-flags",)))
    items = [{"name": "feature"}]

    passes(lambda: owner.create(release(flags={"configMap": {"name": "pay-flags"}, "items": items})))
    passes(lambda: owner.create(release(flags={"http": {"hook": "flags"}, "items": items})))
    words = "spec.flags: flag-owner may not patch ConfigMap other, so may not write a Release that does; give this account the verb"
    refused(lambda: owner.create(release(flags={"configMap": {"name": "other"}, "items": items})), words)
    words = "spec.flags: flag-owner may not patch FeatureFlag pay-flags, so may not write a Release that does"
    refused(lambda: owner.create(release(flags={"featureFlag": {"name": "pay-flags"}, "items": items})), words)


@pytest.mark.parametrize("missing", [0, 1, 4, 7])
def test_each_of_the_routes_counts(place: str, missing: int) -> None:
    """Of eight routes, the most that there may be, the one that the author may not patch is named, wherever it stands."""
    names = tuple(f"pay-{number}" for number in range(8))
    allowed = tuple(name for name in names if name != f"pay-{missing}")
    author = of_role(f"all-but-{missing}", place, *RELEASER, DEPLOYMENT, SERVICE, httproutes(*allowed))

    passes(lambda: author.create(release(**traffic(*allowed))))
    refused(lambda: author.create(release(**traffic(*names))), f"may not patch HTTPRoute pay-{missing}, so may")


def test_only_a_changed_spec_is_asked_about(place: str, releaser: Person) -> None:
    """Somebody with a right on Releases alone may ask for a rollback and label it, but not turn it to another Deployment."""
    kubectl("apply", "--namespace", place, "--filename=-", stdin=json.dumps(release("asked")))

    fine = [
        {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}},
        {"metadata": {"labels": {"team": "pay"}, "finalizers": ["example.dev/own"]}},
        {"spec": {"targetRef": {"name": "pay"}}},
        {"metadata": {"finalizers": None}},
    ]
    for change in fine:
        done = releaser.patch("release/asked", change)
        assert 0 == done.returncode, done.stderr
    turned = releaser.patch("release/asked", {"spec": {"targetRef": {"name": "ledger"}}})
    named = releaser.patch("release/asked", {"spec": {"version": "v2"}})

    assert "releaser may not patch Deployment ledger" in turned.stderr
    assert "releaser may not patch Deployment pay" in named.stderr
    assert 0 == releaser.kubectl("delete", "release", "asked", "--wait=false").returncode


FLUX = "system:serviceaccount:flux-system:kustomize-controller"
ARGO = "system:serviceaccount:argocd:argocd-application-controller"


@pytest.mark.parametrize("account", [FLUX, ARGO], ids=["Flux", "Argo CD"])
def test_controller_with_all_rights_passes_for_whoever_wrote_to_git(place: str, account: str) -> None:
    """As they are installed, both have all rights: the policy asks about them, and not about the author of a commit."""
    with of_the_whole_cluster(account, place, ANYTHING) as controller:
        passes(lambda: controller.apply(release(images={"app": "pay:2"}, **traffic("pay"))))
        again = controller.apply(release(images={"app": "pay:3"}, **traffic("pay")))
        controller.kubectl("delete", "release", "pay", "--wait=false")

    assert 0 == again.returncode, again.stderr


def test_flux_that_impersonates_is_asked_as_the_tenant(place: str) -> None:
    """With `spec.serviceAccountName`, what counts is that account: refused with Releases alone, and let through with the rest."""
    tenant = f"system:serviceaccount:{place}:deployer"
    bare = of_role(tenant, place, *RELEASER)
    refused(lambda: bare.apply(release(**traffic("pay")), "--dry-run=server"), f"{tenant} may not patch Deployment pay")

    whole = of_role(tenant, place, *RELEASER, DEPLOYMENT, SERVICE, httproutes("pay"))
    passes(lambda: whole.apply(release(**traffic("pay")), "--dry-run=server"))


def test_argo_cd_that_may_write_releases_only_is_refused(place: str) -> None:
    """Given a controller whose account may write `tidegate.dev` kinds alone, it releases nothing that it could not write itself."""
    controller = of_role(ARGO, place, *RELEASER)

    refused(lambda: controller.apply(release(), "--dry-run=server"), f"{ARGO} may not patch Deployment pay")


@pytest.fixture(scope="module")
def staging() -> Iterator[str]:
    """Another namespace, with a Release in it or none: the authorizer does not look."""
    with namespace("tidegate-staging") as name:
        yield name


def after(*others: tuple[str, str | None]) -> Json:
    """Return the field: names of Releases and their namespaces."""
    return {"after": [{"release": name, **({"namespace": where} if where else {})} for name, where in others]}


def test_what_a_release_comes_after_its_author_may_get(place: str, staging: str) -> None:
    """Given no right in the other namespace, a Release that would tell how that stands is refused; with `get` by name it passes."""
    author = of_role("watcher", place, *RELEASER, DEPLOYMENT)
    passes(lambda: author.create(release(**after(("ledger", None)))))
    words = (
        f"spec.after: watcher may not get Release pay in {staging}, so may not write a Release that tells how it stands; give this "
        "account the verb get on releases.tidegate.dev there"
    )
    refused(lambda: author.create(release(**after(("pay", staging)))), words)

    of_role("watcher", staging, rights("tidegate.dev", "releases", "get", names=("pay",)))

    passes(lambda: author.create(release(**after(("pay", staging)))))
    refused(lambda: author.create(release(**after(("ledger", staging)))), f"may not get Release ledger in {staging}")


def test_a_release_of_another_cluster_is_for_the_operators_configuration(place: str) -> None:
    """No right in this cluster is one over there: what is called the same here need not be there, nor be readable."""
    author = of_role("abroad", place, *RELEASER, DEPLOYMENT, REPLICA_SETS)
    there = {"release": "pay", "namespace": "kube-system", "cluster": "west"}

    passes(lambda: author.create(release(after=[there], follow=there)))
    refused(
        lambda: author.create(release(after=[there, {"release": "pay", "namespace": "kube-system"}])),
        "spec.after: abroad may not get Release pay in kube-system",
    )


@pytest.mark.parametrize("missing", range(4))
def test_each_that_it_comes_after_counts(place: str, staging: str, missing: int) -> None:
    """Of four, the most that there may be, the one that the author may not get is named, wherever it stands."""
    names = [f"pay-{number}" for number in range(4)]
    allowed = [name for name in names if name != f"pay-{missing}"]
    person = f"watches-all-but-{missing}"
    author = of_role(person, place, *RELEASER, DEPLOYMENT)
    of_role(person, staging, rights("tidegate.dev", "releases", "get", names=tuple(allowed)))

    passes(lambda: author.create(release(**after(*((name, staging) for name in allowed)))))
    refused(lambda: author.create(release(**after(*((name, staging) for name in names)))), f"may not get Release pay-{missing} in")


def test_a_right_that_was_taken_away_keeps_the_spec_as_it_is(place: str, staging: str) -> None:
    """Who may not look any more may still ask for a rollback, and is asked again once the spec changes."""
    body = {**release("watching", **after(("pay", staging)))}
    kubectl("apply", "--namespace", place, "--filename=-", stdin=json.dumps(body))
    author = of_role("former", place, *RELEASER, DEPLOYMENT)

    asked = author.patch("release/watching", {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}})

    assert 0 == asked.returncode, asked.stderr
    refused(lambda: author.patch("release/watching", {"spec": {"version": "v2"}}), f"may not get Release pay in {staging}")


def test_what_a_release_follows_its_author_may_get_and_run(place: str, staging: str) -> None:
    """To follow takes the right to get the other Release, and, as images of one's own, the right to create ReplicaSets."""
    follows = release(follow={"release": "pay", "namespace": staging})
    patcher = of_role("follower", place, *RELEASER, DEPLOYMENT)
    refused(
        lambda: patcher.create(follows), "spec.follow: follower may not create ReplicaSets, so may not write a Release that runs"
    )

    of_role("follower", place, *RELEASER, DEPLOYMENT, REPLICA_SETS)
    refused(
        lambda: patcher.create(follows), f"spec.follow: follower may not get Release pay in {staging}, so may not write a Release"
    )

    of_role("follower", staging, rights("tidegate.dev", "releases", "get", names=("pay",)))
    passes(lambda: patcher.create(follows))
    passes(lambda: patcher.create(release(follow={"release": "ledger"})))
