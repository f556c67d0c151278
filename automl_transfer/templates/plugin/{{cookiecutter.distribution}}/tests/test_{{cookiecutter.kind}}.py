"""The checks of the conformance kit, each a test."""

from __future__ import annotations

from automl_transfer.testing.suites import Conformance


class TestMember(Conformance):
    id = "{{ cookiecutter.namespace }}/{{ cookiecutter.member }}"
{%- if cookiecutter.kind == "modality" %}


class TestBackbone(Conformance):
    id = "{{ cookiecutter.namespace }}/net"
{%- endif %}
