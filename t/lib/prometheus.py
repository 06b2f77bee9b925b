"""prometheus.py text|openmetrics: reads metrics from standard input with Prometheus' own library,
which for OpenMetrics refuses what the specification forbids, and prints them as JSON:
{family: {"type": …, "unit": …, "samples": [[name, labels, value, exemplar], …]}}, where the
exemplar is null or [labels, value, timestamp]."""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

parsers = {"text": parser, "openmetrics": openmetrics_parser}
families = {}


def exemplar(sample):
    if not sample.exemplar:
        return None
    return [sample.exemplar.labels, sample.exemplar.value, float(sample.exemplar.timestamp)]


for family in parsers[sys.argv[1]].text_string_to_metric_families(sys.stdin.read()):
    if family.name in families:
        sys.exit(f"the family {family.name} stands twice")
    families[family.name] = {
        "type": family.type,
        "unit": family.unit,
        "samples": [
            [sample.name, sample.labels, sample.value, exemplar(sample)]
            for sample in family.samples
        ],
    }
json.dump(families, sys.stdout)
