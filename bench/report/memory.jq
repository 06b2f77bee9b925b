# The report: from weir_status, $facts and the size $zone.

.caches[]
| $facts + {
    zone: $zone,
    entries,
    bytes,
    size,
    evicted,
    body: 1024,
    bytes_per_entry: ($zone / .entries | ceil),
    of_them_entry: (.bytes / .entries | ceil)
}
