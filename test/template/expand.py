#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Expands template.yaml as CloudFormation's transform does, and writes it as JSON.

    expand.py template.yaml expanded.json [name=value ...]

The names and values are parameters, for what the transform itself has to know of them; the others stay references. Code is
not uploaded: a function's Code names the bucket "source" and its own logical id as the key. Nothing is asked of AWS.
"""

import json
import os
import sys

from cfnlint.decode.cfn_yaml import load
from samtranslator.translator.transform import transform


def plain(node):
    """Takes the marks of lines away that the reader leaves on what it read."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return str(node) if isinstance(node, str) else node


def unpackaged(template):
    """Gives each function an address of its code, which the transform demands."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://source/" + name
    return template


class NoManagedPolicies:
    """Stands for the list of AWS's own policies: the template attaches none."""

    def load(self):
        return {}


def main(template, output, *pairs):
    values = dict(pair.split("=", 1) for pair in pairs)
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")  # the transform wants to know one
    read = unpackaged(plain(load(template)))
    expanded = transform(read, values, NoManagedPolicies(), passthrough_metadata=True)
    with open(output, "w", encoding="utf-8") as file:
        json.dump(expanded, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
