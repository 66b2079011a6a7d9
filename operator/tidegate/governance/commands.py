"""Commands as people are shown them: each can be pasted as it stands, whatever namespace its reader works in."""

from __future__ import annotations


def on_release(verb: str, name: str, namespace: str, *options: str) -> str:
    """Return a command of `kubectl tidegate` about one Release.

    Args:
        verb: the command.
        name: of the Release.
        namespace: of the Release.
        options: what else it takes, each a word.
    """
    return " ".join(("kubectl tidegate", verb, name, "-n", namespace, *options))


def annotation(verb: str, name: str, namespace: str) -> str:
    """Return how something is asked for without a ReleaseDecision; the id, which is to be new each time, is the time."""
    return f"kubectl annotate --overwrite release {name} -n {namespace} tidegate.dev/request={verb}/$(date +%s)"


def thaw(name: str) -> str:
    """Return how a freeze is ended, which belongs to no namespace."""
    return f"kubectl tidegate thaw {name}"


def logs(job: str, namespace: str) -> str:
    """Return how what a Job says is read."""
    return f"kubectl logs job/{job} -n {namespace}"
