# Functions for tests of the documentation: files, their text, and texts in sources.
package Weir::Docs;
use strict;
use warnings;
use utf8;

use Cwd 'abs_path';
use Exporter 'import';
use File::Basename 'dirname';
use File::Find ();

our @EXPORT_OK = qw($root anchors calls files literals markdown pattern slurp without_code);
our $root = abs_path(dirname(__FILE__) . '/../../..');

# slurp(PATH): the file's text, decoded. PATH is below the root.
sub slurp {
    my $path = shift;
    open my $in, '<:encoding(UTF-8)', "$root/$path" or die "$path: $!";
    local $/;
    return scalar <$in>;
}

# files(REGEX, FOLDER...): paths below the root that match, sorted, without build folders.
sub files {
    my ($wanted, @folders) = @_;
    my @found;
    my $take = sub {
        if (-d && /^(?:\.git|\.run|build.*|servroot)$/) { $File::Find::prune = 1; return }
        push @found, $File::Find::name =~ s{^\Q$root\E/}{}r if -f && /$wanted/;
    };
    File::Find::find($take, map { $_ eq '.' ? $root : "$root/$_" } @folders);
    return sort @found;
}

# markdown(): every document of the project.
sub markdown { files(qr/\.md$/, '.') }

# without_code(TEXT): TEXT without its fenced and indented blocks and without `code`.
sub without_code {
    my $text = shift;
    $text =~ s/^```.*?^```$//msg;
    $text =~ s/^    .*$//mg;
    $text =~ s/`[^`]*`//g;
    return $text;
}

# anchors(TEXT): the names by which a browser finds the headings of TEXT, as GitHub makes them.
sub anchors {
    my $text = shift;
    $text =~ s/^```.*?^```$//msg;
    my (@anchors, %seen);
    for my $heading ($text =~ /^#{1,6} +(.+?) *$/mg) {
        my $anchor = lc $heading;
        $anchor =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
        $anchor =~ s/[^\w\- ]//g;
        $anchor =~ s/ /-/g;
        my $again = $seen{$anchor}++;
        push @anchors, $again ? "$anchor-$again" : $anchor;
    }
    return @anchors;
}

# calls(TEXT, FUNCTION): for each call of FUNCTION in the C of TEXT the list of its arguments.
# A prototype or a definition has a semicolon or a brace elsewhere, and is left out.
sub calls {
    my ($text, $function) = @_;
    my @calls;
    $text =~ s{/\*.*?\*/}{}sg;
    while ($text =~ /\b\Q$function\E(?=\()/g) {
        my @arguments = ('');
        my $depth = 0;
        while ($text =~ /\G("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)'|.)/sgc) {
            my $token = $1;
            my $inner = $depth;
            $depth++ if $token eq '(' || $token eq '{';
            $depth-- if $token eq ')' || $token eq '}';
            last     if $depth == 0;
            if   ($inner == 0)                  { next }
            if   ($token eq ',' && $depth == 1) { push @arguments, '' }
            else                                { $arguments[-1] .= $token }
        }
        push @calls, [map { s/^\s+|\s+$//gr } @arguments] if $text =~ /\G\s*;/gc;
    }
    return @calls;
}

# literals(ARGUMENT): the strings that it may be: one, or two of a condition "a ? b : c".
sub literals {
    my $argument = shift;
    my @parts = ('');
    while ($argument =~ /\G("((?:[^"\\]|\\.)*)"|.)/sg) {
        if    (defined $2)             { $parts[-1] .= $2 =~ s/\\(.)/$1/gr }
        elsif ($1 eq ':' || $1 eq '?') { push @parts, '' }
    }
    shift @parts if @parts == 3; # the condition
    return grep { length } @parts;
}

# pattern(TEXT): TEXT in the form of the documents, with "…" for format specifiers.
sub pattern {
    my $text = shift;
    $text =~ s/%(?:\*s|\d*u?[xX]?[VLzisdDATPcpu]+)/…/g;
    $text =~ s/%%/%/g;
    $text =~ s/…+/…/g;
    $text =~ s/\s+/ /g;
    return $text;
}

1;
