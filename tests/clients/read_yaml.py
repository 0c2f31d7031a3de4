"""Prints the YAML of a file as JSON, with anchors and merge keys resolved."""

import json
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    json.dump(yaml.safe_load(file), sys.stdout)
