# What tests of the documentation need: the files, as text, and what sources say.
package Weir::Docs;
use strict;
use warnings;

use Cwd 'abs_path';
use Exporter 'import';
use File::Basename 'dirname';
use File::Find ();

our @EXPORT_OK = qw($root anchors files markdown slurp without_code);
our $root = abs_path(dirname(__FILE__) . '/../../..');

# slurp(PATH): the file's text, decoded. PATH is below the root.
sub slurp {
    my $path = shift;
    open my $in, '<:encoding(UTF-8)', "$root/$path" or die "$path: $!";
    local $/;
    return scalar <$in>;
}

# files(REGEX, FOLDER...): paths below the root that match, in order. What is built is left out.
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

1;
