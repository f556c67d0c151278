"""The conformance kit: what every member must do, as checks that anyone can run.

``automl-transfer plugins check TARGET`` runs them on an installed member; a plugin's own tests
subclass :class:`~automl_transfer.testing.suites.Conformance`. Both run the same checks. Each
looks at one thing, says what must hold, what was found and what to do, and is itself tested by a
member that is broken in this one way.
"""
