"""Which address a pod gets."""

import os
import socket
import subprocess
import sys

import pytest

from tidegate_sandbox.node_agent import addresses


def test_the_first_address_is_the_nodes():
    """Pods start after the node's own address."""
    pool = addresses.AddressPool("10.244.0.0/29")

    assert pool.node_address == "10.244.0.1"
    assert pool.allocate() == "10.244.0.2"


def test_a_released_address_is_not_reused_at_once():
    """A client with a stale endpoint must not reach another pod: addresses go round."""
    pool = addresses.AddressPool("10.244.0.0/29")
    first = pool.allocate()

    pool.release(first)

    assert [pool.allocate() for _ in range(5)] == [f"10.244.0.{last}" for last in (3, 4, 5, 6, 2)]


def test_an_exhausted_network_says_so():
    """With every address taken the next pod is refused by name of the problem, and served after a release."""
    pool = addresses.AddressPool("10.244.0.0/29")
    taken = [pool.allocate() for _ in range(5)]

    with pytest.raises(addresses.AddressError, match="all 5 pod addresses are in use"):
        pool.allocate()
    pool.release(taken[2])

    assert pool.allocate() == taken[2]


def test_a_pod_keeps_its_address_when_the_agent_restarts():
    """The preferred address is given where it is free and of the network."""
    pool = addresses.AddressPool("10.244.0.0/29")

    given = [pool.allocate("10.244.0.5"), pool.allocate("10.244.0.5"), pool.allocate("192.0.2.1"), pool.allocate("10.244.0.1")]

    assert given == ["10.244.0.5", "10.244.0.2", "10.244.0.3", "10.244.0.4"]


@pytest.mark.parametrize("network", ["10.244.0.0/30", "10.0.0.0/8"])
def test_a_network_of_the_wrong_size_is_refused(network: str):
    """A network without room for pods is a mistake, and so is one with far too much."""
    with pytest.raises(ValueError, match=f"pod network {network}: the prefix must be /20 to /29"):
        addresses.AddressPool(network)


IN_A_NAMESPACE = """
import socket
from tidegate_sandbox.node_agent import addresses
interface = addresses.LoopbackInterface()
interface.add("10.244.0.9"); interface.add("10.244.0.9")
with socket.socket() as bound: bound.bind(("10.244.0.9", 0))
interface.remove("10.244.0.9"); interface.remove("10.244.0.9")
with socket.socket() as bound:
    try: bound.bind(("10.244.0.9", 0))
    except OSError: print("added and removed")
"""


def test_addresses_come_and_go_on_the_loopback_interface():
    """An added address can be bound to, a removed one cannot; doing either twice is no error."""
    namespace = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("network namespaces are not permitted here")

    done = subprocess.run(
        [*namespace, sys.executable, "-c", IN_A_NAMESPACE], capture_output=True, text=True, check=False, timeout=20
    )

    assert (done.stdout, done.stderr) == ("added and removed\n", "")


def test_the_kernels_refusal_is_told():
    """Without the right to change the interface the message says which address and why."""
    interface = addresses.LoopbackInterface()
    interface._index = 999_999

    with pytest.raises(addresses.AddressError, match=r"cannot add 10\.244\.0\.9 to lo: "):
        interface.add("10.244.0.9")
    with socket.socket() as bound, pytest.raises(OSError, match="assign"):
        bound.bind(("10.244.0.9", 0))
