# $environment

$description

The environment's tools are at the MCP server `openenv`. One episode of it has begun for you; it cannot be begun again.
Reach as high a reward as you can: rewards are counted, but not shown.

## Tools

$tools
${first}
## When it is over

The episode is over when a result says `terminated` or `truncated`, or when a call is refused with `the episode is over`.
What you have reached by then counts, also if you stop before.
