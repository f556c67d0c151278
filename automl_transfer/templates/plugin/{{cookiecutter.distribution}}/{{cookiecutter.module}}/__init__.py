"""The {{ cookiecutter.kind }} {{ cookiecutter.namespace }}/{{ cookiecutter.member }} for automl-transfer."""
