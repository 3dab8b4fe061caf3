"""One instant on both clocks."""

from nostrclient.nostr import clock
from nostrclient.nostr.moment import Moment


def test_an_instant_names_its_two_clocks() -> None:
    assert Moment(1.0, 2.0) == Moment(now=1.0, wall=2.0)
    before = clock.now(), clock.wall()
    moment = clock.moment()
    assert before[0] <= moment.now <= clock.now()
    assert before[1] <= moment.wall <= clock.wall() + 1
