"""Tests in a real browser, and what they share. A package of its own, so that it is not taken for `web/` itself."""
