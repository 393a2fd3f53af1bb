"""What brokers say no with."""

from __future__ import annotations

import amqp
import pytest

from py_image_dedup.remote.broker import BrokerError, translated


def test_a_login_that_rabbitmq_refuses_is_no_way_to_the_workers() -> None:
    """Its library has errors of its own, which are not those of Celery."""
    with pytest.raises(BrokerError, match=r"Login was refused.*see remote\.broker_url"), translated():
        raise amqp.AccessRefused("Login was refused")
