# SPDX-License-Identifier: Apache-2.0
"""What all tests share: only the table of real parts. Fixtures stand beside the tests that use them."""

pytest_plugins = ["tests.parts"]
