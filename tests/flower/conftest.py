"""Tests of the Flower door say nothing of the rounds."""

import logging

import pytest


@pytest.fixture(autouse=True)
def quiet():
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)
