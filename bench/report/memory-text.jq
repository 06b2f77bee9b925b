# The report as text.

"\(.entries) entries of \(.body) bytes in a zone of \(.zone) bytes: "
    + "\(.bytes_per_entry) bytes for each, \(.of_them_entry) of them for the entry itself, "
    + "the rest for what the zone keeps beside the entries."
