"""What a program meets first: rejections in its own tests, messages, and what ends when."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from unittest import mock

import pytest

import brama
from conftest import World


def test_a_rejection_is_made_without_arguments() -> None:
    service = mock.Mock(side_effect=brama.CircuitOpen)
    with pytest.raises(brama.CircuitOpen) as rejected:
        service()
    error = rejected.value
    assert (error.retry_after, error.identifier, error.scope) == (None, "", None)
    assert (error.probes_out, error.recovering, error.cause) == (False, False, None)
    assert str(error) == "the circuit does not admit the call: it is held open"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_rejection_is_made_by_keywords() -> None:
    error = brama.CircuitOpen(retry_after=5_000, identifier="db", scope="shop")
    assert str(error).startswith("the circuit of 'db' in scope 'shop' does not admit the call")
    assert str(error).endswith("ask again in 5000 ms")
    for more in (
        {"probes_out": True},
        {"recovering": True},
        {"cause": brama.Cause.PROBE},
        {"reason": "HTTP 503"},
        {"evidence": "5 failures in a row"},
    ):
        arguments: Any = more
        error = brama.CircuitOpen(5, "db", **arguments)
        for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
            ((name, value),) = more.items()
            assert getattr(same, name) == value and (same.retry_after, same.scope) == (5, None)
            assert same.args == error.args


def test_a_subclass_of_a_rejection_takes_its_own_arguments() -> None:
    class Closed(brama.CircuitOpen):
        def __init__(self, shop: str) -> None:
            super().__init__(retry_after=7, identifier=shop)

    assert (Closed("x").retry_after, Closed("x").identifier) == (7, "x")
