#!/usr/bin/python3
# otlp.py [metrics | encode]: reads an ExportTraceServiceRequest, or one of metrics, in protobuf
# from standard input, and prints it as OTLP in JSON; with "encode" the reverse, of traces. The
# schema is OpenTelemetry's own: its descriptors, as libopentelemetry-proto-dev has them in C++
# sources; the decoder is Google's. Bytes that the schema does not know are an error.
import ast
import base64
import json
import re
import sys
import warnings

from google.protobuf import descriptor_pb2, descriptor_pool, json_format
from google.protobuf import message_factory

FOLDER = '/usr/include/opentelemetry/proto/'
SIGNAL = 'metrics' if sys.argv[1:] == ['metrics'] else 'trace'
FILES = ['common/v1/common', 'resource/v1/resource', f'{SIGNAL}/v1/{SIGNAL}',
         f'collector/{SIGNAL}/v1/{SIGNAL}_service']


def descriptor(name):
    """The serialized descriptor is a C string, in lines of quoted text."""
    with open(FOLDER + name + '.pb.cc', encoding='ascii') as source:
        text = source.read()
    lines = re.search(r'descriptor_table_protodef_\w+\[\][^=]*=((?:\s*"(?:[^"\\]|\\.)*")+)', text)
    strings = re.findall(r'"(?:[^"\\]|\\.)*"', lines.group(1))
    return b''.join(ast.literal_eval('b' + s.replace("\\'", "'")) for s in strings)


def message_class(pool, name):
    found = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, 'GetMessageClass'):
        return message_factory.GetMessageClass(found)
    return message_factory.MessageFactory(pool).GetPrototype(found)


def check_known(message):
    """Encodes again what is known: unknown fields are kept otherwise."""
    before = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != before:
        sys.exit('the message has fields that the schema does not have')


IDS = ('traceId', 'spanId', 'parentSpanId')


def binary(value):
    """The reverse of hexadecimal()."""
    if isinstance(value, dict):
        return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in IDS else binary(v)
                for k, v in value.items()}
    if isinstance(value, list):
        return [binary(v) for v in value]
    return value


def hexadecimal(value):
    """Ids are hexadecimal in OTLP, and base64 in the JSON of protobuf."""
    if isinstance(value, dict):
        return {k: bytes.hex(base64.b64decode(v))
                if k in IDS else hexadecimal(v)
                for k, v in value.items()}
    if isinstance(value, list):
        return [hexadecimal(v) for v in value]
    return value


warnings.simplefilter('ignore')
pool = descriptor_pool.DescriptorPool()
for file in FILES:
    parsed = descriptor_pb2.FileDescriptorProto.FromString(descriptor(file))
    pool.Add(parsed)
request = message_class(pool, f'opentelemetry.proto.collector.{SIGNAL}.v1.'
                        f'Export{SIGNAL.capitalize()}ServiceRequest')()
if sys.argv[1:] == ['encode']:
    json_format.ParseDict(binary(json.load(sys.stdin)), request)
    sys.stdout.buffer.write(request.SerializeToString())
    sys.exit()
request.ParseFromString(sys.stdin.buffer.read())
check_known(request)
print(json.dumps(hexadecimal(json_format.MessageToDict(request, use_integers_for_enums=True))))
