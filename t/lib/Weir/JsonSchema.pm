# Checks data against a schema of an OpenAPI 3.1 document, as far as our documents go, and strictly:
# a property that the schema does not name is an error, because it is not documented, and a keyword
# that this does not know dies.
#
#     my @wrong = check($document, { '$ref' => '#/components/schemas/User' }, $data);
package Weir::JsonSchema;

use strict;
use warnings;

use B ();
use Exporter qw(import);
use JSON::PP ();

our @EXPORT_OK = qw(check);

my %FORMAT = (
    uuid => qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/,
    email => qr/^[^@\s]+@[^@\s]+\z/,
    date => qr/^\d{4}-\d\d-\d\d\z/,
    'date-time' => qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z\z/,
);
my %SAYS_NOTHING = map { $_ => 1 } qw(description deprecated x-weir-since x-weir-replaced-by);

sub type_of {
    my ($data) = @_;
    return 'null'    if !defined $data;
    return 'object'  if ref $data eq 'HASH';
    return 'array'   if ref $data eq 'ARRAY';
    return 'boolean' if JSON::PP::is_bool($data);
    return 'string'  if !(B::svref_2object(\$data)->FLAGS & (B::SVp_IOK | B::SVp_NOK));
    return $data == int $data ? 'integer' : 'number';
}

sub resolve {
    my ($document, $schema) = @_;
    while (my $ref = $schema->{'$ref'}) {
        my $at = $document;
        $at = $at->{ s/~1/\//gr =~ s/~0/~/gr } // die "$ref leads nowhere\n"
            for split m{/}, $ref =~ s{^#/}{}r;
        $schema = $at;
    }
    return $schema;
}

# What is wrong: a list of sentences, each with the place.
sub check {
    my ($document, $schema, $data, $at) = @_;
    $at //= '';
    $schema = resolve($document, $schema);
    my $type = type_of($data);
    my @wrong;
    my $complain = sub { push @wrong, ($at || '/') . ": $_[0]" };

    if (my $want = $schema->{type}) {
        return "$at: is $type, not $want"
            if $type ne $want && !($want eq 'number' && $type eq 'integer');
    }
    for my $keyword (sort keys %$schema) {
        my $value = $schema->{$keyword};
        if    ($keyword eq 'type' || $SAYS_NOTHING{$keyword}) { }
        elsif ($keyword eq 'format') {
            $complain->("is no $value: $data")
                if $data !~ ($FORMAT{$value} // die "format $value\n");
        }
        elsif ($keyword eq 'pattern') {
            $complain->("does not match $value: $data") if $data !~ /$value/;
        }
        elsif ($keyword eq 'minimum')   { $complain->("$data is below $value") if $data < $value }
        elsif ($keyword eq 'maximum')   { $complain->("$data is above $value") if $data > $value }
        elsif ($keyword eq 'minLength') { $complain->('is too short') if length $data < $value }
        elsif ($keyword eq 'maxLength') { $complain->('is too long')  if length $data > $value }
        elsif ($keyword eq 'minItems')  { $complain->('has too few elements')  if @$data < $value }
        elsif ($keyword eq 'maxItems')  { $complain->('has too many elements') if @$data > $value }
        elsif ($keyword eq 'items') {
            push @wrong, map { check($document, $value, $data->[$_], "$at/$_") } 0 .. $#$data;
        }
        elsif ($keyword eq 'required') { exists $data->{$_} or $complain->("lacks $_") for @$value }
        elsif ($keyword eq 'properties') {
            for my $name (sort keys %$data) {
                if (my $property = $value->{$name}) {
                    push @wrong, check($document, $property, $data->{$name}, "$at/$name");
                }
                else { $complain->("has $name, which is not documented") }
            }
        } else {
            die "$at: the keyword $keyword is not known here\n";
        }
    }
    return @wrong;
}

1;
