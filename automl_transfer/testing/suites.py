"""The conformance kit as a pytest class, for the tests of a plugin.

.. code-block:: python

    from automl_transfer.testing.suites import Conformance

    class TestNet(Conformance):
        id = "acme/net"
        plugin = acme_transfer  # its module; left out, the installed plugin is checked

A check that cannot hold yet is named in ``expected_failures``, with the reason; it must fail then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from automl_transfer.errors import PluginError
from automl_transfer.plugins import load_registry
from automl_transfer.testing.kit.checking import EXPECTED, KindOfMember, Level, Subject
from automl_transfer.testing.kit.members import subjects
from automl_transfer.testing.kit.running import checks_of


class Conformance:
    """Checks of one member: a test for each, and one that counts them."""

    id: ClassVar[str]
    """Of the member."""
    plugin: ClassVar[object | None] = None
    """The module or object with its hooks; None: the installed plugin that offers it."""
    level: ClassVar[Level] = "train"
    """The last level that is run."""
    expected_failures: ClassVar[Mapping[str, str]] = {}
    """Name of a check to the reason why it fails."""
    _ran: ClassVar[set[str]]
    _made: ClassVar[Subject | None]

    def __init_subclass__(cls) -> None:
        cls._ran, cls._made = set(), None

    @classmethod
    def subject(cls) -> Subject:
        """The member, found once."""
        if cls._made is None:
            extra = [] if cls.plugin is None else [cls.plugin]
            found = subjects(load_registry(extra=extra), cls.id)
            if len(found) != 1:
                kinds = " and ".join(f"a {one.kind}" for one in found)
                raise PluginError(
                    f"Conformance.id must name one member, but {cls.id!r} names {kinds}. Give "
                    "one of them another id."
                )
            cls._made = found[0]
            if cls.plugin is not None:
                cls._made.distribution = ""  # not installed: other processes do not find it
        return cls._made

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """A test for each check of the member's kind."""
        if "check" in metafunc.fixturenames:
            found = checks_of(self.subject().kind, self.level)
            metafunc.parametrize("check", found, ids=[one.name for one in found])

    def test_conforms(self, check: Any) -> None:
        """What the contract asks holds."""
        self._ran.add(check.name)
        reason = self.expected_failures.get(check.name)
        if reason is None:
            check.run(self.subject())
            return
        assert reason.strip(), f"An expected failure needs a reason, but {check.name} has none."
        try:
            check.run(self.subject())
        except Exception:
            pytest.xfail(reason)
        pytest.fail(f"{check.name} was expected to fail ({reason}), but holds: take it out.")

    def test_no_check_was_left_out(self, request: pytest.FixtureRequest) -> None:
        """As many checks have run as there are; not asked where tests were selected by name."""
        if request.config.option.keyword or "::" in " ".join(request.config.args):
            pytest.skip("tests were selected")
        kind: KindOfMember = self.subject().kind
        names = {one.name for one in checks_of(kind, self.level)}
        unknown = sorted(set(self.expected_failures) - names)
        assert not unknown, f"expected_failures names no check: {', '.join(unknown)}"
        assert self._ran == names, f"These did not run: {', '.join(sorted(names - self._ran))}"
        if self.level == "train":
            assert len(names) >= EXPECTED[kind], (
                f"{EXPECTED[kind]} checks of a {kind} are expected, but only {len(names)} ran."
            )
