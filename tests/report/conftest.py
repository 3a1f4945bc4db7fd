"""One browser for all tests of pages."""

from tests.report.browser import browser

__all__ = ["browser"]
