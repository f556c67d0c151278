"""The checks of the conformance kit, each a test."""

from __future__ import annotations

from automl_transfer.testing.suites import Conformance


class TestMember(Conformance):
    id = "{{ cookiecutter.namespace }}/{{ cookiecutter.member }}"
