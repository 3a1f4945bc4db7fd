"""One browser for all tests of pages."""

from tests.app.report.browser import browser

__all__ = ["browser"]
