use Test::Nginx::Socket 'no_plan';

no_shuffle();

run_tests();

__DATA__

=== TEST 1: an unknown protocol
--- http_config
weir_exporter grpc http://127.0.0.1:4318;
--- config
--- must_die
--- error_log
invalid protocol "grpc" in "weir_exporter"; it must be otlp or zipkin



=== TEST 2: without a URL
--- http_config
weir_exporter otlp;
--- config
--- must_die
--- error_log
invalid number of arguments in "weir_exporter" directive



=== TEST 3: a URL without http
--- http_config
weir_exporter otlp 127.0.0.1:4318;
--- config
--- must_die
--- error_log
invalid URL "127.0.0.1:4318" of "weir_exporter": it must start with http:// or https://



=== TEST 4: a URL without a host
--- http_config
weir_exporter otlp http://;
--- config
--- must_die
--- error_log
invalid URL "http://" of "weir_exporter": 



=== TEST 5: a URL with a port that is none
--- http_config
weir_exporter otlp http://127.0.0.1:99999;
--- config
--- must_die
--- error_log
invalid URL "http://127.0.0.1:99999" of "weir_exporter": invalid port



=== TEST 6: a URL with a user
--- http_config
weir_exporter otlp http://user:pass@127.0.0.1/;
--- config
--- must_die
--- error_log
of "weir_exporter": it must have no user



=== TEST 7: a URL with a fragment
--- http_config
weir_exporter otlp http://127.0.0.1:4318/v1#traces;
--- config
--- must_die
--- error_log
its path has a character that must be percent-encoded



=== TEST 8: a URL with arguments only
--- http_config
weir_exporter otlp http://127.0.0.1:4318?a=b;
--- config
--- must_die
--- error_log
of "weir_exporter": its path must start with a slash



=== TEST 9: a URL with a name that does not exist
--- http_config
weir_exporter otlp http://collector.invalid;
--- config
--- must_die
--- error_log
"weir_exporter" cannot resolve the name in "http://collector.invalid": host not found



=== TEST 10: an unknown parameter
--- http_config
weir_exporter otlp http://127.0.0.1:4318 compression=gzip;
--- config
--- must_die
--- error_log
invalid parameter "compression=gzip" in "weir_exporter"; it takes service_name=, format=



=== TEST 11: TLS without https
--- http_config
weir_exporter otlp http://127.0.0.1:4318 ssl_verify=off;
--- config
--- must_die
--- error_log
invalid parameter "ssl_verify=off" in "weir_exporter": ssl_ parameters need a URL with https://



=== TEST 12: an unknown parameter of TLS
--- http_config
weir_exporter otlp https://127.0.0.1 ssl_ciphers=x;
--- config
--- must_die
--- error_log
ssl_trusted_certificate=, ssl_name=, ssl_verify=



=== TEST 13: a file with certificates that is missing
--- http_config
weir_exporter otlp https://127.0.0.1 ssl_trusted_certificate=/nowhere.crt;
--- config
--- must_die
--- error_log
"weir_exporter" cannot use TLS with these parameters



=== TEST 14: half of a certificate
--- http_config
weir_exporter otlp https://127.0.0.1 ssl_certificate=our.crt;
--- config
--- must_die
--- error_log
of "weir_exporter": ssl_certificate and ssl_certificate_key must be used together



=== TEST 15: a format of Zipkin
--- http_config
weir_exporter zipkin http://127.0.0.1:4318 format=json;
--- config
--- must_die
--- error_log
invalid value "json" of "format=" in "weir_exporter"; it must be protobuf or json, with otlp only



=== TEST 16: an unknown format
--- http_config
weir_exporter otlp http://127.0.0.1:4318 format=xml;
--- config
--- must_die
--- error_log
invalid value "xml" of "format="



=== TEST 17: no service name
--- http_config
weir_exporter otlp http://127.0.0.1:4318 service_name=;
--- config
--- must_die
--- error_log
invalid value "" of "service_name=" in "weir_exporter"; it must be a name



=== TEST 18: a header without a colon
--- http_config
weir_exporter otlp http://127.0.0.1:4318 header=Name;
--- config
--- must_die
--- error_log
invalid value "Name" of "header=" in "weir_exporter"; it must be as in "header=Name: value"



=== TEST 19: a header without a name
--- http_config
weir_exporter otlp http://127.0.0.1:4318 "header=: x";
--- config
--- must_die
--- error_log
invalid value ": x" of "header="



=== TEST 20: a header with a blank in its name
--- http_config
weir_exporter otlp http://127.0.0.1:4318 "header=A b: x";
--- config
--- must_die
--- error_log
invalid value "A b: x" of "header="



=== TEST 21: a header with a line break
--- http_config
weir_exporter otlp http://127.0.0.1:4318 "header=A: x\r\nB: y";
--- config
--- must_die
--- error_log
of "header="



=== TEST 22: a header of Weir's own
--- http_config
weir_exporter otlp http://127.0.0.1:4318 "header=Content-length: 5";
--- config
--- must_die
--- error_log
invalid value "Content-length: 5" of "header="



=== TEST 23: quotes in the middle of a parameter
--- http_config
weir_exporter otlp http://127.0.0.1:4318 header="A:b";
--- config
--- must_die
--- error_log
invalid value ""A:b"" of "header="



=== TEST 24: timeout=0
--- http_config
weir_exporter otlp http://127.0.0.1:4318 timeout=0;
--- config
--- must_die
--- error_log
invalid value "0" of "timeout=" in "weir_exporter"; it must be a time like 10s, at least 1ms



=== TEST 25: timeout=soon
--- http_config
weir_exporter otlp http://127.0.0.1:4318 timeout=soon;
--- config
--- must_die
--- error_log
invalid value "soon" of "timeout=" in "weir_exporter"; it must be a time like 10s



=== TEST 26: interval=0
--- http_config
weir_exporter otlp http://127.0.0.1:4318 interval=0;
--- config
--- must_die
--- error_log
invalid value "0" of "interval=" in "weir_exporter"; it must be a time like 5s, at least 1ms



=== TEST 27: interval=-1
--- http_config
weir_exporter otlp http://127.0.0.1:4318 interval=-1;
--- config
--- must_die
--- error_log
invalid value "-1" of "interval=" in "weir_exporter"; it must be a time like 5s



=== TEST 28: retry=ever
--- http_config
weir_exporter otlp http://127.0.0.1:4318 retry=ever;
--- config
--- must_die
--- error_log
invalid value "ever" of "retry=" in "weir_exporter"; it must be a time like 5m, or 0



=== TEST 29: batch=0
--- http_config
weir_exporter otlp http://127.0.0.1:4318 batch=0;
--- config
--- must_die
--- error_log
invalid value "0" of "batch=" in "weir_exporter"; it must be a number of spans from 1 to 100000



=== TEST 30: batch=100001
--- http_config
weir_exporter otlp http://127.0.0.1:4318 batch=100001;
--- config
--- must_die
--- error_log
invalid value "100001" of "batch=" in "weir_exporter"; it must be a number of spans



=== TEST 31: batch=x
--- http_config
weir_exporter otlp http://127.0.0.1:4318 batch=x;
--- config
--- must_die
--- error_log
invalid value "x" of "batch=" in "weir_exporter"; it must be a number of spans



=== TEST 32: buffer=63k
--- http_config
weir_exporter otlp http://127.0.0.1:4318 buffer=63k;
--- config
--- must_die
--- error_log
invalid value "63k" of "buffer=" in "weir_exporter"; it must be a size like 4m, from 64k to 1g



=== TEST 33: buffer=2g
--- http_config
weir_exporter otlp http://127.0.0.1:4318 buffer=2g;
--- config
--- must_die
--- error_log
invalid value "2g" of "buffer=" in "weir_exporter"; it must be a size like 4m



=== TEST 34: buffer=x
--- http_config
weir_exporter otlp http://127.0.0.1:4318 buffer=x;
--- config
--- must_die
--- error_log
invalid value "x" of "buffer=" in "weir_exporter"; it must be a size like 4m



=== TEST 35: gzip=yes
--- http_config
weir_exporter otlp http://127.0.0.1:4318 gzip=yes;
--- config
--- must_die
--- error_log
invalid value "yes" of "gzip=" in "weir_exporter"; it must be on or off



=== TEST 36: resource=name
--- http_config
weir_exporter otlp http://127.0.0.1:4318 resource=name;
--- config
--- must_die
--- error_log
invalid value "name" of "resource=" in "weir_exporter"; it must be as in "resource=key=value"



=== TEST 37: resource==value
--- http_config
weir_exporter otlp http://127.0.0.1:4318 resource==value;
--- config
--- must_die
--- error_log
invalid value "=value" of "resource=" in "weir_exporter"; it must be as in "resource=key=value"



=== TEST 38: twice
--- http_config
weir_exporter otlp http://127.0.0.1:4318; weir_exporter zipkin http://127.0.0.1:4318;
--- config
--- must_die
--- error_log
"weir_exporter" directive is duplicate



=== TEST 39: not in a server
--- config
weir_exporter otlp http://127.0.0.1:4318;
--- must_die
--- error_log
"weir_exporter" directive is not allowed here



=== TEST 40: all parameters
--- http_config
weir_exporter otlp http://127.0.0.1:4318/v1/traces service_name=shop format=protobuf "header=A: b"
    header=C:d timeout=1s interval=1s batch=100 buffer=64k retry=0 gzip=on resource=a=b resource=c=
    metrics=60s;
--- config
location = /status { weir_status; }
--- request
GET /status
--- error_code: 200
--- no_error_log
[error]



=== TEST 41: metrics=soon
--- http_config
weir_exporter otlp http://127.0.0.1:4318 metrics=soon;
--- config
--- must_die
--- error_log
invalid value "soon" of "metrics=" in "weir_exporter"; it must be off, or a time like 60s, at least



=== TEST 42: metrics=999ms
--- http_config
weir_exporter otlp http://127.0.0.1:4318 metrics=999ms;
--- config
--- must_die
--- error_log
invalid value "999ms" of "metrics=" in "weir_exporter"; it must be off



=== TEST 43: metrics of Zipkin
--- http_config
weir_exporter zipkin http://127.0.0.1:9411 metrics=60s;
--- config
--- must_die
--- error_log
invalid value "60s" of "metrics=" in "weir_exporter"; it must be off



=== TEST 44: metrics beside another path
--- http_config
weir_exporter otlp http://127.0.0.1:4318/v1/traces/ metrics=60s;
--- config
--- must_die
--- error_log
"metrics=" of "weir_exporter" needs a URL without a path, or with one that ends with /v1/traces; "



=== TEST 45: metrics=off
--- http_config
weir_exporter zipkin http://127.0.0.1:9411 metrics=off;
--- config
location = /status { weir_status; }
--- request
GET /status
--- error_code: 200
--- no_error_log
[error]
