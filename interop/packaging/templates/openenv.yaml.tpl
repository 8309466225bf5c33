spec_version: 1
name: $name
version: 0.1.0
description: $quoted_description
type: space
runtime: fastapi
app: server.app:app
port: 8000
validation:
  reward:
    # Of one step. In $episodes episodes by chance rewards were from $low to $high; widen the range if there are others.
    range: $range
    oracle_tolerance: 0.0
    floor_margin: 0.1
  resources:
    cpu: $cpus
    # Twice what the hub took when it played those episodes, at least $least.
    memory_mb: $memory
    disk_mb: 512
    episode_timeout_s: $timeout
  network:
    mode: public
  capabilities:
    verifier:
      kind: reward_channel
    task_api: $task_api
    declared_tools: $tools
    declared_task_count: $tasks
  types:
    tags: ["interop:$ecosystem"]
$execution
