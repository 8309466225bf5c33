{
  "description": $quoted_description,
  "tags": ["openenv", "$ecosystem"],
  "representative_queries": [],
  "license": "unknown"
}
