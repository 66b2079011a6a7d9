"""How long crashed containers and missing images wait."""

from tidegate_sandbox.node_agent import backoff


def test_restarts_wait_as_in_the_kubelet():
    """The first restart comes at once, then pauses double from 10 s up to 300 s."""
    crash = backoff.CrashBackoff()
    now, delays = 0.0, []

    for _ in range(8):
        delays.append(crash.delay_after_exit(now))
        now += delays[-1] + 1

    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_container_that_ran_long_starts_over():
    """After ten minutes of running the next crash is forgiven: restarted at once, then after 10 s again."""
    crash = backoff.CrashBackoff()
    for now in (0.0, 1.0, 12.0):
        crash.delay_after_exit(now)

    delays = [crash.delay_after_exit(now) for now in (700.0, 701.0)]

    assert delays == [0, 10]


def test_the_base_scales_every_pause():
    """With a base of 1 s the pauses keep their proportions, up to 30 s."""
    crash = backoff.CrashBackoff(base=1.0)

    delays = [crash.delay_after_exit(float(number)) for number in range(8)]

    assert delays == [0, 1, 2, 4, 8, 16, 30, 30]


def test_image_look_ups_back_off():
    """Pauses between look-ups double from the base to 30 times the base, and stay there however long it takes."""
    pull = backoff.PullBackoff(base=10.0)

    delays = [pull.next_delay() for _ in range(2000)]

    assert delays[:6] == [10, 20, 40, 80, 160, 300]
    assert delays[-1] == 300
