# The report of --against: from one line for each measurement (slurped), {what, build, round,
# cpu_us, requests, errors}, and $facts. The build is "this" or "other".
#
# A ratio is this build's CPU time per request divided by the other's in the same round; what slows
# the machine down from one round to the next is not in it. Rounds with errors are left out.

def median: sort | length as $n
    | if $n == 0 then null
      elif $n % 2 == 1 then .[($n - 1) / 2]
      else (.[$n / 2 - 1] + .[$n / 2]) / 2 end;
def digits($n): if . == null then null else . * pow(10; $n) | round / pow(10; $n) end;
def cpu: .cpu_us / .requests;

# [{this, other}] of each round that is good for both builds.
def pairs: map(select(.errors == 0 and .requests > 0))
    | group_by(.round)
    | map((map({(.build): cpu}) | add) | select(.this and .other and .other > 0));

. as $all
| {
    facts: $facts,
    results: [
        reduce $all[].what as $what ([]; if index([$what]) then . else . + [$what] end)
        | .[] as $what
        | ($all | map(select(.what == $what))) as $own
        | ($own | pairs) as $pairs
        | ($pairs | map(.this / .other)) as $ratios
        | {
            what: $what,
            this_us: ($pairs | map(.this) | median | digits(2)),
            other_us: ($pairs | map(.other) | median | digits(2)),
            ratio: ($ratios | median | digits(3)),
            lowest: ($ratios | min | digits(3)),
            highest: ($ratios | max | digits(3)),
            good_rounds: ($pairs | length)
        }
    ],
    rounds: $all
}
