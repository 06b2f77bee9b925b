# The report as a table in Markdown, and what Weir does not pass.

"| cache | required | optional | required, with dependencies | optional, with dependencies |",
"|---|--:|--:|--:|--:|",
(.[]
    | "| \(.name) | \(.required_passed) of \(.required) | \(.optional_passed) of \(.optional)"
    + " | \(.required_with_dependencies) | \(.optional_with_dependencies) |"),
"",
(.[]
    | select(.name == "weir")
    | .failed[]
    | "weir: \(.kind) \(.suite) \(.id): \(.why)")
