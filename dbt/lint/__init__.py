"""What sqlfluff gives to Jinja in place of dbt: see .sqlfluff. Its own stand-in for var() is a word, which one cannot add to."""

from pathlib import Path

import yaml

_PROJECT = yaml.safe_load((Path(__file__).parent.parent / "dbt_project.yml").read_text(encoding="utf-8"))


def var(name, default=None):
    """The variable, as dbt_project.yml has it."""
    return _PROJECT["vars"].get(name, default)
