#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has parliament judge every policy of an expanded template.

    statements.py expanded.json

Prints a line for each finding and ends with status 1 when there is one. Actions, resources and condition keys are compared
with what AWS documents; references are replaced by names of the right form.
"""

import json
import re
import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a part of setuptools, which requirements.txt pins
    import parliament

SETTINGS = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "111122223333",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "tare",
}
ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:eu-west-1:111122223333:table/{}",
    "AWS::Events::Rule": "arn:aws:events:eu-west-1:111122223333:rule/{}",
    "AWS::Lambda::Function": "arn:aws:lambda:eu-west-1:111122223333:function:{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:eu-west-1:111122223333:log-group:{}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SNS::Topic": "arn:aws:sns:eu-west-1:111122223333:{}",
    "AWS::SQS::Queue": "arn:aws:sqs:eu-west-1:111122223333:{}",
}
ROLE = "arn:aws:iam::111122223333:role/tare"


class Names:
    """Replaces the references of a template by names that could be real."""

    def __init__(self, template):
        self.resources = template["Resources"]

    def ref(self, name):
        if name in SETTINGS:
            return SETTINGS[name]
        return "tare-" + name.lower()

    def attribute(self, name, attribute):
        if attribute != "Arn":
            raise ValueError(f"no value for {name}.{attribute}")
        return ARNS[self.resources[name]["Type"]].format(self.ref(name))

    def sub(self, text, values):
        def value(match):
            name = match.group(1)
            if name in values:
                return values[name]
            if "." in name:
                return self.attribute(*name.split(".", 1))
            return self.ref(name)

        return re.sub(r"\$\{([^}!]+)\}", value, text)

    def resolve(self, node):
        if isinstance(node, list):
            return [self.resolve(value) for value in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (key, value), = node.items()
            if key == "Ref":
                return self.ref(value)
            if key == "Fn::GetAtt":
                return self.attribute(*value)
            if key == "Fn::If":
                return self.resolve(value[2])
            if key == "Fn::Sub":
                text, values = (value, {}) if isinstance(value, str) else value
                return self.sub(text, self.resolve(values))
            if key.startswith("Fn::"):
                raise ValueError(f"{key} in a policy is not understood")
        return {key: self.resolve(value) for key, value in node.items()}


def policies(node, path):
    """Finds each policy document below a node: what has statements."""
    if isinstance(node, list):
        for index, value in enumerate(node):
            yield from policies(value, f"{path}[{index}]")
    elif isinstance(node, dict):
        if "Statement" in node:
            yield path, node
            return
        for key, value in node.items():
            yield from policies(value, f"{path}.{key}")


def main(file):
    with open(file, encoding="utf-8") as source:
        template = json.load(source)
    names, seen, findings = Names(template), 0, 0
    for path, policy in policies(template["Resources"], "Resources"):
        seen += 1
        policy = names.resolve(policy)
        if path.endswith(".AssumeRolePolicyDocument"):  # its resource is the role that it stands in
            policy["Statement"] = [{**s, "Resource": ROLE} for s in policy["Statement"]]
        for finding in parliament.analyze_policy_string(json.dumps(policy)).findings:
            findings += 1
            print(f"{path}: {finding.issue}: {finding.detail} {finding.location}")
    print(f"{seen} policies, {findings} findings")
    if findings or not seen:
        sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
