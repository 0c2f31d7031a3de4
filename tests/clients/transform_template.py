"""Prints a SAM template as JSON, as it is written (`source`) and as CloudFormation gets it (`transformed`).

The linters look at the first only, and so they do not see a circle, or two resources of one name, that the transform makes.
"""

import json
import sys

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
source, packaged = yaml_parse(text), yaml_parse(text)

# What `sam package` does with what is on this machine.
packaged.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
for resource in packaged["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://bucket/key"
    if resource["Type"] == "AWS::CloudFormation::Stack":
        resource["Properties"]["TemplateURL"] = "https://s3.amazonaws.com/bucket/key"

session = boto3.Session(region_name="us-east-1")
transformed = Translator({}, Parser(), None, session).translate(packaged, {})
json.dump({"source": source, "transformed": transformed}, sys.stdout)
