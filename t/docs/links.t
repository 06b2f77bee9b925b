# Every link within the documents, and every document that a source names, is there. No line of a
# document has more than 100 columns.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use File::Basename 'dirname';
use File::Spec;
use Test::More;
use Weir::Docs qw($root anchors files markdown slurp without_code);

# target(PATH, LINK): the path below the root that LINK leads to from the document PATH.
sub target {
    my ($path, $link) = @_;
    my @parts;
    for my $part (File::Spec->splitdir($link eq '' ? $path : dirname($path) . "/$link")) {
        if    ($part eq '..')               { pop @parts }
        elsif ($part ne '.' && $part ne '') { push @parts, $part }
    }
    return join '/', @parts;
}

my @documents = markdown();
cmp_ok scalar(@documents), '>=', 12, 'the documents are found';
is target('docs/a/b.md', '../c.md'), 'docs/c.md', 'a link is followed to the folder above';
is target('README.md', ''), 'README.md', 'and one without a file to the document itself';

my $links = 0;
for my $path (@documents) {
    my @broken;
    my $text = without_code(slurp($path));
    my %defined = $text =~ /^\[([^\]]+)\]: (\S+)$/mg;
    my %used = map { s/\s+/ /gr => 1 } $text =~ /\]\[([^\]]+)\]/g,
        $text =~ /\[(weir_\w+)\](?![(:])/g;
    push @broken, map { "[$_] is not defined" } grep { !$defined{$_} } sort keys %used;
    for my $link ($text =~ /\]\(\s*([^)\s]+)\s*\)/g, values %defined) {
        next if $link =~ /^\w+:/;
        $links++;
        my ($file, $anchor) = split /#/, $link, 2;
        my $to = target($path, $file);
        if    (!-e "$root/$to") { push @broken, $link }
        elsif (defined $anchor && !grep { $_ eq $anchor } anchors(slurp($to))) {
            push @broken, "$link: no such heading";
        }
    }
    is_deeply \@broken, [], "$path: its links lead somewhere";
}
cmp_ok $links, '>=', 50, 'the links are found';

# A link's address alone may be longer.
for my $path (@documents) {
    my @lines = split /\n/, slurp($path);
    my @long = map { $_ + 1 }
        grep { length $lines[$_] > 100 && $lines[$_] !~ /^\[[^\]]+\]: \S+$/ } 0 .. $#lines;
    is_deeply \@long, [], "$path: no line has more than 100 columns";
}

# Sources and scripts that name a document of the project.
my @lost;
for my $path (
    files(qr/\.(?:[ch]|pm|t|sh|in|conf|py)$|^(?:weir|Makefile|config|except|nginx)$/, '.'))
{
    my $text = slurp($path);
    for my $named ($text =~ m{\b((?:docs|t)/[\w./-]+\.md|[A-Z]{4,}\.md)\b}g) {
        push @lost, "$path names $named" unless -e "$root/$named" || $path eq 't/docs/links.t';
    }
}
is_deeply \@lost, [], 'sources name documents that are there';

# Documents that name a source; the changelog names what was there in its time.
my @gone;
for my $path (grep { $_ ne 'CHANGELOG.md' } @documents) {
    for my $named (
        slurp($path) =~ m{`((?:backend|bench|common|conf|ngx_module|scripts|t)/[\w./-]*\w/?)`}g)
    {
        push @gone, "$path names $named" unless -e "$root/$named" || $named =~ /NAME/;
    }
}
is_deeply \@gone, [], 'documents name sources that are there';

done_testing;
